"""A day's statement: the outcome of every order that Shopify has, per channel, in orders and in
money.

    shopify = sent + maybe_accepted + skipped by reason + dead + waiting + missing

The orders are those that `orderwire reconcile` or its job read last (`statement_order`). `exact` is
false, with a `reason`, where a part cannot be known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from aggregates.paging import NextCursor
from destinations.delivery.rows import (
    DEAD,
    DRY_RUN,
    EXPIRED,
    MAYBE_ACCEPTED,
    NO_CONSENT,
    PENDING,
    SENDING,
    SENT,
    TOO_OLD,
    UNPAID,
)
from processors.orders.row import SETTLED
from stream.money import MoneyJson, amount
from stream.store.contract import Reading
from stream.times import day_text, instant

CHUNK: Final = 500
AFTERWARDS: Final = frozenset({"order.refunded", "order.cancelled"})
"""Events of an order that are not its sale."""
RANK: Final = (SENT, MAYBE_ACCEPTED, SENDING, PENDING, DEAD)
"""Of several rows of one order the first of these counts."""
ROWS_KEPT_DAYS: Final = 31
HISTORY: Final = "history"
UNKNOWN_CHANNEL: Final = "unknown"
REASONS: Final = (
    ("a test order", "test"),
    ("the order is cancelled", "cancelled"),
    ("the order was deleted", "deleted"),
    (UNPAID, "unpaid"),
    ("financial_status is", "unpaid"),
    ("orders from", "source"),
    ("predicted rejection", "predicted_rejection"),
)
"""How a row's reason begins -> the name that the statement gives it."""


class Part(Struct, frozen=True, kw_only=True):
    """Some of the day's orders."""

    orders: Annotated[int, Meta(description="How many.", examples=[4])]
    value: Annotated[MoneyJson, Meta(description="Their totals.")]


class Missing(Part, frozen=True, kw_only=True):
    """Orders of which ids are given."""

    ids: Annotated[
        list[str], Meta(description="Shopify's order ids.", examples=[["820982911946154508"]])
    ]


class ChannelStatement(Struct, frozen=True, kw_only=True):
    """One channel's orders."""

    channel: Annotated[
        str, Meta(description="Shopify's `source_name`; `unknown` without.", examples=["web"])
    ]
    shopify: Annotated[Part, Meta(description="All that Shopify has of the day.")]
    sent: Annotated[Part, Meta(description="Sent, and answered with success.")]
    maybe_accepted: Annotated[Part, Meta(description="Sent; the answer was lost.")]
    skipped: Annotated[
        dict[str, Part],
        Meta(
            description="Not to be sent, by reason: test, cancelled, deleted, unpaid, no_consent,"
            " too_old, expired, dry_run, source, history (read by a backfill, or from before the"
            " account was set up) and others."
        ),
    ]
    dead: Annotated[Part, Meta(description="Given up; `orderwire doctor` says why.")]
    waiting: Annotated[Part, Meta(description="Still to be sent.")]
    missing: Annotated[Missing, Meta(description="Never received.")]
    missed_by_webhook: Annotated[
        Missing, Meta(description="Those of the above that only reconcile brought.")
    ]


class Statement(Struct, frozen=True, kw_only=True):
    """GET /v1/statement."""

    day: Annotated[str, Meta(description="The shop's day.", examples=["2026-11-26"])]
    destination: Annotated[
        str, Meta(description="The account whose events these are.", examples=["meta"])
    ]
    items: Annotated[list[ChannelStatement], Meta(description="Channels, by name.")]
    next_cursor: NextCursor
    exact: Annotated[bool, Meta(description="Whether every part is known.", examples=[True])]
    reason: Annotated[
        str | None, Meta(description="Why it is not exact; null where it is.", examples=[None])
    ]
    read_at: Annotated[
        str,
        Meta(description="When Shopify was asked.", examples=["2026-11-27T00:10:00.000Z"]),
    ]


@dataclass(slots=True)
class _Sum:
    """Orders and money of a part."""

    value: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, order: Any) -> None:
        self.value += order.value
        self.ids.append(order.order_id)


META: Final = "meta"


def usual_account(names: Iterable[str]) -> str:
    """The account whose events a statement is about where none is asked for: `meta`, else the first
    by name of those that the shop has."""
    there = sorted(names)
    return META if META in there or not there else there[0]


class NoStatement(LookupError):
    """Shopify was never asked for the orders of that day."""


def statement(
    reading: Reading,
    shop: str,
    day: int,
    destination: str,
    now_ms: int,
    behind: int | None,
) -> Statement:
    """The statement of a day. `behind`: records that wait to be counted, None where unknown.

    Raises NoStatement.
    """
    place = {"shop": shop, "day": day}
    days = reading.query(
        "SELECT currency, read_s, until_s FROM statement_day WHERE shop = :shop AND day = :day",
        **place,
    )
    if not days:
        raise NoStatement
    orders = reading.query(
        "SELECT order_id, channel, value FROM statement_order"
        " WHERE shop = :shop AND day = :day ORDER BY order_id",
        **place,
    )
    ids = [order.order_id for order in orders]
    rows = _rows(reading, shop, destination, ids)
    known = SETTLED.by_id(reading, shop, ids).keys()
    late = set(_column(reading, "missed_order", shop, ids))
    sums: dict[str, dict[str, _Sum]] = {}
    for order in orders:
        of_channel = sums.setdefault(order.channel or UNKNOWN_CHANNEL, {})
        parts = ["shopify", _part(rows.get(order.order_id), order.order_id in known)]
        if order.order_id in late and parts[1] != "missing":
            parts.append("missed_by_webhook")
        for part in parts:
            of_channel.setdefault(part, _Sum()).add(order)
    reasons = _reasons(days[0], now_ms, behind, sums, gone=day * 86_400_000)
    return Statement(
        day=day_text(day),
        destination=destination,
        items=[_item(name, sums[name], days[0].currency) for name in sorted(sums)],
        next_cursor=None,
        exact=not reasons,
        reason="; ".join(reasons) or None,
        read_at=instant(days[0].read_s * 1000),
    )


def _part(row: Any, known: bool) -> str:
    if row is None:
        return f"skipped {HISTORY}" if known else "missing"
    if row.outcome in (SENT, MAYBE_ACCEPTED, DEAD):
        return str(row.outcome)
    if row.outcome in (PENDING, SENDING):
        return "waiting"
    if row.outcome in (NO_CONSENT, TOO_OLD, EXPIRED, DRY_RUN):
        return f"skipped {row.outcome}"
    named = (name for begin, name in REASONS if row.reason.startswith(begin))
    return f"skipped {next(named, 'other')}"


def _rows(reading: Reading, shop: str, destination: str, ids: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for chunk in _chunks(ids):
        names = {f"id_{place}": one for place, one in enumerate(chunk)}
        for row in reading.query(
            "SELECT order_id, event_name, outcome, reason FROM outbox WHERE shop = :shop"
            f" AND order_id IN ({', '.join(f':{name}' for name in names)})"
            " AND destination = :destination",
            shop=shop,
            destination=destination,
            **names,
        ):
            before = found.get(row.order_id)
            if row.event_name not in AFTERWARDS and (
                before is None or _rank(row.outcome) < _rank(before.outcome)
            ):
                found[row.order_id] = row
    return found


def _rank(outcome: str) -> int:
    return RANK.index(outcome) if outcome in RANK else len(RANK)


def _column(reading: Reading, table: str, shop: str, ids: list[str]) -> Iterable[str]:
    for chunk in _chunks(ids):
        names = {f"id_{place}": one for place, one in enumerate(chunk)}
        rows = reading.query(
            f"SELECT DISTINCT order_id FROM {table} WHERE shop = :shop"
            f" AND order_id IN ({', '.join(f':{name}' for name in names)})",
            shop=shop,
            **names,
        )
        yield from (row.order_id for row in rows)


def _chunks(ids: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        # Few lengths: a statement is parsed once.
        yield chunk + chunk[:1] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))


def _reasons(
    read: Any, now_ms: int, behind: int | None, sums: Mapping[str, Mapping[str, _Sum]], gone: int
) -> list[str]:
    reasons = []
    if read.read_s < read.until_s:
        reasons.append("the day was not over when Shopify was asked")
    if behind is None:
        reasons.append("the log does not say how many records wait to be counted")
    elif behind:
        reasons.append(f"{behind} records wait to be counted")
    unsure = sum(len(of["maybe_accepted"].ids) for of in sums.values() if "maybe_accepted" in of)
    if unsure:
        reasons.append(f"of {unsure} orders sent the answer was lost")
    without_row = any(part in of for of in sums.values() for part in (f"skipped {HISTORY}",))
    if without_row and now_ms - gone > ROWS_KEPT_DAYS * 86_400_000:
        reasons.append("rows of settled events may be gone (ORDERWIRE_OUTBOX_DAYS)")
    return reasons


def _item(channel: str, sums: Mapping[str, _Sum], currency: str) -> ChannelStatement:
    def part(name: str) -> Part:
        found = sums.get(name, _Sum())
        return Part(orders=len(found.ids), value=_money(found.value, currency))

    def with_ids(name: str) -> Missing:
        found = sums.get(name, _Sum())
        return Missing(orders=len(found.ids), value=_money(found.value, currency), ids=found.ids)

    return ChannelStatement(
        channel=channel,
        shopify=part("shopify"),
        sent=part(SENT),
        maybe_accepted=part(MAYBE_ACCEPTED),
        skipped={
            name.removeprefix("skipped "): part(name)
            for name in sorted(sums)
            if name.startswith("skipped ")
        },
        dead=part(DEAD),
        waiting=part("waiting"),
        missing=with_ids("missing"),
        missed_by_webhook=with_ids("missed_by_webhook"),
    )


def _money(units: int, currency: str) -> MoneyJson:
    return {"amount": amount(units, currency), "currency_code": currency}
