"""The lock agrees with the bounds of pyproject.toml, and no bound allows a version that is known to
be vulnerable."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OWN = "dependencies"
LOCKS = {
    "requirements.lock": (OWN, "build"),
    "requirements-dev.lock": (OWN, "build", "dev"),
    "bench/peers/requirements.lock": ("peers",),
}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.M)
FIXED = {
    "aiohttp": ("3.14.1", "GHSA-4fvr-rgm6-gqmc"),
    "jinja2": ("3.1.6", "GHSA-cpwx-vrp4-4pq7"),
    "orjson": ("3.11.6", "GHSA-hx9q-6w63-j58v"),
    "python-dotenv": ("1.2.2", "CVE-2026-28684"),
    "requests": ("2.33.0", "CVE-2026-25645"),
}
"""What we run: the first version without the newest advisory (github.com/advisories)."""


def requirements(groups: tuple[str, ...]) -> Iterator[Requirement]:
    named = PROJECT["dependency-groups"] | {OWN: PROJECT["project"]["dependencies"]}
    yield from (Requirement(each) for group in groups for each in named[group])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pinned_version_is_within_its_bounds(lock: str) -> None:
    pinned: dict[str, list[Version]] = {}
    for name, version in PINNED.findall((ROOT / lock).read_text()):
        pinned.setdefault(canonicalize_name(name), []).append(Version(version))
    for requirement in requirements(LOCKS[lock]):
        versions = pinned.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is missing in {lock}: run `make lock`"
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement} but {version} in {lock}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_index_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert all("--hash=sha256:" in pin for pin in pins if PINNED.match(pin))
    assert "://" not in text


def test_every_dependency_has_a_lower_bound() -> None:
    bare = [
        str(each)
        for each in requirements((OWN, "build", "dev", "peers"))
        if not any(one.operator == ">=" for one in each.specifier)
    ]
    assert bare == []


@pytest.mark.parametrize("name", FIXED)
def test_no_version_with_a_known_vulnerability_is_allowed(name: str) -> None:
    (requirement,) = (each for each in requirements((OWN,)) if each.name == name)
    (least,) = (Version(one.version) for one in requirement.specifier if one.operator == ">=")
    fixed, advisory = FIXED[name]
    assert least >= Version(fixed), f"{name}: {advisory} is fixed in {fixed}"


def test_every_lower_bound_was_compared_with_the_advisories() -> None:
    extra = [Requirement(each) for each in PROJECT["project"]["optional-dependencies"]["otel"]]
    bounds = {
        each.name: next(one.version for one in each.specifier if one.operator == ">=")
        for each in (*requirements((OWN,)), *extra)
    }
    table = (ROOT / "docs/facts/dependencies.md").read_text()
    assert dict(re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \|", table, re.M)) == bounds
