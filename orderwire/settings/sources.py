"""Where settings stand, and what is refused there: a name that is none, a file that is not one, a value of the wrong kind.

A misspelt name is refused rather than left out, since what it was to say would silently not be so. SHOPIFY_*, META_* and AD_* variables
that are no settings are let be: other programs of the shop have theirs.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

OWN_PREFIX = "ORDERWIRE_"
ELSEWHERE = {"ORDERWIRE_ROLES"}
"""Read by the command line (`serve --roles`)."""
FOREIGN = re.compile(
    r"ORDERWIRE_(TEST_\w+|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|(\w+_)?PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What tests are told, and what Kubernetes tells every container of a service named orderwire or orderwire-something."""


class ConfigurationError(Exception):
    """A setting is missing or cannot be meant; the message says which and what to write."""


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables that `.env` sets, where there is one. Raises ConfigurationError."""
    try:
        return {
            name: value
            for name, value in dotenv_values(path, encoding="utf-8").items()
            if value is not None
        }
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {_reason(error)}") from None


def refuse_misspelt(names: Collection[str], known: Collection[str]) -> None:
    """Raises ConfigurationError for a variable of ours that there is not."""
    for name in sorted(names):
        if (
            name.startswith(OWN_PREFIX)
            and name not in known
            and name not in ELSEWHERE
            and not FOREIGN.fullmatch(name)
        ):
            raise ConfigurationError(
                f"{name} is no setting{_nearest(name, known)}; see .env.example for all of them"
            )


def read_shop_tables(
    path: Path, known: Collection[str], known_lists: Collection[str], known_tables: Collection[str]
) -> dict[str, Any]:
    """`[shops."name"]` tables of orderwire.toml, by name as written; nothing where there is no file. Raises ConfigurationError.

    `known` are a table's settings, `known_lists` those that may be lists of texts, `known_tables` those that are tables.
    """
    try:
        whole = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {_reason(error)}") from None
    if strange := sorted(whole.keys() - {"shops"}):
        raise ConfigurationError(
            f'{path}: {strange[0]} is not read here; there are tables [shops."name.myshopify.com"], and everything else is a variable'
        )
    shops = whole.get("shops", {})
    if not isinstance(shops, Mapping):
        raise ConfigurationError(f'{path}: shops is no table; write [shops."name.myshopify.com"]')
    for shop, table in shops.items():
        if not isinstance(table, Mapping):
            raise ConfigurationError(f'{path}: {shop} is no table; write [shops."{shop}"]')
        for name, value in table.items():
            if name not in known:
                raise ConfigurationError(
                    f"{shop}: {name} is no setting{_nearest(name, known)}; there are: {', '.join(sorted(known))}"
                )
            _refuse_kind(shop, name, value, name in known_lists, name in known_tables)
    return dict(shops)


def _refuse_kind(shop: str, name: str, value: object, may_be_list: bool, is_table: bool) -> None:
    if name == "destinations":
        fits = isinstance(value, Mapping) and all(
            isinstance(each, Mapping) for each in value.values()
        )
        wanted = f'one table [shops."{shop}".destinations.NAME] per account'
    elif is_table:
        fits = isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
        wanted = "a table of texts"
    elif may_be_list:
        fits = isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        )
        wanted = "a text or a list of texts"
    else:
        fits, wanted = isinstance(value, (str, int, float)), "a text, a number, true or false"
    if not fits:
        raise ConfigurationError(f"{shop}: {name} is of the wrong kind: write {wanted}")


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f": did you mean {near[0]}?" if near else ""


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return f"byte {error.start + 1} is not UTF-8"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return str(error)
