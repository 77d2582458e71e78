"""What a container deployment promises, read from its files: no Docker daemon is needed here, and none was at hand when they were written.

The compose specification's JSON schema comes from the package check-jsonschema, which ships it. Where Docker's compose plugin is
installed, it is asked as well (`config` needs no daemon).
"""

import importlib.resources
import itertools
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dotenv import dotenv_values

from orderwire.demo import broker
from orderwire.role import ROLES
from orderwire.settings import Settings, shop_variables
from orderwire.supervisor import STOP_S
from processors.capi.settings import CapiSettings
from stream.record import TOPICS

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / ".env.example").read_text()
TOML_ONLY = {"META_SOURCES"}
"""A table: no variable can say it."""
ASKED = re.compile(r"\$\{(\w+):\?([^}]+)\}")
OWN_NAME = re.compile(r"(ORDERWIRE|SHOPIFY|META|AD)_[A-Z_]+")


def setting_names() -> set[str]:
    """Every variable that settings.py reads."""
    named = {str(field.validation_alias) for field in Settings.model_fields.values()} | set(shop_variables())
    return named - TOML_ONLY


def defaults() -> dict[str, str]:
    """The defaults as one would write them in .env, empty where there is none."""
    found = dict.fromkeys(setting_names(), "")
    for field in Settings.model_fields.values():
        default = field.default.get_secret_value() if hasattr(field.default, "get_secret_value") else field.default
        found[str(field.validation_alias)] = _written(default)
    for capi in fields(CapiSettings):
        if f"META_{capi.name.upper()}" in found and capi.default is not MISSING:
            found[f"META_{capi.name.upper()}"] = _written(capi.default)
    return found


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    return {None: "", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def scalars(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every (path, text) below `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from scalars(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from scalars(value, path)
    elif node is not None:
        yield path, str(node)


def seconds(duration: str) -> float:
    """A compose duration of one unit."""
    return float(duration.rstrip("sm")) * (60 if duration.endswith("m") else 1)


# --- docker-compose.yml against the specification ---


@pytest.fixture(scope="module")
def compose_schema() -> dict[str, Any]:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, which ships the compose specification's schema, is not installed")
    shipped = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema: dict[str, Any] = json.loads(shipped.read_text(encoding="utf-8"))
    return schema


def test_it_is_valid_by_the_compose_specification(compose_schema: dict[str, Any]) -> None:
    jsonschema.validate(COMPOSE, compose_schema)


def test_the_schema_would_find_a_misspelt_key(compose_schema: dict[str, Any]) -> None:
    wrong = {**COMPOSE, "services": {**SERVICES, "receive": {**SERVICES["receive"], "read_onyl": True}}}

    with pytest.raises(jsonschema.ValidationError, match="read_onyl"):
        jsonschema.validate(wrong, compose_schema)


def _compose(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["docker", "compose", "--env-file", os.devnull, "-f", "docker-compose.yml", *arguments]
    return subprocess.run(command, cwd=ROOT, env=keep | environment, capture_output=True, text=True, timeout=60, check=False)


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
    named |= {name for service in OURS.values() for name in service["environment"] if OWN_NAME.fullmatch(name)}

    assert named
    assert named <= setting_names()


def test_what_must_be_set_is_asked_for_with_what_to_write() -> None:
    asked = dict(ASKED.findall("\n".join(value for _, value in scalars(COMPOSE))))

    assert asked.keys() == {"SHOPIFY_SHOP", "SHOPIFY_WEBHOOK_SECRET", "ORDERWIRE_API_TOKENS", "POSTGRES_PASSWORD"}
    assert all(name in hint and ".env" in hint for name, hint in asked.items())


def test_nothing_in_it_looks_like_a_secret() -> None:
    for path, value in scalars(COMPOSE):
        literal = re.sub(r"\$\{[^}]*\}", "", value)
        if re.search(r"(SECRET|TOKEN|PASSWORD|KEY)\w*$", path):
            assert literal == "", path
        assert not re.search(r"[A-Za-z0-9+_-]{24,}", literal.replace("ORDERWIRE_", "").replace("orderwire.healthcheck", "")), path
        assert not re.search(r"://[^/@\s]*:[^/@\s]*@", value), f"{path}: a password in a URL"


def test_the_receiver_gets_every_setting_of_kafka_and_none_of_metas_or_shopifys_tokens() -> None:
    environment = SERVICES["receive"]["environment"]

    assert {name for name in setting_names() if name.startswith("ORDERWIRE_KAFKA_")} <= environment.keys()
    assert not {"META_ACCESS_TOKEN", "SHOPIFY_ADMIN_TOKEN", "ORDERWIRE_API_TOKENS"} & environment.keys()
    assert "env_file" not in SERVICES["receive"]


def test_the_versions_are_those_that_the_tests_run_with() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{broker.VERSION}"
    for name in ("kafka", "postgres"):
        assert re.search(r":\d[\w.-]*$", SERVICES[name]["image"]), f"{name} has no version"


def test_no_image_is_named_with_its_registry() -> None:
    assert not [service["image"] for service in SERVICES.values() if "." in service["image"].partition("/")[0].partition(":")[0]]


# --- how the services run ---


def test_each_role_is_a_service() -> None:
    assert {name: service["command"] for name, service in OURS.items()} == {role: ["serve", "--roles", role] for role in ROLES}


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
    assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_is_asked_for_the_role_it_runs(name: str) -> None:
    assert OURS[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "orderwire.healthcheck", name]
    assert (ROOT / "orderwire" / "healthcheck.py").exists()


def test_broker_and_database_are_asked_on_the_ports_that_clients_use() -> None:
    kafka, postgres = SERVICES["kafka"], SERVICES["postgres"]

    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert "PLAINTEXT://:9092" in kafka["environment"]["KAFKA_LISTENERS"]
    assert kafka["healthcheck"]["test"][-1].endswith("/9092")
    assert f"--username={postgres['environment']['POSTGRES_USER']}" in postgres["healthcheck"]["test"]
    for service in OURS.values():
        assert service["environment"]["ORDERWIRE_LOG_URL"] == "kafka://kafka:9092"
        assert service["environment"]["ORDERWIRE_STORE_URL"] == "postgresql://orderwire@postgres/orderwire"


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
    mounts = {name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service}

    assert mounts.keys() == {"receive", "kafka", "postgres"}
    assert {mount.partition(":")[0] for places in mounts.values() for mount in places} == COMPOSE["volumes"].keys()
    spool = mounts["receive"][0].partition(":")[2]
    assert SERVICES["receive"]["environment"]["ORDERWIRE_SPOOL"].startswith(spool + "/")
    assert mounts["kafka"][0].endswith(":" + SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"])


# --- .env.example ---


def test_the_example_names_every_setting_and_only_those() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE)

    assert len(named) == len(set(named))
    assert set(named) == setting_names() | {"POSTGRES_PASSWORD"}


def test_each_setting_of_the_example_has_one_line_that_says_what_it_is() -> None:
    lines = EXAMPLE.splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"#?[A-Z_]+=", line):
            assert before.startswith("# "), line


def test_a_value_that_the_example_shows_is_the_default() -> None:
    known = defaults()
    shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))

    assert shown == {name: known[name] for name in shown} | {"SHOPIFY_API_VERSION": shown["SHOPIFY_API_VERSION"]}


def test_the_example_asks_for_what_compose_asks_for_and_holds_no_value_of_it(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(EXAMPLE)
    asked = dict(ASKED.findall("\n".join(value for _, value in scalars(COMPOSE))))

    assert dotenv_values(tmp_path / "env") == dict.fromkeys(asked, "")


def test_the_whole_example_can_be_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the # taken away from every value shown: so no default is written in a way that the reader would refuse."""
    written = re.sub(r"^#([A-Z_]+=.+)$", r"\1", EXAMPLE, flags=re.MULTILINE)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        written.replace("SHOPIFY_SHOP=", "SHOPIFY_SHOP=a.myshopify.com").replace("SHOPIFY_WEBHOOK_SECRET=", "SHOPIFY_WEBHOOK_SECRET=s")
    )

    settings = Settings.load()

    assert settings.kafka.partitions == 8
    assert settings.shops["a.myshopify.com"].webhook_secrets == (b"s",)


# --- Dockerfile ---


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile, lines that a backslash continues put together."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in whole.splitlines() if line.strip()]


DOCKERFILE = instructions()
LAST_STAGE = DOCKERFILE[max(i for i, (word, _) in enumerate(DOCKERFILE) if word == "FROM") :]


def test_the_dockerfile_has_known_instructions_only() -> None:
    known = {"FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}

    assert {word for word, _ in DOCKERFILE} <= known


def test_both_stages_stand_on_one_slim_python_named_by_version_and_without_registry() -> None:
    images = [rest.split()[0] for word, rest in DOCKERFILE if word == "FROM"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]

    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+[\d.]*-slim-\w+", images[0])
    assert images[0].startswith(f"python:{wanted[2]}.{wanted[3:]}")


def test_packages_come_from_the_lock_by_hash_and_ours_without_any_other() -> None:
    installs = [rest for word, rest in DOCKERFILE if word == "RUN" and " install " in rest and "pip" in rest]

    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "-r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_the_dockerfile_copies_our_packages_and_the_ignore_file_lets_them_through() -> None:
    copied = {rest.split()[-1] for word, rest in DOCKERFILE if word == "COPY" and "--from" not in rest} - {"./"}
    files = {name for word, rest in DOCKERFILE if word == "COPY" and rest.endswith(" ./") for name in rest.split()[:-1]}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert copied == set(packages)
    assert all((ROOT / name).exists() for name in copied | files)
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied | files


def test_what_runs_is_not_root() -> None:
    users = [rest for word, rest in LAST_STAGE if word == "USER"]
    after = LAST_STAGE[[word for word, _ in LAST_STAGE].index("USER") :]

    assert users == ["10001:10001"]
    assert "RUN" not in [word for word, _ in after]


def test_it_stops_on_sigterm_and_the_command_is_not_wrapped_in_a_shell() -> None:
    last = dict(LAST_STAGE)

    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["orderwire"]
    assert json.loads(last["CMD"]) == ["serve"]
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == ["python", "-m", "orderwire.healthcheck", *ROLES]


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "docker-compose.yml", ".env.example"])
def test_no_address_of_a_registry_or_index_is_written(name: str) -> None:
    text = (ROOT / name).read_text()

    assert not re.search(r"docker\.io|ghcr\.io|quay\.io|pypi|index-url", text)
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"https://graph.facebook.com"}


# --- docs/scale.md ---

SCALE = (ROOT / "docs" / "scale.md").read_text()


def test_the_guide_to_scale_names_settings_and_metrics_that_exist() -> None:
    metrics = set(re.findall(r'"(orderwire_\w+)"', (ROOT / "stream" / "metrics.py").read_text()))
    named = {name.removesuffix("_total") for name in re.findall(r"\borderwire_\w+", SCALE)}

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
