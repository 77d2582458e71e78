"""Bodies, ids and signatures of the simulated shop's deliveries."""

from collections.abc import Sequence
from datetime import datetime
from random import Random

import orjson

from simulator.shop import cart_bodies, order_bodies
from simulator.shop.delivery import Delivery, signed, triggered_at
from simulator.shop.sale import Line, Sale
from simulator.shop.written import Json


class Webhooks:
    """The deliveries of one shop; `ids` draws every id that belongs to no order, cart or
    checkout."""

    def __init__(self, shop: str, secret: bytes, currency: str, ids: Random) -> None:
        self._shop, self._secret, self._currency, self._ids = shop, secret, currency, ids

    def order(self, topic: str, sale: Sale, event_id: str) -> Delivery:
        """The order as it is now."""
        return self._signed(
            topic,
            order_bodies.order(sale, _attributes(sale)),
            sale.triggered,
            event_id,
            str(sale.order_id),
        )

    def edited(
        self,
        sale: Sale,
        at: datetime,
        event_id: str,
        added: Sequence[Line],
        removed: Sequence[tuple[Line, int]],
    ) -> Delivery:
        """orders/edited."""
        body = order_bodies.order_edit(sale, self.small_id(), at, added, removed)
        return self._signed("orders/edited", body, at, event_id, str(sale.order_id))

    def refunds(self, sale: Sale, known: int, at: datetime, event_id: str) -> list[Delivery]:
        """refunds/create for all but the first `known` refunds of the order."""
        return [
            self._signed("refunds/create", one, at, event_id, str(sale.order_id))
            for one in sale.refunds[known:]
        ]

    def cart(
        self, topic: str, sale: Sale, lines: Sequence[Line], created: datetime, updated: datetime
    ) -> Delivery:
        """The cart that the sale came from, with some of its lines."""
        token = sale.cart_token or ""
        body = cart_bodies.cart(token, lines, self._currency, created, updated)
        return self._signed(topic, body, updated, self.event_id(), token)

    def checkout(
        self,
        sale: Sale,
        created: datetime,
        updated: datetime,
        completed: datetime | None,
        *,
        contact: bool,
        topic: str = "checkouts/create",
        event_id: str | None = None,
    ) -> Delivery:
        """The checkout that the sale came from, or might have; `contact` as in
        `cart_bodies.checkout`."""
        token = sale.checkout_token or ""
        body = cart_bodies.checkout(
            token,
            sale,
            contact=contact,
            created=created,
            updated=updated,
            completed=completed,
            attributes=_attributes(sale),
        )
        return self._signed(topic, body, updated, event_id or self.event_id(), token)

    def _signed(self, topic: str, body: Json, at: datetime, event_id: str, key: str) -> Delivery:
        return signed(
            topic,
            orjson.dumps(body),
            shop=self._shop,
            secret=self._secret,
            webhook_id=self.event_id(),
            event_id=event_id,
            triggered=triggered_at(at),
            key=key,
        )

    def event_id(self) -> str:
        """A new one; webhook ids look the same."""
        drawn = f"{self._ids.getrandbits(128):032x}"
        return f"{drawn[:8]}-{drawn[8:12]}-{drawn[12:16]}-{drawn[16:20]}-{drawn[20:]}"

    def small_id(self) -> int:
        """A 12-digit id for a refund or an edit; the last two digits are free for its parts."""
        return 900_000_000_000 + self._ids.getrandbits(28) * 200


def _attributes(sale: Sale) -> list[dict[str, str]]:
    """Meta's cookies, which a theme's script copies to the cart."""
    pairs = (("_fbp", sale.arrival.fbp), ("_fbc", sale.arrival.fbc))
    return [{"name": name, "value": value} for name, value in pairs if value is not None]
