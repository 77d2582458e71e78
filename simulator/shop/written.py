"""The formats of Shopify's webhooks for amounts, times, ids and customers (docs/facts/shopify.md,
"Orders")."""

from datetime import UTC, datetime
from typing import Any

from simulator.shop.people import Person
from stream.money import amount, digits

Json = dict[str, Any]


class Prices:
    """Writes minor units of the shop's currency as strings and as `*_set`."""

    def __init__(self, currency: str, presentment: str, rate: float) -> None:
        self.currency, self.presentment = currency, presentment
        self._factor = rate * 10.0 ** (digits(presentment) - digits(currency))

        self._texts: dict[int, str] = {}
        self._sets: dict[int, Json] = {}

    def text(self, units: int) -> str:
        written = self._texts.get(units)
        if written is None:
            written = self._texts[units] = amount(units, self.currency)
        return written

    def shown(self, units: int) -> str:
        """In the buyer's currency, as in all prices of checkouts."""
        written: str = self.set(units)["presentment_money"]["amount"]
        return written

    def set(self, units: int) -> Json:
        written = self._sets.get(units)
        if written is None:
            shown = shop = {"amount": self.text(units), "currency_code": self.currency}
            if self.presentment != self.currency:
                shown = {
                    "amount": amount(round(units * self._factor), self.presentment),
                    "currency_code": self.presentment,
                }
            written = self._sets[units] = {"shop_money": shop, "presentment_money": shown}
        return written


def local(moment: datetime) -> str:
    """A time as in orders: whole seconds and the shop's offset."""
    return moment.isoformat(timespec="seconds")


def utc(moment: datetime) -> str:
    """A time as in carts: milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def gid(kind: str, number: int) -> str:
    """A global id of the Admin API."""
    return f"gid://shopify/{kind}/{number}"


def customer(person: Person, currency: str) -> Json:
    """The webhook customer of 2026: no tags, no order count, no consent."""
    return {
        "id": person.customer_id,
        "created_at": None,
        "updated_at": None,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "email": person.email,
        "phone": person.phone,
        "currency": currency,
        "tax_exemptions": [],
        "admin_graphql_api_id": gid("Customer", person.customer_id),
        "default_address": {
            "id": person.customer_id + 1,
            "customer_id": person.customer_id,
            **person.address,
            "default": True,
        },
    }
