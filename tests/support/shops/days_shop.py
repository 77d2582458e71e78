"""A shop of some months: orders of few customers with refunds and cancellations, and spend."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from aggregates.budget import projection as budget
from aggregates.budget.fold.spend import SpendProcessor
from aggregates.budget.fold.spend_record import SpendRow
from aggregates.days.fold import projection as days
from processors.engine import rebuild
from processors.engine.projection import Projection, live_key
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import CustomersMerged, Order, OrderEvent, Refund
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order

SPAN = 150
LAST = DAY0 + SPAN
NOW_MS = (LAST * 24 + 12) * 3_600_000
LANDINGS = (
    *(None, "/", "/products/a?utm_source=klaviyo"),
    *("/?utm_source=fb&utm_id=7", "/?utm_source=ig&utm_campaign=summer", "/?fbclid=x"),
    "/?utm_source=google&utm_campaign=Brand",
)
CAMPAIGNS = (("meta", "7", "Summer"), ("google", "9", "Brand"))


def events_of_shop(seed: int, orders: int = 240) -> list[OrderEvent]:
    """Deliveries: most orders once, some again as cancelled or refunded, and a merge."""
    rng = random.Random(seed)
    found: list[OrderEvent] = []
    for number in range(orders):
        total = rng.choice([0, 999, 2_500, 25_000])
        each = replace(
            order(
                f"{1000 + number}",
                customer=rng.choice([None, *(f"{n}" for n in range(60))]),
                day=DAY0 + rng.randrange(SPAN),
                total=total,
                currency="EUR" if rng.random() < 0.05 else "USD",
                landing_site=rng.choice(LANDINGS),
            ),
            country=rng.choice(["", "FR", "US"]),
            source_name=rng.choice(["web", "web", "pos"]),
        )
        found.append(each)
        if rng.random() < 0.1:
            found.append(again(each, cancelled=True))
        elif rng.random() < 0.15:
            found.append(again(each, refunds=(Refund(f"r{number}", total // 2),)))
    found.append(CustomersMerged(shop=SHOP, kept_id="1", deleted_id="2"))
    return found


def again(each: Order, **fields: object) -> Order:
    """A newer version."""
    version = each.version._replace(updated_us=2, digest="2")
    return replace(each, version=version, **fields)


def reports(seed: int) -> list[SpendRow]:
    """Two campaigns' spend, with days on which nothing was reported."""
    rng = random.Random(seed)
    return [
        SpendRow(
            shop=SHOP,
            day=day,
            channel=channel,
            campaign=campaign_id,
            campaign_id=campaign_id,
            campaign_name=name,
            currency="USD",
            spend=rng.randrange(0, 5_000),
            impressions=None,
            clicks=None,
            platform_revenue=None,
            platform_orders=None,
            time_zone="",
            reported_us=1,
            digest="",
        )
        for day in range(DAY0, LAST)
        if day % 9
        for channel, campaign_id, name in CAMPAIGNS
    ]


def fold_days(store: SqlStore, events: Sequence[OrderEvent], spend: Sequence[SpendRow]) -> None:
    """Fold everything into days, cohorts and campaign-days."""
    orders = OrdersProcessor({}, (CURRENCY, budget.projection(), days.projection()))
    for start in range(0, len(events), 100):
        with store.begin() as transaction:
            orders.apply(transaction, events[start : start + 100], NOW_MS)
    for start in range(0, len(spend), 100):
        with store.begin() as transaction:
            SpendProcessor((budget.projection(),)).apply(
                transaction, spend[start : start + 100], NOW_MS
            )


def rebuilt(store: SqlStore, *projections: Projection, shop: str = SHOP) -> None:
    """Count the cells of these projections anew; without any, those of days and cohorts."""
    for made in projections or (days.projection(),):
        with store.begin() as transaction:
            rebuild.request(transaction, made, shop, NOW_MS)
        while rebuild.run(store, made, shop, NOW_MS):
            pass
        with store.snapshot() as snapshot:
            assert live_key(snapshot, shop, made.name) != shop
