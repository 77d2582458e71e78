"""Reads `[shops."x".destinations.NAME]`: one table per account, checked by its destination's model.

A table's `kind` names the destination; without it NAME is the kind. The model is in the
destination's folder, and `destinations/registry.py` has one line for each.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from destinations.delivery.account import Account
from destinations.registry import KINDS
from orderwire.settings.names import is_secret
from orderwire.settings.refusal import ConfigurationError, refuse_unknown
from orderwire.settings.sources import with_secret_files

META = "meta"
"""The account that META_* variables and a shop's own pixel_id, access_token, ... describe."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""Account names stand in URLs, store keys and metric labels."""


def account(shop: str, name: str, table: Mapping[str, Any]) -> Account:
    """The account that a table describes. Raises ConfigurationError."""
    where = f"{shop}: destinations.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{where}: write up to 40 small letters, digits, _ or - as the account's name"
        )
    kind = str(table.get("kind", name))
    if kind not in KINDS:
        raise ConfigurationError(
            f"{where}: {kind} is no destination; write kind = one of {', '.join(sorted(KINDS))}"
        )
    model = KINDS[kind].settings()
    values = {key: value for key, value in table.items() if key != "kind"}
    values = with_secret_files(f"{where}.", values, _secrets(model))
    refuse_unknown(where, values, _names(model) - {"shop"})
    try:
        made = TypeAdapter(model).validate_python({"shop": shop, **values})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f".{part}" for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{where}{place}: {message}") from None
    return Account(shop, name, kind, made)


def _secrets(model: type[Any]) -> set[str]:
    """Names of the fields that never show, and may come from the file that `NAME_file` names."""
    if is_dataclass(model):
        return {each.name for each in fields(model) if not each.repr}
    return {name for name, field in model.model_fields.items() if is_secret(field)}


def _names(model: type[Any]) -> set[str]:
    if is_dataclass(model):
        return {each.name for each in fields(model)}
    if issubclass(model, BaseModel):
        return set(model.model_fields)
    raise TypeError(f"{model.__name__} is neither a pydantic model nor a dataclass")
