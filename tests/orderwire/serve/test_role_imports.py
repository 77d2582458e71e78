"""What a role's process loads. Each holds its libraries for as long as the shop sells, so what it
does not use is memory for nothing."""

import pkgutil
import subprocess
import sys

import pytest

import orderwire.serve
from orderwire.serve.feeds import FEEDS
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings

STORE = {"sqlalchemy"}
MIGRATIONS = {"alembic", "mako"}
MATHS = {"numpy", "scipy"}
LARGE = {"scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.stats"}
OTHER_BACKENDS = {"aiokafka", "psycopg"}
COMMAND_LINE = {"typer", "requests"}
NEVER = MIGRATIONS | OTHER_BACKENDS | COMMAND_LINE | {"pandas", "rich"}


def loaded(modules: str) -> set[str]:
    """Names of what a new interpreter has loaded after importing `modules`: packages, and our own
    modules and SciPy's with their path."""
    program = (
        f"import sys, {modules}\n"
        "package = lambda name: name.partition('.')[0]\n"
        "whole = {'query', 'ingest', 'scipy'}\n"
        "print(*{name if package(name) in whole else package(name)\n"
        "        for name, module in sys.modules.items() if module})"
    )
    return set(
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize(
    ("role", "without"),
    [
        ("receive", NEVER | STORE | MATHS | {"query", "phonenumbers"}),
        ("process", NEVER | MATHS | LARGE | {"query", "ingest"}),
        ("query", NEVER | LARGE | {"ingest", "phonenumbers"}),
    ],
)
def test_a_role_loads_nothing_that_it_does_not_use(role: str, without: set[str]) -> None:
    found = loaded(f"orderwire.serve.role, orderwire.serve.roles.{role}")
    assert {"aiohttp", "pydantic", "structlog"} <= found
    assert found & without == set()


def test_what_a_role_loads_later_loads_without_the_command_lines_libraries() -> None:
    # A job or an audit is loaded when a shop first needs it; there is no rich in a role by then.
    modules = [
        module.name
        for module in pkgutil.walk_packages(orderwire.serve.__path__, "orderwire.serve.")
        if not module.ispkg
    ]
    assert "orderwire.serve.jobs.watchdog" in modules
    program = f"import orderwire.serve.start.without_rich, {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_opening_an_embedded_log_and_an_up_to_date_store_loads_no_other_backend() -> None:
    assert not loaded("stream.log.sqlite.log, stream.store.sql.store") & (
        OTHER_BACKENDS | MIGRATIONS
    )


def test_the_supervisor_loads_next_to_nothing() -> None:
    assert not loaded("orderwire.serve.supervisor") & {
        "aiohttp",
        "asyncio",
        "pydantic",
        "structlog",
        "sqlalchemy",
    }


def test_what_serve_checks_before_its_roles_loads_no_web_server_and_no_store() -> None:
    program = "orderwire.commands.serve, orderwire.serve.start.opening"
    assert not loaded(program) & {"aiohttp", "sqlalchemy"}


def test_the_feeds_that_are_reported_without_loading_processors_are_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPIFY_SHOP", "example.myshopify.com")
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", "secret")
    settings = Settings.load()
    assert list({name: make(settings).topic for name, make in PROCESSORS.items()}.items()) == list(
        FEEDS.items()
    )
