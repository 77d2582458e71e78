"""`GET /v1/rfm/customers`: a segment's customers a page at a time, best first, and one customer by
id."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

from aggregates.bad_parameter import BadParameter
from aggregates.rfm.answer.customer_rows import COLUMNS, CustomerInWindow, Listing, rows_behind
from aggregates.rfm.answer.overview import RfmView
from aggregates.rfm.answer.schema import CustomerLtv, RfmCustomer
from aggregates.rfm.answer.scores import TOO_FEW, score_customer
from aggregates.rfm.answer.segments import Segment
from aggregates.rfm.fold.customer import is_newcomer
from stream.money import MoneyJson, money
from stream.store.contract import Snapshot
from stream.times import day_text

LIMIT: Final = 50
MOST: Final = 1_000


class CustomerPlace(msgspec.Struct, frozen=True, array_like=True):
    """The end of a page: its list, and the last item's sort values. The order is total (customer id
    comes last, in the database's own collation), so nobody comes twice unless they ordered in
    between."""

    sort: str
    segment: str
    values: tuple[int, int]
    customer: str


class ScoredCustomer(msgspec.Struct, frozen=True, gc=False):
    """One customer with scores; without scores they are None, and `reason` says why. Money in minor
    units."""

    row: CustomerInWindow
    currency: str
    recency_days: int
    scores: tuple[int, int, int, int] | None
    """R, F, M, FM."""
    segment: Segment | None
    reason: str | None

    @property
    def monetary(self) -> MoneyJson:
        return money(self.row.revenue, self.currency)


def page(
    snapshot: Snapshot, view: RfmView, listing: Listing, limit: int, after: CustomerPlace | None
) -> tuple[list[ScoredCustomer], CustomerPlace | None]:
    """Up to `limit` customers after `after`, and the place of the next page; None if there is none.
    Listed are customers with an order in the window. The view is the snapshot's."""
    if listing.part and listing.cutoffs is None:
        return [], None
    start = None if after is None else (*after.values, after.customer)
    rows = rows_behind(snapshot, view, listing, limit + 1, start)
    end = None
    if len(rows) > limit:
        *values, customer = listing.place(rows[limit - 1])
        end = CustomerPlace(listing.sort, listing.part, (values[0], values[1]), str(customer))
    return [scored(row, view, listing) for row in rows[:limit]], end


def one(snapshot: Snapshot, view: RfmView, customer: str) -> CustomerInWindow | None:
    """Any customer who ever ordered, by id; for a merged one the customer merged into; None for an
    unknown id."""
    select = f"SELECT {COLUMNS} FROM rfm_customer c WHERE shop = :shop AND customer = :customer"
    rows = snapshot.query(select, shop=view.key, customer=customer)
    if not rows:
        kept = snapshot.query(
            "SELECT kept FROM customer_alias WHERE shop = :shop AND deleted = :customer",
            shop=view.shop,
            customer=customer,
        )
        rows = snapshot.query(select, shop=view.key, customer=kept[0][0]) if kept else []
    return CustomerInWindow(*rows[0]) if rows else None


def scored(row: CustomerInWindow, view: RfmView, listing: Listing) -> ScoredCustomer:
    """The customer's scores under the listing's cut-offs."""
    recency_days = listing.day - row.last_day
    if not row.orders:
        return ScoredCustomer(
            row,
            view.currency,
            recency_days,
            None,
            None,
            f"no order in the last {listing.window_days} days",
        )
    if listing.cutoffs is None:
        return ScoredCustomer(row, view.currency, recency_days, None, None, TOO_FEW)
    score = score_customer(
        listing.cutoffs,
        recency_days,
        row.orders,
        row.revenue,
        newcomer=is_newcomer(row.first_day, row.last_day),
    )
    return ScoredCustomer(
        row, view.currency, recency_days, (score.r, score.f, score.m, score.fm), score.segment, None
    )


def customer_answer(customer: ScoredCustomer, predicted: CustomerLtv) -> RfmCustomer:
    """An item of `GET /v1/rfm/customers`; `predicted` is its `ltv_predicted`."""
    row = customer.row
    r, f, m, fm = customer.scores or (None, None, None, None)
    return RfmCustomer(
        id=row.customer,
        guest=bool(row.guest),
        recency_days=customer.recency_days,
        frequency=row.orders,
        monetary=customer.monetary,
        r=r,
        f=f,
        m=m,
        fm=fm,
        segment=customer.segment,
        first_order_day=day_text(row.first_day),
        last_order_day=day_text(row.last_day),
        ltv_predicted=predicted,
        reason=customer.reason,
    )


def cursor(place: CustomerPlace) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(text: str | None, sort: str, part: str) -> CustomerPlace | None:
    """The place in a cursor of the same list. Raises Problem 400 for any other."""
    if text is None:
        return None
    allowed = "the next_cursor of the page before, or none"
    try:
        place = msgspec.json.decode(
            urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=CustomerPlace
        )
    except (ValueError, msgspec.DecodeError):
        raise BadParameter(
            "cursor", "the cursor is none that this list gave out", allowed
        ) from None
    if (place.sort, place.segment) != (sort, part):
        raise BadParameter(
            "cursor", "the cursor belongs to a list with another sort, segment or cell", allowed
        )
    if max(map(abs, place.values)) >= 2**63 or "\0" in place.customer:
        raise BadParameter("cursor", "the cursor is none that this list gave out", allowed)
    return place
