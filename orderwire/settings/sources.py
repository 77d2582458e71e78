"""Sources of settings: the environment, `.env`, files of secrets, and orderwire.toml. A misspelt
name is refused, since ignoring it would silently change nothing.

SHOPIFY_*, META_* and AD_* variables that are no settings are ignored: the shop's other programs
have their own.
"""

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.sources.utils import parse_env_vars

from orderwire.settings.refusal import (
    ConfigurationError,
    nearest,
    refuse_replaced,
    refuse_unknown,
)

PREFIXES = ("ORDERWIRE_", "SHOPIFY_", "META_", "AD_")
_OWN_PREFIX = "ORDERWIRE_"
_FOREIGN = re.compile(
    r"ORDERWIRE_(TEST_\w+|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?"
    r"|(\w+_)?PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Set for tests, or by Kubernetes for a service named orderwire or orderwire-something."""


class Variables(EnvSettingsSource):
    """pydantic-settings' reading of variables, from `given` instead of the environment."""

    def __init__(self, settings_cls: type[BaseSettings], given: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.env_vars = parse_env_vars(given, ignore_empty=True)


def environment() -> list[Mapping[str, str]]:
    """`.env` and the environment, the stronger last. Raises ConfigurationError."""
    path = Path(".env")
    try:
        dotenv = dotenv_values(path, encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {_reason(error)}") from None
    return [{name: value for name, value in dotenv.items() if value is not None}, os.environ]


def child_environment(
    variables: Mapping[str, str], inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a child process: `variables`, and what is inherited but is no setting."""
    inherited = os.environ if inherited is None else inherited
    return {
        name: value for name, value in inherited.items() if not name.upper().startswith(PREFIXES)
    } | dict(variables)


def read_variables(
    layers: Collection[Mapping[str, str]], known: Collection[str], secrets: Collection[str]
) -> dict[str, str]:
    """Variables by name in capitals, the last layer first; an empty one is not set.

    Raises ConfigurationError, also for a name of ours that no setting has.
    """
    found: dict[str, str] = {}
    for layer in layers:
        capitals = {name.upper(): value for name, value in layer.items()}
        found |= with_secret_files("", capitals, secrets, suffix="_FILE")
    found = {name: value for name, value in found.items() if value}
    refuse_replaced("", found.keys() - set(known))
    for name in sorted(found.keys() - set(known)):
        if name.startswith(_OWN_PREFIX) and not _FOREIGN.fullmatch(name):
            files = {f"{secret}_FILE" for secret in secrets}
            meant = nearest(name, {*known, *files})
            raise ConfigurationError(
                f"{name} is no setting{meant}; see .env.example for all of them"
            )
    return found


def with_secret_files(
    where: str, table: Mapping[str, Any], secrets: Collection[str], suffix: str = "_file"
) -> dict[str, Any]:
    """`table` with each secret that NAME_FILE names read from that file, without its last newline.

    Raises ConfigurationError.
    """
    read = dict(table)
    for secret in secrets:
        name = f"{secret}{suffix}"
        path = read.pop(name, None)
        if not path:
            continue
        if read.get(secret):
            raise ConfigurationError(f"{where}{secret} and {name} are both set; write one of them")
        try:
            text = Path(str(path)).read_text("utf-8").rstrip("\r\n")
        except (UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(
                f"{where}{name}: {path} cannot be read: {_reason(error)}"
            ) from None
        if not text:
            raise ConfigurationError(f"{where}{name}: {path} is empty; write the secret into it")
        read[secret] = text
    return read


def shop_domain(text: str) -> str:
    """`name.myshopify.com` for any of `name`, `name.myshopify.com` and a URL of it."""
    host = re.sub(r"^[a-z]+://", "", text.strip().lower()).partition("/")[0].rstrip(".")
    return host if "." in host or not host else f"{host}.myshopify.com"


def read_shop_tables(
    path: Path, known: Collection[str], secrets: Collection[str]
) -> dict[str, dict[str, Any]]:
    """`[shops."name"]` tables of orderwire.toml by domain; none where there is no file.

    Raises ConfigurationError.
    """
    try:
        whole = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {_reason(error)}") from None
    if strange := sorted(whole.keys() - {"shops"}):
        raise ConfigurationError(
            f"{path}: {strange[0]} is not read here; there are tables"
            ' [shops."name.myshopify.com"], and everything else is a variable'
        )
    shops = whole.get("shops", {})
    if not isinstance(shops, Mapping):
        raise ConfigurationError(f'{path}: shops is no table; write [shops."name.myshopify.com"]')
    tables: dict[str, dict[str, Any]] = {}
    for name, table in shops.items():
        if not isinstance(table, Mapping):
            raise ConfigurationError(f'{path}: {name} is no table; write [shops."{name}"]')
        domain = shop_domain(name)
        if domain in tables:
            raise ConfigurationError(f"{path}: there are two tables of {domain}; write one")
        read = with_secret_files(f"{domain}: ", table, secrets)
        refuse_unknown(domain, read, known)
        tables[domain] = {key: value for key, value in read.items() if value != ""}
    return tables


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return f"byte {error.start + 1} is not UTF-8"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return str(error)
