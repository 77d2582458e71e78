"""What the image promises, read from its Dockerfile: pinned, without root, and stopped as `serve`
wants it."""

import json
import re
import tomllib

import pytest

from orderwire.serve.role import ROLES
from tests.support.api.deployment import DOCKERFILE, LAST_STAGE, ROOT


def test_the_dockerfile_has_known_instructions_only() -> None:
    known = {
        "FROM",
        "ENV",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }

    assert {word for word, _ in DOCKERFILE} <= known


def test_both_stages_stand_on_one_slim_python_named_by_version_and_without_registry() -> None:
    images = [rest.split()[0] for word, rest in DOCKERFILE if word == "FROM"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]

    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+[\d.]*-slim-\w+", images[0])
    assert images[0].startswith(f"python:{wanted[2]}.{wanted[3:]}")


def test_packages_come_from_the_lock_by_hash_and_ours_without_any_other() -> None:
    installs = [
        rest for word, rest in DOCKERFILE if word == "RUN" and " install " in rest and "pip" in rest
    ]

    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "-r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


def test_the_dockerfile_copies_our_packages_and_the_ignore_file_lets_them_through() -> None:
    copied = {
        rest.split()[-1] for word, rest in DOCKERFILE if word == "COPY" and "--from" not in rest
    } - {"./"}
    files = {
        name
        for word, rest in DOCKERFILE
        if word == "COPY" and rest.endswith(" ./")
        for name in rest.split()[:-1]
    }
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]["packages"]
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
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == [
        "python",
        "-m",
        "orderwire.healthcheck",
        *ROLES,
    ]


@pytest.mark.parametrize(
    "name", ["Dockerfile", ".dockerignore", "docker-compose.yml", ".env.example"]
)
def test_no_address_of_a_registry_or_index_is_written(name: str) -> None:
    text = (ROOT / name).read_text()

    assert not re.search(r"docker\.io|ghcr\.io|quay\.io|pypi|index-url", text)
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"https://graph.facebook.com"}
