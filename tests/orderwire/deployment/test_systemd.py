"""The systemd units, by systemd's own linter and by what they name of the program."""

import os
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from orderwire.cli import app
from orderwire.commands.serve import EX_CONFIG
from orderwire.serve.supervisor import STOP_S
from tests.support.api.deployment import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
PROGRAM = "/opt/orderwire/bin/orderwire"


class _Unit(RawConfigParser):
    """A unit's file; of a key that is written twice the last one counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False)
        self.read(path)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def services() -> dict[str, _Unit]:
    return {path.name: _Unit(path) for path in UNITS if path.suffix == ".service"}


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_finds_no_fault_in_them(tmp_path: Path) -> None:
    program = tmp_path / "orderwire"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copies = []
    for unit in UNITS:
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(PROGRAM, str(program)))
        copies.append(copy)
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_would_find_a_misspelt_setting(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nRestrat=always\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Restrat" in done.stderr


def test_every_command_that_they_start_is_a_command_of_the_program() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    for name, unit in services().items():
        program, verb, *options = unit["Service"]["ExecStart"].split()
        assert program == PROGRAM, name
        known = {
            text for each in command.commands[verb].params for text in (*each.opts, each.name or "")
        }
        assert {option for option in options if option.startswith("--")} <= known, name


def test_it_ends_in_time_and_stays_ended_where_the_configuration_is_impossible() -> None:
    serve = services()["orderwire.service"]["Service"]
    assert int(serve["TimeoutStopSec"]) > STOP_S
    assert int(serve["RestartPreventExitStatus"]) == EX_CONFIG
    assert serve["UMask"] == "0077"


def test_a_timer_starts_the_service_of_its_name() -> None:
    names = {path.stem for path in UNITS if path.suffix == ".timer"}
    assert names
    assert {f"{name}.service" for name in names} <= services().keys()
