"""How often the bounds of the recovery potential contain what came back, in simulated shops. Run:
python -m bench.models.recovery_coverage [shops of each kind]

Bar: the interval of 80 % contains 80 % (+-6), 40 shops of each kind. None of the shops is drawn
from the curve that the answer assumes.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp, log
from pathlib import Path
from random import Random
from typing import Final, Literal, NamedTuple, get_args

from aggregates.carts.answer.overview import CartSettings, carts
from aggregates.carts.projection import projection
from processors.checkouts.processor import Checkouts
from processors.orders.processor import OrdersProcessor
from processors.shopify.checkouts import Checkout
from processors.shopify.orders import Order
from processors.shopify.raw_order import RawOrder
from processors.shopify.version import Version
from stream.store.sql.store import SqlStore

Kind = Literal["plain", "quick return", "visits with pauses", "heavy tails", "common shocks"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
EPOCH: Final = datetime(2026, 8, 1, tzinfo=UTC)
HOUR, DAY = 60.0, 1440.0
"""Times are minutes after EPOCH."""
FIRST_QUESTION_DAY, QUESTIONS, EVERY_DAYS = 28, 6, 2
BATCH: Final = 500
WITHIN: Final = 7 * DAY


class Habits(NamedTuple):
    """What distinguishes one shop from another."""

    carts_a_day: float
    ordered_at_once: float
    come_back_to_buy: float
    look_again: float
    """Mean number of visits without an order."""
    median_hours: float
    spread: float
    """Of the time until somebody comes back: standard deviation of its logarithm."""
    value_spread: float
    shock: float
    """Standard deviation of the logarithm of a factor that all chances of a day share."""


@dataclass
class SimulatedCart:
    """One checkout: when it was touched, when it was ordered (never: None), and its money."""

    token: str
    customer: str | None
    value: int
    touches: list[float] = field(default_factory=list)
    ordered: float | None = None
    paid: int = 0


def habits(kind: Kind, rng: Random) -> Habits:
    """A shop of this kind."""
    return Habits(
        carts_a_day=exp(rng.uniform(log(30), log(120))),
        ordered_at_once=rng.uniform(0.2, 0.45),
        come_back_to_buy=rng.uniform(0.04, 0.15),
        look_again=rng.uniform(0.1, 0.6) if kind == "visits with pauses" else rng.uniform(0, 0.2),
        median_hours=exp(rng.uniform(log(2), log(20))),
        spread=rng.uniform(1.0, 2.0),
        value_spread=1.5 if kind == "heavy tails" else rng.uniform(0.4, 0.8),
        shock=0.5 if kind == "common shocks" else 0.0,
    )


def drawn(kind: Kind, rng: Random, days: int) -> list[SimulatedCart]:
    """All carts of a shop in the order of their first touch."""
    shop = habits(kind, rng)
    factor = [exp(rng.gauss(-(shop.shock**2) / 2, shop.shock)) for _ in range(days + 90)]
    found: list[SimulatedCart] = []
    now = 0.0
    while (now := now + rng.expovariate(shop.carts_a_day / DAY)) < days * DAY:
        cart = SimulatedCart(
            token=f"t{len(found)}",
            customer=str(rng.randrange(400)) if rng.random() < 0.3 else None,
            value=round(exp(rng.gauss(log(6_000), shop.value_spread))) + 1,
        )
        at = now
        for _ in range(rng.choice((1, 1, 2, 3, 5))):
            cart.touches.append(at)
            at += rng.expovariate(1 / 2.0)
        if rng.random() < shop.ordered_at_once * min(factor[int(at / DAY)], 2.0):
            cart.ordered = at + rng.uniform(0.5, 6)
        else:
            _come_back(cart, kind, shop, rng, factor)
        if cart.ordered is not None:
            cart.paid = round(cart.value * (1 if rng.random() < 0.8 else rng.uniform(0.7, 1)))
        found.append(cart)
    return found


def _come_back(
    cart: SimulatedCart, kind: Kind, shop: Habits, rng: Random, factor: Sequence[float]
) -> None:
    """Visits after the first one, up to the one that buys."""

    def later() -> float:
        return cart.touches[0] + exp(rng.gauss(log(shop.median_hours * HOUR), shop.spread))

    visits = [
        (later(), False) for _ in range(min(int(rng.expovariate(1 / (shop.look_again + 1e-9))), 4))
    ]
    buys = later()
    day = min(int(buys / DAY), len(factor) - 1)
    if rng.random() < shop.come_back_to_buy * factor[day]:
        visits.append((buys, True))
    for moment, buying in sorted(visits):
        at = max(moment, cart.touches[-1] + 1)
        if buying and kind not in ("quick return", "visits with pauses"):
            cart.ordered = at  # Nothing touches the checkout before it is paid.
            return
        cart.touches.append(at)
        if kind == "visits with pauses" and rng.random() < 0.5:
            at += 10 + rng.expovariate(1 / 25)
            cart.touches += [] if buying else [at]
        if buying:
            cart.ordered = at + rng.uniform(1, 8)
            return


def moment(minute: float) -> datetime:
    """`minute` minutes after EPOCH."""
    return EPOCH + timedelta(minutes=minute)


def milliseconds(minute: float) -> int:
    """Unix time."""
    return round(moment(minute).timestamp() * 1000)


def _version(minute: float, *content: object) -> Version:
    digest = hashlib.blake2b(repr((minute, content)).encode(), digest_size=8).hexdigest()
    return Version(milliseconds(minute) * 1000, "", digest)


def events(shop: str, found: Sequence[SimulatedCart]) -> list[tuple[float, Checkout | Order]]:
    """What Shopify sends of these carts, in the order of time."""
    sent: list[tuple[float, Checkout | Order]] = []
    for cart in found:
        sent += [(touch, _checkout(shop, cart, touch)) for touch in cart.touches]
        if cart.ordered is not None:
            sent.append((cart.ordered, _order(shop, cart, cart.ordered)))
    return sorted(sent, key=lambda each: each[0])


def _checkout(shop: str, cart: SimulatedCart, touch: float) -> Checkout:
    return Checkout(
        shop=shop,
        token=cart.token,
        cart_token=None,
        version=_version(touch, cart.token),
        created_at=moment(cart.touches[0]),
        updated_at=moment(touch),
        completed_at=None,
        customer_id=cart.customer,
        email=None,
        has_contact=True,
        currency="USD",
        total=cart.value,
        recovery_url=None,
    )


def _order(shop: str, cart: SimulatedCart, made: float) -> Order:
    return Order(
        shop=shop,
        order_id=f"o{cart.token}",
        version=_version(made, cart.token),
        processed_at=moment(made),
        created_at=moment(made),
        day=0,
        customer_id=cart.customer,
        email=None,
        currency="USD",
        total=cart.paid,
        current_total=cart.paid,
        financial_status="paid",
        test=False,
        cancelled=False,
        refunds=(),
        checkout_token=cart.token,
        cart_token=None,
        landing_site=None,
        source_name="web",
        raw=RawOrder(),
        body=b"{}",
        received_ms=milliseconds(made),
    )


class CoverageAnswer(NamedTuple):
    """Bounds and expectation as told, and what came back; minor units."""

    low: int
    expected: int
    high: int
    truth: int


def came_back(found: Sequence[SimulatedCart], now: float) -> int:
    """What the carts that are open at `now` pay within 7 days of their last touch before it."""
    paid = 0
    for cart in found:
        if cart.touches[0] <= now and cart.ordered is not None and cart.ordered > now:
            last = max(touch for touch in cart.touches if touch <= now)
            paid += cart.paid if cart.ordered <= last + WITHIN else 0
    return paid


def answers(
    store: SqlStore, shop: str, found: Sequence[SimulatedCart], rng: Random
) -> Iterator[CoverageAnswer]:
    """The shop's answers, while its events are folded."""
    checkouts = Checkouts((projection(),))
    orders = OrdersProcessor({}, (), (checkouts.follow,))
    sent, at = events(shop, found), 0
    for question in range(QUESTIONS):
        now = (FIRST_QUESTION_DAY + EVERY_DAYS * question + rng.random()) * DAY
        now_ms = milliseconds(now)
        while at < len(sent) and sent[at][0] <= now:
            until = min(at + BATCH, len(sent))
            batch = [event for when, event in sent[at:until] if when <= now]
            at += len(batch)
            with store.begin() as transaction:
                made = [event for event in batch if isinstance(event, Order)]
                touched = [event for event in batch if isinstance(event, Checkout)]
                checkouts.apply(transaction, touched, now_ms)
                orders.apply(transaction, made, now_ms)
        with store.begin() as transaction:
            checkouts.tick(transaction, now_ms)
        with store.snapshot() as snapshot:
            shown = carts(snapshot, shop, now_ms, CartSettings()).recovery_potential
        low, expected, high = (
            0 if each is None else round(Decimal(each["amount"]) * 100)
            for each in (shown.low, shown.expected, shown.high)
        )
        yield CoverageAnswer(low, expected, high, came_back(found, now))


def asked(kind: Kind, shops: int, seed: int = 20261127) -> list[list[CoverageAnswer]]:
    """The answers of each of `shops` shops of a kind."""
    days = FIRST_QUESTION_DAY + EVERY_DAYS * QUESTIONS + 1
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore.open(f"sqlite:///{Path(folder) / 'state.db'}")
        try:
            found: list[list[CoverageAnswer]] = []
            for number in range(shops):
                rng = Random(f"{seed} {kind} {number}")
                name = f"{number}.myshopify.com"
                found.append(list(answers(store, name, drawn(kind, rng, days), rng)))
            return found
        finally:
            store.close()


def covered(found: Sequence[Sequence[CoverageAnswer]]) -> float:
    """The share of answers whose bounds hold what came back."""
    each = [answer for shop in found for answer in shop]
    return sum(answer.low <= answer.truth <= answer.high for answer in each) / len(each)


def main() -> None:
    shops = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{shops} shops of each kind, {QUESTIONS} questions each; seed fixed")
    print("| kind | 80 % interval holds | below it | above it | expected / came back | s |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        began = time.perf_counter()
        found = asked(kind, shops)
        each = [answer for shop in found for answer in shop]
        below = sum(answer.truth < answer.low for answer in each) / len(each)
        above = sum(answer.truth > answer.high for answer in each) / len(each)
        ratio = sum(answer.expected for answer in each) / sum(answer.truth for answer in each)
        print(
            f"| {kind} | {covered(found):.1%} | {below:.1%} | {above:.1%} | {ratio:.2f} |"
            f" {time.perf_counter() - began:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
