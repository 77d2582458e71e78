"""What a container deployment promises, read from its files: no Docker daemon is needed here, and
none was at hand when they were written.

The compose specification's JSON schema comes from the package check-jsonschema, which ships it.
Where Docker's compose plugin is installed, it is asked as well (`config` needs no daemon).
"""

import importlib.resources
import json
import os
import re
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest

from orderwire.serve.role import ROLES
from orderwire.serve.supervisor import STOP_S
from simulator.servers import broker
from stream.metric_names import METRICS
from stream.record import TOPICS
from tests.support.api.deployment import (
    ASKED,
    COMPOSE,
    LAST_STAGE,
    ROOT,
    SERVICES,
    scalars,
    setting_names,
)

OURS = {name: service for name, service in SERVICES.items() if "build" in service}
OWN_NAME = re.compile(r"(ORDERWIRE|SHOPIFY|META|AD)_[A-Z_]+")


def seconds(duration: str) -> float:
    """A compose duration of one unit."""
    return float(duration.rstrip("sm")) * (60 if duration.endswith("m") else 1)


# --- docker-compose.yml against the specification ---


@pytest.fixture(scope="module")
def compose_schema() -> dict[str, Any]:
    pytest.importorskip(
        "check_jsonschema",
        reason="check-jsonschema, which ships the compose specification's schema, is not installed",
    )
    shipped = (
        importlib.resources.files("check_jsonschema")
        / "builtin_schemas"
        / "vendor"
        / "compose-spec.json"
    )
    schema: dict[str, Any] = json.loads(shipped.read_text(encoding="utf-8"))
    return schema


def test_it_is_valid_by_the_compose_specification(compose_schema: dict[str, Any]) -> None:
    jsonschema.validate(COMPOSE, compose_schema)


def test_the_schema_would_find_a_misspelt_key(compose_schema: dict[str, Any]) -> None:
    wrong = {
        **COMPOSE,
        "services": {**SERVICES, "receive": {**SERVICES["receive"], "read_onyl": True}},
    }

    with pytest.raises(jsonschema.ValidationError, match="read_onyl"):
        jsonschema.validate(wrong, compose_schema)


def _compose(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [
        "docker",
        "compose",
        "--env-file",
        os.devnull,
        "-f",
        "docker-compose.yml",
        *arguments,
    ]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=keep | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def compose_plugin() -> None:
    if shutil.which("docker") is None or _compose("version", environment={}).returncode:
        pytest.skip("Docker's compose plugin is not installed")


@pytest.mark.usefixtures("compose_plugin")
def test_compose_says_what_to_set_when_a_secret_is_missing() -> None:
    done = _compose("config", "--quiet", environment={})

    assert done.returncode != 0
    assert "in .env" in done.stderr


# --- what its names mean ---


def test_every_variable_it_names_is_a_setting() -> None:
    text = "\n".join(f"{path} {value}" for path, value in scalars(COMPOSE))
    named = {match.group(0) for match in OWN_NAME.finditer(text)}
    named |= {
        name
        for service in OURS.values()
        for name in service["environment"]
        if OWN_NAME.fullmatch(name)
    }

    assert named
    assert named <= setting_names()


def test_what_must_be_set_is_asked_for_with_what_to_write() -> None:
    asked = dict(ASKED.findall("\n".join(value for _, value in scalars(COMPOSE))))

    assert asked.keys() == {"ORDERWIRE_API_TOKENS", "POSTGRES_PASSWORD"}
    assert all(name in hint and ".env" in hint for name, hint in asked.items())


def test_shops_may_be_set_in_the_file_of_several_alone() -> None:
    environment = SERVICES["receive"]["environment"]

    assert {
        "SHOPIFY_SHOP": None,
        "SHOPIFY_WEBHOOK_SECRET": None,
        "ORDERWIRE_CONFIG": None,
    }.items() <= environment.items()


def test_nothing_in_it_looks_like_a_secret() -> None:
    for path, value in scalars(COMPOSE):
        literal = re.sub(r"\$\{[^}]*\}", "", value)
        if re.search(r"(SECRET|TOKEN|PASSWORD|KEY)\w*$", path):
            assert literal == "", path
        assert not re.search(
            r"[A-Za-z0-9+_-]{24,}",
            literal.replace("ORDERWIRE_", "").replace("orderwire.healthcheck", ""),
        ), path
        assert not re.search(r"://[^/@\s]*:[^/@\s]*@", value), f"{path}: a password in a URL"


def test_the_receiver_gets_every_setting_of_kafka_and_none_of_metas_or_shopifys_tokens() -> None:
    environment = SERVICES["receive"]["environment"]

    assert {
        name for name in setting_names() if name.startswith("ORDERWIRE_KAFKA_")
    } <= environment.keys()
    assert (
        not {"META_ACCESS_TOKEN", "SHOPIFY_ADMIN_TOKEN", "ORDERWIRE_API_TOKENS"}
        & environment.keys()
    )
    assert "env_file" not in SERVICES["receive"]


def test_the_versions_are_those_that_the_tests_run_with() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{broker.VERSION}"
    for name in ("kafka", "postgres"):
        assert re.search(r":\d[\w.-]*$", SERVICES[name]["image"]), f"{name} has no version"


def test_no_image_is_named_with_its_registry() -> None:
    assert not [
        service["image"]
        for service in SERVICES.values()
        if "." in service["image"].partition("/")[0].partition(":")[0]
    ]


# --- how the services run ---


def test_each_role_is_a_service() -> None:
    assert {name: service["command"] for name, service in OURS.items()} == {
        role: ["serve", "--roles", role] for role in ROLES
    }


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_can_write_nothing_but_its_volumes_and_gains_no_rights(name: str) -> None:
    service = OURS[name]

    assert service["read_only"] is True
    assert [entry.partition(":")[0] for entry in service["tmpfs"]] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert "user" not in service, "the Dockerfile says who it runs as"
    assert service["pull_policy"] == "build", "nobody's image of this name may be taken for ours"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_a_healthcheck_a_restart_policy_and_bounded_logs(name: str) -> None:
    service = SERVICES[name]

    assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory", "pids"}
    assert service["healthcheck"].keys() >= {
        "test",
        "interval",
        "timeout",
        "retries",
        "start_period",
    }
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_asked_for_the_role_it_runs(name: str) -> None:
    assert OURS[name]["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "orderwire.healthcheck",
        name,
    ]
    assert (ROOT / "orderwire" / "healthcheck.py").exists()


def test_broker_and_database_are_asked_on_the_ports_that_clients_use() -> None:
    kafka, postgres = SERVICES["kafka"], SERVICES["postgres"]

    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert "PLAINTEXT://:9092" in kafka["environment"]["KAFKA_LISTENERS"]
    assert kafka["healthcheck"]["test"][-1].endswith("/9092")
    assert (
        f"--username={postgres['environment']['POSTGRES_USER']}" in postgres["healthcheck"]["test"]
    )
    for service in OURS.values():
        assert service["environment"]["ORDERWIRE_LOG_URL"] == "kafka://kafka:9092"
        assert (
            service["environment"]["ORDERWIRE_STORE_URL"]
            == "postgresql://orderwire@postgres/orderwire"
        )


def test_topics_are_made_by_us_alone() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("name", OURS)
def test_a_stop_leaves_the_roles_their_time(name: str) -> None:
    assert seconds(OURS[name]["stop_grace_period"]) > STOP_S


def test_the_receiver_waits_for_nobody_and_the_others_for_healthy_ones() -> None:
    def conditions(name: str) -> set[str]:
        return {waited["condition"] for waited in SERVICES[name]["depends_on"].values()}

    assert conditions("receive") == {"service_started"}
    assert conditions("process") == conditions("query") == {"service_healthy"}
    assert all(service["depends_on"].keys() == {"kafka", "postgres"} for service in OURS.values())


def test_the_receiver_is_published_the_api_to_this_machine_only_and_nothing_else() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports == {"receive": ["8081:8081"], "query": ["127.0.0.1:8080:8080"]}
    assert SERVICES["receive"]["environment"]["ORDERWIRE_RECEIVER"].endswith(":8081")
    assert SERVICES["query"]["environment"]["ORDERWIRE_API"] == "0.0.0.0:8080"
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["kafka"]["networks"] == SERVICES["postgres"]["networks"] == ["inside"]


def test_processors_can_be_scaled() -> None:
    assert not {"container_name", "ports", "volumes", "hostname"} & SERVICES["process"].keys()


def test_what_must_outlive_a_container_is_on_a_named_volume() -> None:
    mounts = {
        name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service
    }

    assert mounts.keys() == {"receive", "kafka", "postgres"}
    assert {mount.partition(":")[0] for places in mounts.values() for mount in places} == COMPOSE[
        "volumes"
    ].keys()
    spool = mounts["receive"][0].partition(":")[2]
    assert SERVICES["receive"]["environment"]["ORDERWIRE_SPOOL"].startswith(spool + "/")
    assert mounts["kafka"][0].endswith(":" + SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"])


# --- docs/scale.md ---

SCALE = (ROOT / "docs/scale.md").read_text()


def test_the_guide_to_scale_names_settings_and_metrics_that_exist() -> None:
    metrics = {series for metric in METRICS for series in (metric.name, *metric.series)}
    named = set(re.findall(r"\borderwire_\w+", SCALE))

    assert set(re.findall(r"\bORDERWIRE_[A-Z_]+", SCALE)) <= setting_names()
    assert named
    assert named <= metrics


def test_the_guide_to_scale_names_every_topic() -> None:
    assert all(f"`{topic}`" in SCALE for topic in TOPICS)


def test_the_overrides_that_the_guide_proposes_change_what_is_there() -> None:
    assert 'command: [serve, --roles, "receive,receive"]' in SCALE
    assert "outside" in COMPOSE["networks"]
    assert SERVICES["receive"]["volumes"][0].endswith(":/srv/orderwire/data")
    assert dict(LAST_STAGE)["WORKDIR"] == "/srv/orderwire"
