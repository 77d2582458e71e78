"""META_*: the account named `meta` (Purchase events), Meta's webhooks and Insights."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from destinations.meta.settings import CapiSettings

CAPI_NAMES = frozenset(each.name for each in fields(CapiSettings)) - {"shop"}
_LISTS = {"renewal_tags", "fbc_attributes", "fbp_attributes", "ldu_states", "consent_values"}


class MetaVariables(BaseModel):
    """What Meta's webhooks and Insights need beside the account."""

    model_config = ConfigDict(frozen=True)

    app_secret: SecretStr | None = None
    """Also the account's: it signs calls to the Graph API."""
    verify_token: SecretStr | None = None
    ad_account_id: str | None = Field(None, pattern=r"^(act_)?\d+$", description="digits")
    ads_token: SecretStr | None = None
    """Reads Insights, where the pixel's token has no ads_read."""
    graph_url: str = "https://graph.facebook.com"
    graph_version: str = "v27.0"


def capi_table(shop: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `CapiSettings` is made of, texts of several split; None where no pixel is set.

    Raises ValueError where only one half of pixel and token is there.
    """
    table = {name: value for name, value in values.items() if name in CAPI_NAMES}
    missing = [name for name in ("pixel_id", "access_token") if name not in table]
    if len(missing) == 2:
        return None
    if missing:
        raise ValueError(
            f"META_{missing[0].upper()} is missing; CAPI needs both META_PIXEL_ID and"
            " META_ACCESS_TOKEN"
        )
    for name in _LISTS & table.keys():
        if isinstance(table[name], str):
            table[name] = tuple(part.strip() for part in table[name].split(",") if part.strip())
    return table | {"shop": shop, "pixel_id": str(table["pixel_id"])}
