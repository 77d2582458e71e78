"""What a simulated shop sends to an installation, and what came back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from simulator.shop.delivery import Delivery
from simulator.shop.sender import ShopSender, Traffic

RETRY_WAIT_S = (0.1, 0.3, 0.7, *[1.2] * 10_000)
"""Shopify tries for hours, and so does this shop: a role that is killed again and again on a busy
core is away for minutes."""


def zone_far_from_midnight(now: datetime) -> ZoneInfo:
    """A time zone in which no day begins while the tests run: what two installations, or two
    moments, are compared by is then the same.

    Days that begin are the business of the folds' own tests, where time is a parameter.
    """
    zones = (ZoneInfo("Europe/Paris"), ZoneInfo("America/Los_Angeles"))
    return next(zone for zone in zones if 3 <= now.astimezone(zone).hour < 20)


ZONE = zone_far_from_midnight(datetime.now(UTC))


@dataclass(slots=True)
class Sent:
    """What was sent, in order of first sending, and what came back."""

    deliveries: list[Delivery]
    traffic: Traffic

    @property
    def acknowledged(self) -> list[Delivery]:
        """Deliveries that were answered 200."""
        known = {one.webhook_id for one in self.traffic.acknowledged}
        return [delivery for delivery in self.deliveries if delivery.webhook_id in known]


async def sent_to(
    url: str, deliveries: Iterable[Delivery], *, rate: float | None, connections: int
) -> Sent:
    """Send until `deliveries` ends and each has its final answer; what is not answered, or 5xx, is
    sent again."""
    sent: list[Delivery] = []

    def noted() -> Iterator[Delivery]:
        for delivery in deliveries:
            sent.append(delivery)
            yield delivery

    sender = ShopSender(url, noted(), rate=rate, connections=connections, retry_wait_s=RETRY_WAIT_S)
    return Sent(sent, await sender.run())
