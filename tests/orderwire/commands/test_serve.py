"""`orderwire serve`: which roles, and what a wrong configuration says."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


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


def test_a_wrong_configuration_is_said_once_and_ends_it_with_78(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORDERWIRE_RETENTION_DAYS", "31")
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 78
    assert result.output == (
        "orderwire serve: ORDERWIRE_RETENTION_DAYS is '31':"
        " write a whole number of days from 1 to 30\n"
    )
