"""docs/adding-a-destination.md, followed word for word, adds a destination that keeps the contract
of all."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.servers.altered import PACKAGES, ROOT, add_file, write_program

PAGE = ROOT / "docs/adding-a-destination.md"
BLOCK = re.compile(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)
EMPTY = re.compile(r"`([\w/]+\.py)` is empty")
REGISTERED = re.compile(r"`NAMES`:\n\n```text\n(.*?)```", re.DOTALL)
TABLE = re.compile(r"```toml\n(.*?)```", re.DOTALL)

CONFIGURED = """
import json, sys, tomllib
from orderwire.serve.feeds import FEEDS
from orderwire.settings.destinations import account
from orderwire.settings.refusal import ConfigurationError

((shop, its),) = tomllib.loads(sys.argv[1])["shops"].items()
((name, table),) = its["destinations"].items()
table["token_file"] = sys.argv[2]
made = account(shop, name, table)
try:
    account(shop, name, {**table, "bok": "b2"})
    refused = ""
except ConfigurationError as error:
    refused = str(error)
print(json.dumps({
    "account": [made.shop, made.name, made.kind, made.settings.book, made.settings.token],
    "shown": repr(made), "refused": refused, "feeds": FEEDS,
}))
"""


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_adds_a_destination_that_keeps_the_contract(tmp_path: Path) -> None:
    changed = {"destinations", "simulator", "tests/destinations"}
    write_program(tmp_path, changed, [*PACKAGES, "tests"])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    page = PAGE.read_text()
    blocks = dict(BLOCK.findall(page))
    assert len(blocks) == 6
    for name, code in {**dict.fromkeys(EMPTY.findall(page), ""), **blocks}.items():
        add_file(tmp_path, name, code)
    (line,) = REGISTERED.findall(page)
    registry = tmp_path / "destinations" / "registry.py"
    registry.write_text(registry.read_text().replace('    "webhook",\n', f'    "webhook",\n{line}'))

    (table,) = TABLE.findall(page)
    secret = tmp_path / "token"
    secret.write_text("hush\n")
    answer = json.loads(run(tmp_path, "-c", CONFIGURED, table, str(secret)))
    assert answer["account"] == ["name.myshopify.com", "books", "tally", "b1", "hush"]
    assert "hush" not in answer["shown"]
    assert "bok" in answer["refused"]

    mine = sorted({name.rpartition("/")[0] for name in blocks})
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *mine)
    run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *mine)
    tests = "tests/destinations/tally"
    passed = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "sqlite", tests)
    assert int(re.findall(r"(\d+) passed", passed)[0]) >= 15
