"""What a shop sold and what its campaigns cost: integer minor units, days since 1970-01-01."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}


class Sale(NamedTuple):
    """An order as it finally stands. `campaign` is (channel, id, name) of a cost, of a link without
    costs, or (channel, "", "")."""

    day: int
    kept: int
    currency: str
    campaign: tuple[str, str, str]


class Cost(NamedTuple):
    """The last report of one campaign-day."""

    day: int
    channel: str
    campaign_id: str
    name: str
    currency: str
    spend: int
    clicks: int
    platform_revenue: int | None


@dataclass(frozen=True)
class Merchant:
    """Settings, money in minor units."""

    currency: str
    bankroll: int | None
    margin: float | None
    days: int = 30
    immature: int = 3
    shown: int | None = None
    """Days that are asked for; what is advised does not depend on it."""
    step: float = 0.3
    seed: int | None = None
    kelly: float = 0.5
    prior_days: float = 10
    prior_sd: float = 0.2
    horizon: int = 30
    cut: float = 0.75


def amount(units: float | None, currency: str) -> dict[str, str] | None:
    if units is None:
        return None
    return {
        "amount": str(Decimal(round(units)).scaleb(-DIGITS[currency])),
        "currency_code": currency,
    }


class Day(NamedTuple):
    spend: int
    revenue: int
    orders: int
