"""What every answer under `/v1` has beside its own members: the shop, and what it rests on."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict

from query.as_of import AsOf

SHOP_EXAMPLE = "example.myshopify.com"


class OfShop(Struct, frozen=True, kw_only=True):
    """An answer about one shop."""

    shop: Annotated[str, Meta(description="The shop's domain.", examples=[SHOP_EXAMPLE])]
    as_of: Annotated[AsOf, Meta(description="What the answer rests on.")]


class OfInstallation(Struct, frozen=True, kw_only=True):
    """An answer about the installation, or about one shop where one was named."""

    shop: Annotated[
        str | None,
        Meta(description="The shop's domain; null for all shops.", examples=[SHOP_EXAMPLE]),
    ]
    as_of: Annotated[AsOf, Meta(description="What the answer rests on.")]


def answered(shop: str | None, as_of: AsOf, answer: Struct | dict[str, Any]) -> dict[str, Any]:
    """The whole answer, ready to encode."""
    members = answer if isinstance(answer, dict) else asdict(answer)
    return {"shop": shop, "as_of": as_of, **members}
