"""What is set for one shop, by SHOPIFY_*, META_* and AD_* variables or by its table in orderwire.toml: secrets, pixel, numbers."""

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from destinations.meta.settings import CapiSettings
from orderwire.settings.destinations import META, Account, account, refuse_unknown
from orderwire.settings.shop_numbers import AdNumbers, CustomerNumbers, Numbers, numbers
from orderwire.settings.sources import ConfigurationError


def message(error: ErrorDetails) -> str:
    """pydantic's message, without its own first words before one of ours."""
    return error["msg"].removeprefix("Value error, ")


class ShopSettings:
    """One shop: its secrets, its pixel, its numbers. Made by `Settings.shops`."""

    def __init__(self, domain: str, table: Mapping[str, Any]) -> None:
        self.domain = domain.strip().lower()
        self._table = {name: value for name, value in table.items() if value not in (None, "")}

    def _text(self, name: str) -> str | None:
        value = self._table.get(name)
        return None if value is None else str(value)

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """Newest first. Raises ConfigurationError where there is none."""
        listed = self._table.get("webhook_secret", ())
        secrets = (
            [str(s) for s in listed] if isinstance(listed, list) else str(listed or "").split(",")
        )
        found = tuple(secret.strip().encode() for secret in secrets if secret.strip())
        if not found:
            raise ConfigurationError(
                f"{self.domain} has no webhook secret: set SHOPIFY_WEBHOOK_SECRET, or webhook_secret in orderwire.toml"
            )
        return found

    @property
    def zone(self) -> ZoneInfo | None:
        """The shop's time zone, where set. Raises ConfigurationError."""
        name = self._text("timezone")
        try:
            return ZoneInfo(name) if name else None
        except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
            raise ConfigurationError(
                f"SHOPIFY_TIMEZONE of {self.domain}: {name!r} is no time zone; write an IANA name such as Europe/Paris"
            ) from None

    @property
    def keep_hashed_contacts(self) -> bool:
        """Whether hashes of its customers' e-mail addresses and telephone numbers are kept. Raises ConfigurationError."""
        text = (self._text("keep_hashed_contacts") or "false").lower()
        if text not in ("true", "false"):
            raise ConfigurationError(
                f"SHOPIFY_KEEP_HASHED_CONTACTS of {self.domain} is {text!r}: write true or false"
            )
        return text == "true"

    @property
    def admin_token(self) -> str | None:
        """Token of Shopify's Admin API, where set."""
        return self._text("admin_token")

    @property
    def admin_graphql_url(self) -> str:
        """Where Shopify's Admin API answers GraphQL; SHOPIFY_ADMIN_URL replaces the shop's own host, for tests and proxies."""
        host = (self._text("admin_url") or f"https://{self.domain}").rstrip("/")
        return f"{host}/admin/api/{self._text('api_version') or '2026-10'}/graphql.json"

    @property
    def meta_secrets(self) -> tuple[str, str] | None:
        """App secret and verify token of Meta's webhooks, where both are set."""
        secret, token = self._text("app_secret"), self._text("verify_token")
        return (secret, token) if secret and token else None

    @property
    def currency(self) -> str | None:
        """The shop's currency (ISO 4217), where set. Raises ConfigurationError."""
        code = (self._text("shop_currency") or "").strip().upper()
        if not code:
            return None
        from stream.money import (
            digits,  # It brings babel, and processes that count no money do without.
        )

        try:
            digits(code)
        except ValueError:
            raise ConfigurationError(
                f"SHOPIFY_SHOP_CURRENCY of {self.domain} is {code!r}: write an ISO 4217 code such as EUR"
            ) from None
        return code

    @cached_property
    def ads(self) -> AdNumbers:
        """What its ad budgets go by. Raises ConfigurationError."""
        return self._numbers(AdNumbers, "AD_")

    @cached_property
    def customers(self) -> CustomerNumbers:
        """What its customers' value goes by. Raises ConfigurationError."""
        return self._numbers(CustomerNumbers, "ORDERWIRE_")

    def _numbers(self, model: type[Numbers], prefix: str) -> Numbers:
        try:
            return numbers(model, prefix, self._table, self.domain)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    @cached_property
    def capi(self) -> CapiSettings | None:
        """Where and how its Purchase events go; None where no pixel is set. Raises ConfigurationError."""
        table: dict[str, Any] = {
            name: value for name, value in self._table.items() if name in _CAPI_NAMES
        } | self._accounts.get(META, {})
        refuse_unknown(f"{self.domain}: destinations.{META}", table, _CAPI_NAMES)
        if "pixel_id" not in table and "access_token" not in table:
            return None
        missing = [name for name in ("pixel_id", "access_token") if name not in table]
        if missing:
            raise ConfigurationError(
                f"{self.domain}: META_{missing[0].upper()} is missing; CAPI needs both META_PIXEL_ID and META_ACCESS_TOKEN"
            )
        for name in _CAPI_LISTS & set(table):
            if isinstance(table[name], str):
                table[name] = tuple(part.strip() for part in table[name].split(",") if part.strip())
        table["pixel_id"] = str(table["pixel_id"])
        try:
            return _CAPI.validate_python(table | {"shop": self.domain})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            # Without a place it is `CapiSettings` itself that refuses, and its message begins with the name.
            told = ": ".join([*(str(part) for part in first["loc"][:1]), message(first)])
            told = re.sub(r"^\w+", lambda name: f"META_{name[0].upper()}", told)
            raise ConfigurationError(f"{self.domain}: {told}") from None

    @cached_property
    def destinations(self) -> dict[str, Account]:
        """Every account that receives this shop's events, by name. Raises ConfigurationError."""
        found = {} if self.capi is None else {META: Account(META, META, self.capi)}
        return found | {
            name: account(self.domain, name, table)
            for name, table in self._accounts.items()
            if name != META
        }

    @property
    def _accounts(self) -> dict[str, dict[str, Any]]:
        accounts: dict[str, dict[str, Any]] = self._table.get("destinations", {})
        return accounts


_CAPI = TypeAdapter(CapiSettings)
_CAPI_NAMES = {field.name for field in fields(CapiSettings)} - {"shop"}
_CAPI_LISTS = {"renewal_tags", "fbc_attributes", "fbp_attributes", "ldu_states", "consent_values"}
_SHOPIFY_NAMES = {
    "webhook_secret",
    "admin_token",
    "api_version",
    "admin_url",
    "timezone",
    "shop_currency",
    "keep_hashed_contacts",
}
_AD_NAMES, _CUSTOMER_NAMES = set(AdNumbers.model_fields), set(CustomerNumbers.model_fields)
_META_NAMES = _CAPI_NAMES | {"verify_token", "ad_account_id"}
SHOP_NAMES = _SHOPIFY_NAMES | _AD_NAMES | _META_NAMES | _CUSTOMER_NAMES | {"destinations"}
"""What a shop's table may say."""
SHOP_LISTS = _CAPI_LISTS | {"webhook_secret"}
"""Those that may be lists of texts."""
SHOP_TABLES = {"sources"}
"""Those that are tables."""


def shop_variables() -> dict[str, str]:
    """The environment variables that are a shop's, and the name of each in `orderwire.toml`."""
    prefixed = (
        ("SHOPIFY_", _SHOPIFY_NAMES),
        ("META_", _META_NAMES),
        ("AD_", _AD_NAMES),
        ("ORDERWIRE_", _CUSTOMER_NAMES),
    )
    return {f"{prefix}{name.upper()}": name for prefix, names in prefixed for name in names}
