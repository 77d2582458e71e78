"""A simulated Shopify shop: customers with their own rates of buying come and go, and every visit
becomes signed webhooks.

The same seed and calls give the same deliveries, byte for byte: everything draws from few random
sources in one order, hence one file.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from simulator.shop import ad_spend, changes, placing
from simulator.shop.catalogue import products
from simulator.shop.delivery import Delivery
from simulator.shop.mix import Mix
from simulator.shop.people import Person, habit, person
from simulator.shop.sale import Sale
from simulator.shop.webhooks import Webhooks

REMEMBERED = 400
"""Orders and checkouts that something may still happen to."""


class LedgerEntry(NamedTuple):
    """The shop's truth about one order."""

    counted: bool
    """Neither test nor cancelled."""
    net: int
    """What the shop keeps of it, minor units; 0 where it does not count."""


@dataclass(slots=True)
class _OpenCheckout:
    token: str
    sale: Sale
    created: datetime


class ShopSimulator:
    """The shop. `now` is aware; `secret` signs; `customers` is how many there are at `now`, more
    arrive later.

    Customers follow BG/NBD (Fader & Hardie 2005): each has a Poisson rate from a gamma
    distribution, leaves for good after an order with a probability from a beta distribution, and
    spends around a level of its own. `ledger` is the shop's own truth, never read back from
    payloads; simulator/proof/oracle.py computes the same from the deliveries.
    """

    def __init__(
        self,
        seed: int,
        shop: str,
        secret: str | bytes,
        now: datetime,
        customers: int = 1000,
        *,
        currency: str = "USD",
        zone: ZoneInfo | None = None,
        mix: Mix | None = None,
    ) -> None:
        self.shop, self.currency, self.mix = shop, currency, mix or Mix()
        self.zone = zone or ZoneInfo("Europe/Paris")
        self.now = now.astimezone(self.zone)
        self.ledger: dict[str, LedgerEntry] = {}
        """By order id."""
        self._seed = seed
        self._live = Random((seed << 8) ^ 0x1)
        ids = Random((seed << 8) ^ 0x2)
        self._webhooks = Webhooks(
            shop, secret.encode() if isinstance(secret, str) else secret, currency, ids
        )
        self._products = products(currency)
        self._customers = customers
        self._weights = list(accumulate(habit(seed, number).per_day for number in range(customers)))
        self._gone: set[int] = set()
        self._orders = 0
        self._recent: list[Sale] = []
        self._open: list[_OpenCheckout] = []
        self._clock = self.now
        self._past_days: defaultdict[ad_spend.CampaignDay, list[int]] = defaultdict(lambda: [0, 0])
        self._live_days: defaultdict[ad_spend.CampaignDay, list[int]] = defaultdict(lambda: [0, 0])
        self._first_day = self.now.date()

    # The past

    def history(self, days: int = 400, *, checkout_days: int = 14) -> Iterator[Delivery]:
        """Orders of the last `days` days as a backfill delivers them: their last state, oldest
        first, one delivery each.

        The last `checkout_days` days have their checkouts too, abandoned ones among them. Call it
        once, before any visit.
        """
        random = Random((self._seed << 8) ^ 0x3)
        self._first_day = (self.now - timedelta(days=days)).date()
        span = days * 86_400.0
        bought: list[tuple[float, int]] = []
        for number in range(self._customers):
            one = habit(self._seed, number)
            at = random.uniform(0, span)
            while at < span:
                bought.append((at, number))
                if random.random() < one.leaves:
                    self._gone.add(number)
                    break
                at += random.expovariate(one.per_day) * 86_400
        bought.sort()
        start = self.now - timedelta(days=days)
        for offset_s, number in bought:
            yield from self._past(
                random, start + timedelta(seconds=offset_s), number, checkout_days
            )

    def _past(
        self, random: Random, at: datetime, number: int, checkout_days: int
    ) -> Iterator[Delivery]:
        at = at.astimezone(self.zone)
        recent = at > self.now - timedelta(days=checkout_days)
        sale = self._sale(
            random, at, person(self._seed, number), "web", guest=random.random() < self.mix.guest
        )
        if recent and random.random() < 1 - self.mix.completed:
            # Somebody else began a checkout at this time and left it.
            other = self._sale(
                random,
                at,
                person(self._seed, random.randrange(self._customers)),
                "web",
                guest=random.random() < 0.3,
            )
            yield self._webhooks.checkout(
                other, at, at + timedelta(minutes=1), None, contact=random.random() < 0.8
            )
        if recent:
            started = at - timedelta(minutes=random.choice((3, 5, 12, 90, 600)))
            yield self._webhooks.checkout(sale, started, at, at, contact=True)
        self._place(sale)
        _credit(self._past_days, sale, at)
        drawn = random.random()
        changed = min(at + timedelta(days=random.uniform(0.5, 9)), self.now - timedelta(seconds=1))
        if changed > at and drawn < 0.08:
            changes.touch(sale, changed)
            if drawn < 0.02:
                changes.cancel(random, sale, changed, self._webhooks.small_id())
            elif drawn < 0.06:
                changes.send_back(random, sale, changed, self._webhooks.small_id())
            else:
                changes.gesture(random, sale, changed, self._webhooks.small_id())
        yield self._order(
            "orders/create" if sale.updated == sale.created else "orders/updated",
            sale,
            self._webhooks.event_id(),
        )

    def spend(self, days: int = 60, *, today: date | None = None) -> list[dict[str, Any]]:
        """Bodies for the topic `spend`, one per campaign and day, `days` of them up to `today`
        (docs/api.md, "Records on spend"). Call it after `history`, and again for a day on which
        more was sold."""
        last = today or self.now.date()
        return ad_spend.reports(
            self._seed,
            self._past_days,
            self._live_days,
            (self._first_day, self.now.date()),
            [last - timedelta(days=back) for back in range(days - 1, -1, -1)],
            products=self._products,
            currency=self.currency,
            time_zone=str(self.zone),
        )

    # Visits

    def visit(self, at: datetime) -> list[Delivery]:
        """One visit that ends at `at` (aware, never before the last one's), or a change of an
        earlier order: payment, refund, edit, cancellation, a recovered checkout."""
        random, mix = self._live, self.mix
        # Not twice in one instant: the newest of two states has to be the newer one.
        at = max(at.astimezone(self.zone), self._clock + timedelta(milliseconds=1))
        self._clock = at
        if (self._recent or self._open) and random.random() < mix.follow_up:
            return self._follow_up(random, at)
        drawn = random.random()
        if drawn < mix.pos:
            buyer = self._buyer(random) if random.random() < 0.6 else None
            return self._sold(random, self._sale(random, at, buyer, "pos"), at)
        if drawn < mix.pos + mix.draft:
            return self._sold(random, self._sale(random, at, None, "shopify_draft_order"), at)
        return self._web(random, at)

    def stream(self, start: datetime, per_s: float) -> Iterator[Delivery]:
        """Visits without end, `per_s` of them in a second from `start` on."""
        number = 0
        while True:
            yield from self.visit(start + timedelta(seconds=number / per_s))
            number += 1

    def _web(self, random: Random, at: datetime) -> list[Delivery]:
        mix = self.mix
        cart, checkout = random.random() < mix.cart, random.random() < mix.checkout
        completed = checkout and random.random() < mix.completed
        steps = cart + 2 * (checkout and mix.cart > 0) + completed
        times = [at]
        for _ in range(steps):
            times.append(times[-1] - timedelta(seconds=random.uniform(*mix.pause_s)))
        when = iter(reversed(times))
        buyer = self._buyer(random)
        sale = self._sale(random, at, buyer, "web", guest=random.random() < mix.guest)
        sale.test = random.random() < mix.test
        deliveries = []
        begun = next(when)
        if cart:
            deliveries.append(
                self._webhooks.cart("carts/create", sale, sale.lines[:1], begun, begun)
            )
            if len(sale.lines) > 1:
                deliveries.append(
                    self._webhooks.cart(
                        "carts/update", sale, sale.lines, begun, begun + timedelta(milliseconds=200)
                    )
                )
        if checkout and mix.cart > 0:
            started = next(when)
            deliveries.append(
                self._webhooks.checkout(sale, started, started, None, contact=random.random() < 0.3)
            )
            contact_at = max(next(when), started + timedelta(milliseconds=1))
            deliveries.append(
                self._webhooks.checkout(
                    sale,
                    started,
                    contact_at,
                    None,
                    contact=completed or random.random() < 0.7,
                    topic="checkouts/update",
                )
            )
            if not completed:
                self._open = [
                    *self._open[-REMEMBERED:],
                    _OpenCheckout(sale.checkout_token or "", sale, started),
                ]
        else:
            started = begun
        if completed:
            deliveries += self._sold(
                random, sale, at, checkout_started=started if mix.cart > 0 else None
            )
        return deliveries

    def _sold(
        self, random: Random, sale: Sale, at: datetime, *, checkout_started: datetime | None = None
    ) -> list[Delivery]:
        mix = self.mix
        event_id = self._webhooks.event_id()
        if sale.source_name == "web" and random.random() < mix.pending:
            sale.financial_status = "pending"
        paid_later = sale.financial_status == "paid" and random.random() < mix.paid_separately
        if paid_later:
            sale.financial_status = "pending"
        self._place(sale)
        _credit(self._live_days, sale, at)
        deliveries = [self._order("orders/create", sale, event_id)]
        if checkout_started is not None:
            deliveries.append(
                self._webhooks.checkout(
                    sale,
                    checkout_started,
                    at,
                    at,
                    contact=True,
                    topic="checkouts/update",
                    event_id=event_id,
                )
            )
        if paid_later:
            # Within the same second only X-Shopify-Triggered-At says which state is newer.
            changes.touch(sale, at + timedelta(microseconds=300))
            sale.financial_status = "paid"
            deliveries += self._deliveries(("orders/paid", "orders/updated"), sale, event_id)
        if not sale.test:
            self._recent = [*self._recent[-REMEMBERED:], sale]
        return deliveries

    def _follow_up(self, random: Random, at: datetime) -> list[Delivery]:
        if self._open and (not self._recent or random.random() < 0.25):
            back = self._open.pop(random.randrange(len(self._open)))
            sale = replace(
                back.sale,
                created=at.replace(microsecond=0),
                updated=at.replace(microsecond=0),
                triggered=at,
            )
            return self._sold(random, sale, at, checkout_started=back.created)
        sale = self._recent.pop(random.randrange(len(self._recent)))
        changes.touch(sale, at)
        event_id = self._webhooks.event_id()
        if sale.financial_status == "pending":
            if random.random() < 0.25:
                changes.cancel(random, sale, at, self._webhooks.small_id())
                return self._deliveries(("orders/cancelled", "orders/updated"), sale, event_id)
            sale.financial_status = "paid"
            self._recent.append(sale)
            return self._deliveries(("orders/paid", "orders/updated"), sale, event_id)
        drawn = random.random()
        if drawn < 0.3:
            self._recent.append(sale)
            return self._deliveries(("orders/fulfilled", "orders/updated"), sale, event_id)
        if sale.edited and not self.mix.after_edits:
            return self._deliveries(("orders/updated",), sale, event_id)
        if drawn < 0.5 and (self.mix.after_edits or not sale.refunds):
            return self._edit(random, sale, at, event_id)
        known = len(sale.refunds)
        if drawn < 0.7:
            changes.send_back(random, sale, at, self._webhooks.small_id())
        elif drawn < 0.85:
            changes.gesture(random, sale, at, self._webhooks.small_id())
        else:
            changes.cancel(random, sale, at, self._webhooks.small_id())
        self._may_go_on(sale)
        deliveries = self._webhooks.refunds(sale, known, at, event_id)
        topics = (
            ("orders/updated",)
            if sale.cancelled is None
            else ("orders/cancelled", "orders/updated")
        )
        return deliveries + self._deliveries(topics, sale, event_id)

    # Changes of orders

    def _sale(
        self,
        random: Random,
        at: datetime,
        buyer: Person | None,
        source: str,
        *,
        guest: bool = False,
    ) -> Sale:
        """The next order, if the visit leads to one."""
        self._orders += 1
        return placing.drawn(
            random,
            at,
            6_100_000_000_000 + (self._seed % 1000) * 1_000_000_000 + self._orders * 16,
            1000 + self._orders,
            buyer,
            source,
            guest=guest,
            units=habit(self._seed, buyer.number).units if buyer is not None else 1.5,
            foreign=self.mix.foreign,
            products=self._products,
            currency=self.currency,
        )

    def _buyer(self, random: Random) -> Person:
        if self._weights and random.random() >= self.mix.new_customer:
            number = bisect_left(self._weights, random.random() * self._weights[-1])
            if number not in self._gone:
                if random.random() < habit(self._seed, number).leaves:
                    self._gone.add(number)
                return person(self._seed, number)
        self._customers += 1
        number = self._customers - 1
        self._weights.append(
            (self._weights[-1] if self._weights else 0.0) + habit(self._seed, number).per_day
        )
        return person(self._seed, number)

    def _place(self, sale: Sale) -> None:
        self.ledger[str(sale.order_id)] = LedgerEntry(not sale.test, sale.kept)

    def _may_go_on(self, sale: Sale) -> None:
        """More may happen to an order that still has goods, and money that was not given back.
        After a return with less money left than it was worth, snapshots no longer show how much of
        a later addition is the merchant's."""
        if sale.units and sale.kept:
            self._recent.append(sale)

    def _edit(self, random: Random, sale: Sale, at: datetime, event_id: str) -> list[Delivery]:
        known = len(sale.refunds)
        added, removed = changes.edit(random, sale, at, self._webhooks.small_id(), self._products)
        self._may_go_on(sale)
        deliveries = [
            self._webhooks.edited(sale, at, event_id, added, removed),
            *self._webhooks.refunds(sale, known, at, event_id),
        ]
        return deliveries + self._deliveries(("orders/updated",), sale, event_id)

    def _deliveries(self, topics: tuple[str, ...], sale: Sale, event_id: str) -> list[Delivery]:
        return [self._order(topic, sale, event_id) for topic in topics]

    def _order(self, topic: str, sale: Sale, event_id: str) -> Delivery:
        """The order's delivery; updates the ledger."""
        self.ledger[str(sale.order_id)] = LedgerEntry(
            not sale.test and sale.cancelled is None, sale.kept
        )
        return self._webhooks.order(topic, sale, event_id)


def _credit(days: defaultdict[ad_spend.CampaignDay, list[int]], sale: Sale, at: datetime) -> None:
    """Count the sale for the campaign that brought it, on the shop's day of `at`."""
    if sale.arrival.campaign is not None and not sale.test:
        day = days[sale.arrival.campaign.campaign_id, at.date()]
        day[0] += sale.total
        day[1] += 1
