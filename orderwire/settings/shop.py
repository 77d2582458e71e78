"""One shop: SHOPIFY_*, META_* and AD_* variables, or its table in orderwire.toml."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from destinations.delivery.account import Account
from destinations.meta.settings import CapiSettings
from orderwire.settings.destinations import META, account
from orderwire.settings.meta import CAPI_NAMES, MetaVariables, capi_table
from orderwire.settings.names import Prefix, TableOnly
from orderwire.settings.numbers import AdNumbers, CustomerNumbers
from orderwire.settings.refusal import ConfigurationError, refuse_unknown


def _secrets(listed: object) -> tuple[bytes, ...]:
    parts = listed if isinstance(listed, list) else re.split(r"[,\r\n]", str(listed or ""))
    if isinstance(listed, Mapping) or not all(isinstance(part, str) for part in parts):
        raise ValueError("write a text or a list of texts")
    found = tuple(part.strip().encode() for part in parts if part.strip())
    if not found:
        raise ValueError("is empty; write the secret that Shopify shows, or several")
    return found


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder of zones is an OSError
        raise ValueError(str(error)) from None


def _currency(code: object) -> str:
    # It brings babel, and processes that count no money do without.
    from stream.money import digits

    text = str(code).strip().upper()
    digits(text)
    return text


TABLE_ONLY = {"destinations", "sources"}
"""What a shop's table may say and no variable can."""


class ShopSettings(BaseModel):
    """The settings of one shop. Created by `Settings.load`."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    domain: Annotated[str, TableOnly()]
    webhook_secrets: Annotated[tuple[bytes, ...], BeforeValidator(_secrets)] = Field(
        validation_alias="webhook_secret", repr=False
    )
    """Newest first."""
    admin_token: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    """The first one; the store keeps those that follow it."""
    api_version: str = Field(
        "2026-10", pattern=r"^(\d{4}-\d\d|unstable)$", description="a version such as 2026-10"
    )
    admin_url: str | None = Field(
        None, pattern=r"^https?://[^/\s]+", description="https://host, without a path"
    )
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)] | None = Field(
        None,
        validation_alias="timezone",
        description="an IANA name of a time zone such as Europe/Paris",
    )
    currency: Annotated[str, BeforeValidator(_currency)] | None = Field(
        None, validation_alias="shop_currency", description="an ISO 4217 code such as EUR"
    )
    alert_webhook_url: SecretStr | None = None
    alert_slack_url: SecretStr | None = None
    """Where alarms about this shop go, beside those of the installation."""
    keep_hashed_contacts: bool = Field(False, description="true or false")
    """Whether hashes of its customers' e-mail addresses and telephone numbers are kept."""

    ads: Annotated[AdNumbers, Prefix("AD_")] = AdNumbers()
    customers: Annotated[CustomerNumbers, Prefix("ORDERWIRE_")] = CustomerNumbers()
    capi: Annotated[CapiSettings | None, Prefix("META_")] = None
    """Where and how its Purchase events go; None where no pixel is set."""
    meta: Annotated[MetaVariables, Prefix("META_")] = MetaVariables()
    destinations: Annotated[dict[str, Account], TableOnly()] = {}
    """Accounts that receive this shop's events, by name; `capi` is the one named meta."""

    @model_validator(mode="after")
    def _meta_is_an_account(self) -> Self:
        if self.capi is not None:
            self.destinations[META] = Account(self.domain, META, META, self.capi)
        return self

    @property
    def admin_graphql_url(self) -> str:
        """Where Shopify's Admin API answers GraphQL."""
        return f"{self._admin_host}/admin/api/{self.api_version}/graphql.json"

    @property
    def admin_token_url(self) -> str:
        """Where Shopify gives access tokens."""
        return f"{self._admin_host}/admin/oauth/access_token"

    @property
    def has_admin_api(self) -> bool:
        """Whether anything is set by which the Admin API may be asked."""
        return self.admin_token is not None or self.client_id is not None

    @property
    def _admin_host(self) -> str:
        return (self.admin_url or f"https://{self.domain}").rstrip("/")

    @property
    def meta_secrets(self) -> tuple[str, str] | None:
        """App secret and verify token of Meta's webhooks, where both are set."""
        secret, token = self.meta.app_secret, self.meta.verify_token
        if secret is None or token is None:
            return None
        return secret.get_secret_value(), token.get_secret_value()


def sections(domain: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What `ShopSettings` is made of, from the flat names of a shop's table.

    Raises ConfigurationError.
    """
    accounts = values.get("destinations", {})
    if not isinstance(accounts, dict) or not all(isinstance(t, dict) for t in accounts.values()):
        raise ConfigurationError(
            f'{domain}: write one table [shops."{domain}".destinations.NAME] per account'
        )
    own_meta = accounts.get(META, {})
    refuse_unknown(f"{domain}: destinations.{META}", own_meta, CAPI_NAMES)
    try:
        capi = capi_table(domain, {**values, **own_meta})
    except ValueError as error:
        raise ConfigurationError(f"{domain}: {error}") from None
    return {
        **values,
        "domain": domain,
        "ads": values,
        "customers": values,
        "meta": values,
        "capi": capi,
        "destinations": {
            name: account(domain, name, table) for name, table in accounts.items() if name != META
        },
    }
