"""Brute force for `/v1/carts`: every number from the list of events, in plain loops over checkouts,
written from the definitions (docs/facts/analytics.md, "Cart states"). It shares only the generic
curve and the spread of the potential with the product; these have tests of their own."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import floor, log
from typing import Any

import msgspec
import numpy as np

from aggregates.carts.answer.common_factor import common_variance
from aggregates.carts.answer.histogram import Open
from aggregates.carts.answer.recovery import recovery_potential
from aggregates.carts.answer.survival import GENERIC_HAZARDS, Spells, hazards
from processors.shopify.checkouts import Cart, Checkout, CheckoutDeleted
from processors.shopify.orders import Order
from stream.money import money
from tests.support.shopify.cart_events import CartEvent

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EDGES_H = (0, 1 / 6, 1 / 2, 1, 3, 6, 12, 24, 48, 72, 120, 168, 336)
ABANDONED = ("recovered_direct", "recovered_assisted", "expired", "abandoned")


@dataclass
class Seen:
    """One checkout, as the oracle understands it at `now`."""

    token: str
    newest: Checkout
    created: int
    visits: list[tuple[int, int]]
    closed: int | None = None
    state: str = ""
    direct: bool = False
    revenue: int | None = None
    returning: bool = False
    idle: list[tuple[int, int]] = field(default_factory=list)
    """(since, how long), the present or last one at the end."""

    @property
    def is_open(self) -> bool:
        return self.state in ("active", "abandoned")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _person(event: Checkout) -> str | None:
    return event.customer_id or (event.email.strip().lower() if event.email else None)


def _people(order: Order) -> set[str | None]:
    """All that a checkout may know its buyer by."""
    return {order.customer_id, order.email.strip().lower() if order.email else None}


def _visits(touches: set[int]) -> list[tuple[int, int]]:
    visits: list[tuple[int, int]] = []
    for touch in sorted(touches):
        if visits and touch - visits[-1][1] < 10 * MINUTE:
            visits[-1] = (visits[-1][0], touch)
        else:
            visits.append((touch, touch))
    return visits


def _first_of_each_hour(times: list[int]) -> list[int]:
    hours: dict[int, int] = {}
    for time in times:
        hours[time // HOUR] = min(time, hours.get(time // HOUR, time))
    return list(hours.values())


def seen(events: Sequence[CartEvent], now: int, after_minutes: int = 60) -> list[Seen]:
    """The checkouts that count at `now`, each with its state."""
    orders = [event for event in events if isinstance(event, Order)]
    deletes = [event for event in events if isinstance(event, CheckoutDeleted)]
    by_token: dict[str, list[Checkout]] = {}
    for event in events:
        if isinstance(event, Checkout):
            by_token.setdefault(event.token, []).append(event)
    found = []
    for token, shown in sorted(by_token.items()):
        newest = max(shown, key=lambda event: event.version)
        created = min(_ms(event.created_at) for event in shown)
        if created < now - 90 * DAY:
            continue
        checkout = _judged(
            Seen(token, newest, created, []), shown, orders, deletes, now, after_minutes * MINUTE
        )
        if checkout.state:
            found.append(checkout)
    return found


def _judged(
    it: Seen,
    shown: list[Checkout],
    orders: list[Order],
    deletes: list[CheckoutDeleted],
    now: int,
    after: int,
) -> Seen:
    person, cart = _person(it.newest), it.newest.cart_token
    own = [order for order in orders if order.checkout_token == it.token]
    by_cart = [
        order for order in orders if cart and order.cart_token == cart and not order.checkout_token
    ]
    siblings = [
        order for order in orders if cart and order.cart_token == cart and order.checkout_token
    ]
    personal = [order for order in orders if person and person in _people(order)]
    it.returning = any(_ms(order.processed_at) < it.created for order in personal)
    ends = [_ms(event.completed_at) for event in shown if event.completed_at]
    ends += [_ms(order.processed_at) for order in own + by_cart]
    it.visits = _visits(
        {_ms(moment) for event in shown for moment in (event.created_at, event.updated_at)}
    )
    if ends:
        it.closed, it.direct = min(ends), True
        it.visits = [(a, min(b, it.closed)) for a, b in it.visits if a < it.closed] or [
            (it.closed, it.closed)
        ]
    if own:
        newest_order = max(own, key=lambda order: order.version)
        it.revenue = 0 if newest_order.cancelled else newest_order.current_total
        if newest_order.currency != it.newest.currency:
            it.newest = msgspec.structs.replace(
                it.newest, currency=newest_order.currency, total=it.revenue
            )
    last = it.visits[-1][1]
    gone = [
        e for e in deletes if e.token == it.token or (not e.token and cart and e.cart_token == cart)
    ]
    if not it.direct:
        if any(event.token or event.version.updated_us // 1000 >= it.created for event in gone):
            return it
        elsewhere = [
            _first_of_each_hour([_ms(order.processed_at) for order in some])
            for some in (personal, siblings)
        ]
        it.closed = min(
            (t for some in elsewhere for t in some if last <= t <= last + after + 7 * DAY),
            default=None,
        )
    it.idle = [(b, a - b) for (_, b), (a, _) in zip(it.visits, it.visits[1:], strict=False)]
    it.idle.append((last, (now if it.closed is None else it.closed) - last))
    idled = any(length >= after for _, length in it.idle)
    if it.closed is not None:
        it.state = (
            ("recovered_direct" if it.direct else "recovered_assisted") if idled else "completed"
        )
    elif now - last >= 14 * DAY:
        it.state, it.closed = "expired", last + 14 * DAY
        it.idle[-1] = (last, 14 * DAY)
    else:
        it.state = "abandoned" if now - last >= after else "active"
    return it


def _bin(value: int) -> int:
    """Quarter octaves, linear within the octave."""
    if value == 0:
        return 0
    octave = floor(log(value, 2) + 1e-12)
    return 1 + 4 * octave + ((value * 4 >> octave) - 4)


def answer(events: Sequence[CartEvent], now: int, after_minutes: int = 60) -> dict[str, Any]:
    """What `/v1/carts` must say."""
    after = after_minutes * MINUTE
    them = seen(events, now, after_minutes)
    tally: dict[str, int] = defaultdict(int)
    for it in them:
        tally[it.newest.currency] += 1
    currency = min(tally, key=lambda code: (-tally[code], code))
    them = [it for it in them if it.newest.currency == currency]
    states = (
        "active",
        "abandoned",
        "recovered_direct",
        "recovered_assisted",
        "completed",
        "expired",
    )
    return {
        "states": {
            state: {
                "carts": sum(it.state == state for it in them),
                "value": money(sum(it.newest.total for it in them if it.state == state), currency),
            }
            for state in states
        },
        "abandonment_rate": _abandonment(them, now, after),
        "abandonment_rate_shopify": _abandonment(
            [it for it in them if it.newest.has_contact], now, 10 * MINUTE
        ),
        "recovery_rate": [_recovery(them, now, after, hours) for hours in (1, 24, 72, 168)],
        "recovered_revenue": money(
            sum(
                it.newest.total if it.revenue is None else it.revenue
                for it in them
                if it.state == "recovered_direct"
            ),
            currency,
        ),
        **_potential(them, now, currency),
        "other_currencies": {code: n for code, n in tally.items() if code != currency},
        "online_carts": _online(events, now),
    }


def _online(events: Sequence[CartEvent], now: int) -> dict[str, int] | None:
    times: dict[str, list[int]] = defaultdict(list)
    for event in events:
        cart = event.token if isinstance(event, Cart) else event.cart_token
        if isinstance(event, CheckoutDeleted):
            if event.token is None and cart:
                times[cart].append(event.version.updated_us // 1000)
        elif cart:
            times[cart].append(
                _ms(event.processed_at) if isinstance(event, Order) else _ms(event.created_at)
            )
    begun = {
        e.token
        for e in events
        if isinstance(e, Cart) and e.items and max(times[e.token]) >= now - 90 * DAY
    }
    reached = {event.cart_token for event in events if isinstance(event, Checkout)}
    return {"begun": len(begun), "without_checkout": len(begun - reached)}


def _abandonment(them: list[Seen], now: int, after: int) -> dict[str, Any]:
    old = [it for it in them if now - it.created >= after]
    abandoned = [it for it in old if any(length >= after for _, length in it.idle)]
    return {
        "value": len(abandoned) / len(old) if old else None,
        "carts": len(old),
        "abandoned": len(abandoned),
        "after_minutes": after // MINUTE,
    }


def _recovery(them: list[Seen], now: int, after: int, hours: int) -> dict[str, Any]:
    cohort, direct, assisted = 0, 0, 0
    for it in them:
        at = next((since + after for since, length in it.idle if length >= after), None)
        if at is None or (at // HOUR + 1 + hours) * HOUR > now:
            continue
        cohort += 1
        if it.closed is not None and it.state != "expired" and it.closed - at <= hours * HOUR:
            direct += it.direct
            assisted += not it.direct
    return {
        "within_hours": hours,
        "value": direct / cohort if cohort else None,
        "recovered": direct,
        "cohort": cohort,
        "with_assisted": {
            "value": (direct + assisted) / cohort if cohort else None,
            "recovered": direct + assisted,
        },
    }


def _spells(it: Seen) -> list[tuple[int, float, bool]]:
    """(since, hours, completed) of each idle time that is over.

    Completed is one from whose begin it took 7 days at most to the checkout's own order, whatever
    visits and pauses lay between.
    """
    over = it.idle[:-1] if it.is_open else it.idle
    return [
        (since, length / HOUR, it.direct and it.closed is not None and it.closed - since <= 7 * DAY)
        for since, length in over
    ]


def _potential(them: list[Seen], now: int, currency: str) -> dict[str, Any]:
    bins = sorted(_bin(it.newest.total) for it in them)
    n = len(bins)
    low_end, mid_end = bins[-(-n // 3) - 1], bins[-(-2 * n // 3) - 1]
    done, left, risk = np.zeros((6, 12)), np.zeros((6, 12)), np.zeros((6, 12))
    carts, value = np.zeros((6, 2016), dtype=np.int64), np.zeros((6, 2016), dtype=np.int64)
    carted, paid, orders = np.zeros(6), np.zeros(6), 0
    strata = {}
    for it in them:
        band = (_bin(it.newest.total) > low_end) + (_bin(it.newest.total) > mid_end)
        s = strata[it.token] = 2 * band + it.returning
        for _, hours, completed in _spells(it):
            for j in range(12):
                if EDGES_H[j] <= hours < EDGES_H[j + 1]:
                    done[s, j] += completed
                    left[s, j] += not completed
                risk[s, j] += hours >= EDGES_H[j]
        if it.is_open:
            age = _age(it, now)
            carts[s, age] += 1
            value[s, age] += it.newest.total
            for j in range(12):
                width = EDGES_H[j + 1] - EDGES_H[j]
                risk[s, j] += min(max(((age + 0.5) / 6 - EDGES_H[j]) / width, 0), 1)
        if it.direct and it.revenue is not None:
            carted[s] += it.newest.total
            paid[s] += it.revenue
            orders += 1
    rho = _rho(carted, paid, orders)
    chance = _chance(done, left, risk)
    expected = [
        rho[s] * sum(float(value[s, a]) * chance[s][a] for a in np.flatnonzero(carts[s]))
        for s in range(6)
    ]
    spread = recovery_potential(
        hazards(Spells(done, left, risk)),
        _each_separately(them, strata, now),
        np.array(rho),
        common_variance(*_midnights(them, now)),
    )
    return {
        "expected": sum(expected),
        "low": spread.low,
        "high": spread.high,
        "open_carts": int(carts.sum()),
        "open_value": int(value.sum()),
        "prior_driven": spread.prior_driven,
        "strata": [
            (
                ("low", "mid", "high")[s // 2],
                ("new", "returning")[s % 2],
                int(carts[s].sum()),
                int(value[s].sum()),
                expected[s],
                sum(int(carts[s, a]) * chance[s][a] for a in range(2016)) / carts[s].sum()
                if carts[s].sum()
                else None,
            )
            for s in range(6)
        ],
        "ranking": sorted(
            (
                -it.newest.total * chance[strata[it.token]][_age(it, now)] * rho[strata[it.token]],
                it.token,
            )
            for it in them
            if it.is_open
        ),
    }


def _each_separately(them: list[Seen], strata: dict[str, int], now: int) -> Open:
    """Open carts, each in a cell of its own."""
    open_carts = [it for it in them if it.is_open]

    def column(of: Callable[[Seen], int]) -> Any:
        return np.array([of(it) for it in open_carts], dtype=np.int64)

    return Open(
        bucket=column(lambda it: it.idle[-1][0] // (10 * MINUTE)),
        value_bin=column(lambda it: _bin(it.newest.total)),
        returning=column(lambda it: int(it.returning)),
        age=column(lambda it: _age(it, now)),
        stratum=column(lambda it: strata[it.token]),
        abandoned=column(lambda it: int(it.state == "abandoned")) == 1,
        carts=column(lambda it: 1),
        value=column(lambda it: it.newest.total),
    )


def _midnights(them: list[Seen], now: int) -> tuple[Any, Any]:
    """Carts idle and carts completed, by midnight (7 to 87 days ago) and age there."""
    idle, completed = np.zeros((80, 12), dtype=np.int64), np.zeros((80, 12), dtype=np.int64)
    newest = (now - 7 * DAY) // DAY
    for it in them:
        spells = _spells(it)
        if it.is_open:
            since, length = it.idle[-1]
            spells.append((since // (10 * MINUTE) * 10 * MINUTE, length / HOUR, False))
        for since, hours, done in spells:
            for row in range(80):
                age = (newest - row) * DAY - since
                if 0 < age < min(hours * HOUR, 7 * DAY):
                    interval = sum(age >= edge * HOUR for edge in EDGES_H) - 1
                    idle[row, interval] += 1
                    completed[row, interval] += done
    seen = idle.sum(axis=1) > 0
    return idle[seen], completed[seen]


def _age(it: Seen, now: int) -> int:
    return int(min(max(now // (10 * MINUTE) - it.idle[-1][0] // (10 * MINUTE), 0), 2015))


def _rho(carted: Any, paid: Any, orders: int) -> list[float]:
    """Paid over carted value; the shop's counts for 20 mean carts in each stratum, and 1 for 20 in
    the shop's."""
    pseudo = 20 * max(carted.sum() / orders if orders else 1.0, 1e-9)
    shop = (paid.sum() + pseudo) / (carted.sum() + pseudo)
    return [min(1.0, (paid[s] + pseudo * shop) / (carted[s] + pseudo)) for s in range(6)]


def _chance(done: Any, left: Any, risk: Any) -> list[list[float]]:
    """P(ordered by 168 h | idle at the middle of each bucket of 10 minutes), per stratum."""
    level = {}
    for part in (range(3), range(3, 12)):
        seen = sum(done[:, j].sum() for j in part)
        expected = sum(risk[:, j].sum() * GENERIC_HAZARDS[j] for j in part)
        level.update(dict.fromkeys(part, (seen + 4) / (expected + 4)))
    weights = [risk[:, j].sum() + 200 for j in range(12)]
    pool = [
        (done[:, j].sum() + 200 * min(GENERIC_HAZARDS[j] * level[j], 0.5)) / weights[j]
        for j in range(12)
    ]
    pool_left = [left[:, j].sum() / weights[j] for j in range(12)]
    chances = []
    age = (np.arange(2016) + 0.5) / 6
    for s in range(6):
        ordered = [(done[s, j] + 50 * pool[j]) / (risk[s, j] + 50) for j in range(12)]
        others = [(left[s, j] + 50 * pool_left[j]) / (risk[s, j] + 50) for j in range(12)]
        idle, ahead = np.ones(2016), np.zeros(2016)
        for j in range(12):
            until, width = min(EDGES_H[j + 1], 168), EDGES_H[j + 1] - EDGES_H[j]
            share = np.maximum(0.0, until - np.maximum(EDGES_H[j], age)) / width
            ends = 1 - (1 - min(ordered[j] + others[j], 1 - 1e-12)) ** share
            ahead += idle * ends * ordered[j] / (ordered[j] + others[j])
            idle *= 1 - ends
        chances.append(ahead.tolist())
    return chances
