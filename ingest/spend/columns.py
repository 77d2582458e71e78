"""Recognises the columns of an ad platform's export, and whose export it is: our own names
(docs/api.md, "Records on spend"), the names of Meta Ads Manager, Google Ads and TikTok Ads Manager
in four languages, and their APIs' field names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream.money import is_known

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "date": (
        *("date", "day", "by day", "stat_time_day", "segments.date"),
        *("tag", "jour", "día", "dia"),
    ),
    "first_date": ("reporting starts", "date_start", "berichtsstart", "début des rapports"),
    "last_date": ("reporting ends", "date_stop", "berichtsende", "fin des rapports"),
    "channel": ("channel",),
    "campaign_id": ("campaign_id", "campaign id", "campaign.id", "kampagnen-id"),
    "campaign_name": (
        *("campaign_name", "campaign name", "campaign", "campaign.name"),
        *("kampagnenname", "kampagne", "nom de la campagne", "campagne"),
        *("nombre de la campaña", "campaña"),
    ),
    "spend": (
        *("spend", "amount spent", "cost", "total cost"),
        *("ausgegebener betrag", "kosten", "montant dépensé", "coût", "importe gastado", "coste"),
    ),
    "spend_micros": ("cost_micros", "metrics.cost_micros"),
    "currency": (
        *("currency", "currency code", "currency_code", "account_currency", "account currency"),
        *("customer.currency_code", "währung", "währungscode", "devise", "divisa"),
    ),
    "impressions": ("impressions", "impr.", "metrics.impressions", "impressionen", "impresiones"),
    "clicks": (
        *("clicks", "clicks (all)", "metrics.clicks", "clicks (destination)", "link clicks"),
        *("klicks (alle)", "klicks", "clics (tous)", "clics (todos)", "clics"),
    ),
    # One kind of purchase each, never a sum: "purchases" has the website's in it.
    "platform_revenue": (
        *("platform_revenue", "purchases conversion value", "website purchases conversion value"),
        *("conv. value", "conversion value", "metrics.conversions_value", "conversions_value"),
        *("total complete payment", "total purchase value", "conv.-wert"),
    ),
    "platform_orders": (
        *("platform_orders", "purchases", "website purchases", "conversions"),
        *("metrics.conversions", "complete payment", "complete payments"),
    ),
    "time_zone": ("time_zone", "time zone", "timezone"),
    "reported_at": ("reported_at",),
}
"""Names of each field, the first that a file has counts."""

_SIGNS: Final = {
    "meta": re.compile(
        r"^(amount spent|reporting starts|ausgegebener betrag|montant dépensé|importe gastado)"
    ),
    "google": re.compile(
        r"^(impr\.$|conv\. value|conv\.-wert|currency code|währungscode|metrics\.)"
    ),
    "tiktok": re.compile(r"^(by day$|stat_time_day$|.*\(destination\)$|.*complete payments?$)"),
}
_IN_BRACKETS = re.compile(r"^(.*?)\s*\(([A-Za-z]{3})\)$")


@dataclass(frozen=True, slots=True)
class SpendColumns:
    """Where each field stands in a file's lines."""

    places: Mapping[str, int]
    platform: str | None
    """Whose export it is; None where the names do not say."""
    currency: str | None
    """As a name like `Amount spent (EUR)` says it."""

    def get(self, cells: Sequence[str], field: str) -> str:
        """A line's cell, "" where the file has no such column or the line ends before it."""
        place = self.places.get(field)
        return cells[place].strip() if place is not None and place < len(cells) else ""


def recognise(header: Sequence[str]) -> SpendColumns | None:
    """The columns that a line names; None where it is no header of a spend report."""
    named: dict[str, int] = {}
    currencies: dict[int, str] = {}
    for place, cell in enumerate(header):
        name = " ".join(cell.split()).casefold()
        bracket = _IN_BRACKETS.match(name)
        if bracket and is_known(bracket[2].upper()):
            name = bracket[1]
            currencies[place] = bracket[2].upper()
        named.setdefault(name, place)
    places = {
        field: found[0]
        for field, names in NAMES.items()
        if (found := [named[name] for name in names if name in named])
    }
    dated = "date" in places or {"first_date", "last_date"} <= places.keys()
    campaign = "campaign_id" in places or "campaign_name" in places
    if not dated or not campaign or not places.keys() & {"spend", "spend_micros"}:
        return None
    platforms = [
        platform for platform, sign in _SIGNS.items() if any(sign.match(name) for name in named)
    ]
    return SpendColumns(
        places,
        platforms[0] if len(platforms) == 1 else None,
        currencies.get(places.get("spend", -1)),
    )
