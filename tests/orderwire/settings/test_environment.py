"""Only `orderwire/settings/` reads the environment."""

import ast

import pytest

from tests.support.api.deployment import ROOT

PROGRAM = (
    *("ingest", "stream", "processors", "aggregates", "destinations", "query"),
    *("orderwire", "simulator", "bench"),
)
ELSEWHERE = {"simulator/servers/stepping_clock/sitecustomize.py"}
"""Runs before a program of ours is loaded, in the processes of a test."""
READERS = {"environ", "environb", "getenv", "getenvb", "dotenv_values", "load_dotenv"}


def readers(source: str) -> set[str]:
    """Names by which a module reads the environment."""
    found: set[str] = set()
    if not any(name in source for name in (*READERS, "envvar")):
        return found
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
                found |= {name} & READERS
            case ast.keyword(arg="envvar"):
                found.add("envvar")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "from os import environ as e",
        "os.getenv('A')",
        "from dotenv import dotenv_values",
        "typer.Option(envvar='A')",
    ],
)
def test_a_module_that_reads_the_environment_is_found(source: str) -> None:
    assert readers(source)


def test_nothing_but_the_settings_reads_the_environment() -> None:
    modules = [path for room in PROGRAM for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(modules) > 200
    read = {
        str(path.relative_to(ROOT)): names
        for path in modules
        if (names := readers(path.read_text()))
        and not path.is_relative_to(ROOT / "orderwire/settings")
        and str(path.relative_to(ROOT)) not in ELSEWHERE
    }
    assert read == {}


def test_the_settings_read_it_in_one_module() -> None:
    rooms = sorted((ROOT / "orderwire/settings").glob("*.py"))
    assert [path.name for path in rooms if readers(path.read_text())] == ["sources.py"]
