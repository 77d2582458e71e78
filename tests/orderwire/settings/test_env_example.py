"""`.env.example` names every setting, with its default and a line each."""

import itertools
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from orderwire.settings.names import settings_of
from orderwire.settings.program import Settings
from tests.support.api.deployment import ASKED, COMPOSE, ROOT, scalars, setting_names

EXAMPLE = (ROOT / ".env.example").read_text()


def defaults() -> dict[str, str]:
    """The defaults as one would write them in .env, empty where there is none."""
    return {each.variable: _written(each.default) for each in settings_of(Settings, "ORDERWIRE_")}


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    return (
        {None: "", PydanticUndefined: "", True: "true", False: "false"}[value]
        if value in (None, PydanticUndefined) or isinstance(value, bool)
        else str(value)
    )


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

    assert shown == {name: known[name] for name in shown}


def test_the_example_asks_for_the_shop_and_what_compose_asks_for_and_holds_no_value_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "env").write_text(EXAMPLE)
    asked = dict(ASKED.findall("\n".join(value for _, value in scalars(COMPOSE))))

    assert dotenv_values(tmp_path / "env") == dict.fromkeys(
        [*asked, "SHOPIFY_SHOP", "SHOPIFY_WEBHOOK_SECRET"], ""
    )


def test_the_whole_example_can_be_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the # taken away from every value shown: the reader refuses no default."""
    written = re.sub(r"^#([A-Z_]+=.+)$", r"\1", EXAMPLE, flags=re.MULTILINE)
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        written.replace("SHOPIFY_SHOP=", "SHOPIFY_SHOP=a.myshopify.com").replace(
            "SHOPIFY_WEBHOOK_SECRET=", "SHOPIFY_WEBHOOK_SECRET=s"
        )
    )

    settings = Settings.load()

    assert settings.kafka.partitions == 8
    assert settings.shops["a.myshopify.com"].webhook_secrets == (b"s",)
