"""The Helm chart, by Helm's own lint and templates and by the schemas of Kubernetes' resources."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import chart
from helm_python.errors import HelmError

from orderwire.serve.role import ROLES
from orderwire.serve.supervisor import STOP_S
from tests.support.api.deployment import LAST_STAGE, ROOT, scalars, setting_names

CHART = ROOT / "deploy" / "helm" / "orderwire"
KUBERNETES = "1.33.0"
LEAST = {
    "logUrl": "kafka://kafka:9092",
    "storeUrl": "postgresql://orderwire@postgres/orderwire",
    "existingSecret": "orderwire",
}
FULL = LEAST | {
    "env": {"SHOPIFY_SHOP": "demo.myshopify.com", "META_DRY_RUN": True},
    "configSecret": "shops",
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "ingress": {
        "className": "nginx",
        "annotations": {"a": "b"},
        "receive": {"host": "hooks.example", "tlsSecret": "hooks"},
        "query": {"host": "numbers.example", "tlsSecret": ""},
    },
}
both = pytest.mark.parametrize("values", [LEAST, FULL], ids=["least", "full"])


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Every manifest that `helm template` writes."""
    texts = chart.Chart.load(CHART).render(values, name="shop")
    return [
        manifest
        for name, text in texts.items()
        if not name.endswith("NOTES.txt")
        for manifest in yaml.safe_load_all(text)
        if manifest is not None
    ]


def pods(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The pod of each role."""
    return {
        manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: manifest[
            "spec"
        ]["template"]["spec"]
        for manifest in rendered(values)
        if manifest["kind"] in ("Deployment", "StatefulSet")
    }


@both
def test_helm_lint_finds_nothing(values: dict[str, Any]) -> None:
    report = chart.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


@both
def test_every_manifest_is_a_resource_of_kubernetes(values: dict[str, Any]) -> None:
    manifests = rendered(values)
    assert len(manifests) >= 8
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_schemas_would_find_a_misspelt_field() -> None:
    (wrong, *_) = (one for one in rendered(LEAST) if one["kind"] == "Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRoot"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"logUrl": "sqlite:///data/log.db"},
        {"storeUrl": "sqlite:///data/state.db"},
        {"storeUrl": "postgresql://orderwire:secret@postgres/orderwire"},
        {"existingSecret": ""},
        {"replicas": 2},
        {"process": {"replica": 2}},
    ],
)
def test_values_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(HelmError, match=next(iter(wrong))):
        rendered(LEAST | wrong)


@both
def test_every_variable_that_it_sets_is_a_setting(values: dict[str, Any]) -> None:
    for role, pod in pods(values).items():
        named = {one["name"] for one in pod["containers"][0]["env"]}
        assert named <= setting_names(), role
    text = (CHART / "values.yaml").read_text()
    assert set(re.findall(r"\b(?:ORDERWIRE|SHOPIFY|META|AD)_[A-Z_]+", text)) <= setting_names()


def test_each_role_has_pods_that_work_with_the_images_user_and_end_in_time() -> None:
    found = pods(LEAST)
    assert found.keys() == set(ROLES)
    (user,) = (rest for word, rest in LAST_STAGE if word == "USER")
    for role, pod in found.items():
        (container,) = pod["containers"]
        assert container["args"] == ["serve", "--roles", role]
        assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == (
            user
        )
        assert container["securityContext"]["readOnlyRootFilesystem"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claimed = {"data"} if role == "receive" else set()
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claimed
        waits = 5 if "lifecycle" in container else 0
        assert pod["terminationGracePeriodSeconds"] > STOP_S + waits


def test_a_service_reaches_the_port_that_its_pods_name() -> None:
    found = pods(FULL)
    services = [one for one in rendered(FULL) if one["kind"] == "Service"]
    assert len(services) == 2
    for service in services:
        role = service["spec"]["selector"]["app.kubernetes.io/component"]
        ports = {port["name"] for port in found[role]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    names = {service["metadata"]["name"] for service in services}
    backends = {
        path["backend"]["service"]["name"]
        for ingress in rendered(FULL)
        if ingress["kind"] == "Ingress"
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert backends == names


def test_no_secret_stands_in_a_manifest() -> None:
    for manifest in rendered(FULL):
        assert manifest["kind"] != "Secret"
        for path, value in scalars(manifest):
            assert not re.search(r"(SECRET|TOKEN|PASSWORD)$", value), path


def test_the_chart_is_of_the_programs_version() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.M)
    assert version is not None
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version[1]
