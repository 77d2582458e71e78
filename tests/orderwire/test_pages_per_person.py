"""Pages for readers (`docs/for-*.md`, README): what they name is there."""

import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from orderwire.cli import app
from query.endpoints.table import ROUTES
from tests.support.api.deployment import ROOT, setting_names

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("for-*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(path: Path) -> set[str]:
    """What a link to a heading may be, as GitHub writes it."""
    found = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def test_there_is_a_page_for_each_person() -> None:
    assert {page.stem for page in PAGES[1:]} == {
        "for-agencies",
        "for-analysts",
        "for-contributors",
        "for-merchants",
    }


def text(page: Path) -> str:
    """Its text, each paragraph on one line."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", page.read_text())


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


@each_page
def test_every_command_and_option_exists(page: Path) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for verb, rest in re.findall(r"`(?:orderwire|.*bin/orderwire) ([a-z-]+)([^`]*)`", text(page)):
        assert verb in group.commands, verb
        known = group.commands[verb]
        commands = [known, *getattr(known, "commands", {}).values()]
        options = {
            name for command in commands for parameter in command.params for name in parameter.opts
        }
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in options | {"--help"}, f"{verb} {option}"


@each_page
def test_every_path_of_the_api_exists(page: Path) -> None:
    known = [re.sub(r"\{[^}]+\}", "[^/]+", route.path) for route in ROUTES]
    for path in re.findall(r"(?<![\w])(/v1/[\w/%{}]*\w)", page.read_text()):
        assert any(re.fullmatch(pattern, path) for pattern in known), path


def test_names_in_the_agencies_example_are_settings_of_a_shop() -> None:
    page = (ROOT / "docs/for-agencies.md").read_text()
    (table,) = re.findall(r"```toml\n\[shops[^\n]*\n(.*?)```", page, re.S)
    names = set(re.findall(r"^(\w+) =", table, re.M))
    variables = {
        f"{prefix}_{name.removesuffix('_file')}".upper()
        for name in names
        for prefix in ("shopify", "meta", "ad")
    }
    assert len(names) == len(variables & setting_names())
