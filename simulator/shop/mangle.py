"""Delivery faults between a shop and a receiver: duplicates, late retries, disorder, and a few
broken deliveries."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

import orjson

from simulator.shop.delivery import Delivery, signed

PARKED = frozenset({"malformed_json", "unknown_topic", "missing_id", "malformed_timestamp"})
"""Kinds that are kept, and never counted."""
REFUSED = frozenset({"bad_signature", "unknown_shop"})
"""Kinds of which nothing is kept."""
BROKEN = (
    "eighteen_digits",
    "bad_signature",
    "unknown_shop",
    "malformed_json",
    "unknown_topic",
    "missing_id",
    "malformed_timestamp",
)
_WRONG_SECRET = bytes(16)


@dataclass(frozen=True, slots=True)
class Mangling:
    """Shares of deliveries, 0 to 1."""

    duplicate: float = 0.03
    retry: float = 0.02
    late: float = 0.05
    new_spelling: float = 0.05
    broken: float = 0.01
    """Each kind of `BROKEN` alike."""
    reach: int = 60
    """How many deliveries a late one or a retry may fall behind."""


def mangled(
    deliveries: Iterable[Delivery],
    *,
    shop: str,
    secret: str | bytes,
    seed: int = 0,
    mangling: Mangling | None = None,
) -> Iterator[Delivery]:
    """`deliveries` with faults; the same seed gives the same faults. Every genuine delivery arrives
    at least once; broken ones are copies under their own webhook id. Each is labelled with its
    `kind` and the expected status (docs/api.md, "The receiver"):

    | kind | what | status |
    |---|---|---|
    | `duplicate` | the same delivery, immediately | 200 |
    | `retry` | the same delivery, later, its state stale by then | 200 |
    | `late` | genuine, overtaken by others | 200 |
    | `new_spelling` | genuine, headers without `X-` | 200 |
    | `eighteen_digits` | another order, its id beyond 2**53 | 200 |
    | `bad_signature` | signed with another secret | 401 |
    | `unknown_shop` | signed well, from a shop that is not configured | 401 |
    | `malformed_json` | signed, cut off in the middle | 400, parked |
    | `unknown_topic` | signed, an unknown topic | 200, parked |
    | `missing_id` | signed, the body has no id | 200, parked |
    | `malformed_timestamp` | signed, `2024-09-16T03:50:1500:00` | 200, parked when decoded |
    """
    rates = mangling or Mangling()
    key = secret.encode() if isinstance(secret, str) else secret
    random = Random((seed << 8) ^ 0x5)
    waiting: list[tuple[int, int, Delivery]] = []
    pushed = 0
    for number, original in enumerate(deliveries, 1):
        delivery = original
        if random.random() < rates.new_spelling:
            delivery = _relabelled(
                delivery,
                "new_spelling",
                {name.removeprefix("X-"): value for name, value in delivery.headers.items()},
            )
        if random.random() < rates.retry:
            pushed += 1
            heappush(
                waiting,
                (number + random.randint(2, rates.reach), pushed, _relabelled(delivery, "retry")),
            )
        if random.random() < rates.late:
            pushed += 1
            heappush(
                waiting,
                (
                    number + random.randint(1, max(1, rates.reach // 4)),
                    pushed,
                    _relabelled(delivery, "late"),
                ),
            )
        else:
            yield delivery
            if random.random() < rates.duplicate:
                yield _relabelled(delivery, "duplicate")
        if random.random() < rates.broken:
            made = _broken(random, random.choice(BROKEN), original, shop, key)
            if made is not None:
                yield made
        while waiting and waiting[0][0] <= number:
            yield heappop(waiting)[2]
    while waiting:
        yield heappop(waiting)[2]


def _relabelled(delivery: Delivery, kind: str, headers: dict[str, str] | None = None) -> Delivery:
    return Delivery(
        delivery.topic,
        delivery.webhook_id,
        delivery.event_id,
        delivery.triggered_at,
        delivery.body,
        delivery.headers if headers is None else headers,
        delivery.key,
        kind,
        delivery.expected_status,
    )


def _broken(
    random: Random, kind: str, delivery: Delivery, shop: str, secret: bytes
) -> Delivery | None:
    """`delivery` broken as `kind` says; None if it cannot be."""
    topic, body, key, status = delivery.topic, delivery.body, delivery.key, 200
    if kind == "bad_signature":
        secret, status = _WRONG_SECRET, 401
    elif kind == "unknown_shop":
        shop, status = f"not-{shop}", 401
    elif kind == "malformed_json":
        body, status = body[: len(body) // 2], 400
    elif kind == "unknown_topic":
        topic = random.choice(("metaobjects/create", "companies/update", "inventory_levels/update"))
    elif kind == "missing_id":
        body, key = (
            orjson.dumps({"note": None, "line_items": [], "updated_at": "2026-01-01T00:00:00Z"}),
            "",
        )
    else:
        whole = orjson.loads(body)
        if kind == "malformed_timestamp":
            if "updated_at" not in whole:
                return None
            whole["updated_at"] = "2024-09-16T03:50:1500:00"
        else:
            if topic != "orders/create":
                return None
            number = 820_982_911_946_000_000 + int(delivery.key) % 1_000_000_000
            key = str(number)
            whole |= {
                "id": number,
                "admin_graphql_api_id": f"gid://shopify/Order/{number}",
                "refunds": [],
            }
            whole |= {"checkout_token": None, "cart_token": None}
        body = orjson.dumps(whole)
    drawn = f"{random.getrandbits(128):032x}"
    webhook_id = f"{drawn[:8]}-{drawn[8:12]}-{drawn[12:16]}-{drawn[16:20]}-{drawn[20:]}"
    return signed(
        topic,
        body,
        shop=shop,
        secret=secret,
        webhook_id=webhook_id,
        event_id=delivery.event_id,
        triggered=delivery.triggered_at,
        key=key,
        kind=kind,
        expected_status=status,
    )
