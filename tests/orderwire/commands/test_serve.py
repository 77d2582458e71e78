"""`orderwire serve`: which roles, and what a wrong configuration says."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def one_shop(monkeypatch: pytest.MonkeyPatch, in_a_folder: None) -> None:
    monkeypatch.setenv("SHOPIFY_SHOP", "one")
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", "secret")


def serve(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """The roles that the supervisor is started with; `exec` would replace the test's process."""
    started: list[str] = []

    def execv(path: str, command: Sequence[str]) -> None:
        started.extend(command[3:])

    monkeypatch.setattr(os, "execv", execv)
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 0, result.output
    return started


def test_it_runs_all_roles_where_nobody_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve(monkeypatch) == ["receive", "process", "query"]


def test_the_dotenv_file_may_say_which_and_the_option_is_stronger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("ORDERWIRE_ROLES=process, query\n")
    assert serve(monkeypatch) == ["process", "query"]
    assert serve(monkeypatch, "--roles", "receive") == ["receive"]


@pytest.mark.parametrize("roles", [(), ("--roles", "receive,query")])
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"ORDERWIRE_RETENTION_DAYS": "31"},
            "ORDERWIRE_RETENTION_DAYS is '31': write a whole number of days from 1 to 30",
        ),
        ({"SHOPIFY_SHOP": "", "SHOPIFY_WEBHOOK_SECRET": ""}, "no shop is configured: "),
        ({"ORDERWIRE_API": "0.0.0.0:8080"}, "ORDERWIRE_API_TOKENS"),
    ],
)
def test_a_wrong_configuration_is_reported_once_and_ends_it_with_78(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    message: str,
    roles: tuple[str, ...],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["serve", *roles])
    assert result.exit_code == 78
    (line,) = result.output.splitlines()
    assert line.startswith("orderwire serve: ")
    assert message in line


def test_it_says_where_webhooks_and_the_dashboard_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERWIRE_RECEIVER", "0.0.0.0:18081")
    monkeypatch.setenv("ORDERWIRE_API", "[::1]:18080")
    monkeypatch.setattr(os, "execv", lambda *_: None)
    result = CliRunner().invoke(app, ["serve", "--roles", "receive,query"])
    events = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert events == [
        "webhooks at http://0.0.0.0:18081/webhooks/shopify",
        "dashboard and API at http://[::1]:18080/",
    ]
    result = CliRunner().invoke(app, ["serve", "--roles", "process"])
    assert result.stderr == ""
