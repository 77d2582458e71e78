"""`GET /v1/carts/open`: open checkouts by expected recoverable value, best first.

    expected = value x P(completes within 7 days | stratum, age) x paid/carted value of the stratum

The order is expected value descending, then newest bucket, then token.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.carts.answer.figures import CartSettings, Figures, figures
from aggregates.carts.answer.histogram import BANDS, CUSTOMERS, bin_bounds
from aggregates.carts.answer.schema import OpenCart, OpenCartPage
from processors.checkouts.idle import MINUTE_MS
from processors.checkouts.state import EXPIRES_MS
from stream.money import money
from stream.store.contract import Snapshot

LIMIT: Final = 50
MOST: Final = 500
CELLS_PER_QUERY: Final = 40
OPEN_STATES: Final = ("active", "abandoned")


class CartPlace(NamedTuple):
    """The sort key of an item: ascending keys are descending value."""

    minus_expected: float
    minus_bucket: int
    token: str


class CartCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last item's place, and the moment of the first page, so that ages are constant while
    paging. If carts close in between, a later page may miss or repeat one near its edge."""

    now_ms: int
    minus_expected: float
    minus_bucket: int
    token: str


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells in the order of their best possible place; `weight` is expected value per minor unit of
    value."""

    bucket: Ints
    value_bin: Ints
    returning: Ints
    probability: Floats
    weight: Floats
    most: Floats
    """The most that a checkout of the cell can be expected to bring, minor units."""


def open_carts(
    snapshot: Snapshot,
    shop: str,
    now_ms: int,
    limit: int = LIMIT,
    cursor: str | None = None,
    *,
    settings: CartSettings | None = None,
    state: str | None = None,
    value_band: str | None = None,
    customer: str | None = None,
) -> OpenCartPage:
    """A page of items, without `as_of`.

    Raises ValueError for an invalid cursor or filter.
    """
    settings = settings or CartSettings()
    limit = min(max(limit, 1), MOST)
    for name, value, known in (
        ("state", state, OPEN_STATES),
        ("value_band", value_band, BANDS),
        ("customer", customer, CUSTOMERS),
    ):
        if value is not None and value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}")
    after = _cursor(cursor) if cursor else None
    now_ms = after.now_ms if after else now_ms
    now = figures(snapshot, shop, now_ms, settings)
    if now is None:
        return OpenCartPage(items=[], next_cursor=None)
    start = CartPlace(after.minus_expected, after.minus_bucket, after.token) if after else None
    page = _page(
        snapshot,
        shop,
        now,
        _cells(now, state, value_band, customer),
        _Wanted(now_ms, settings, state, limit + 1, start),
    )
    items = [
        _item(now, now_ms, settings, place, row, chance) for place, row, chance in page[:limit]
    ]
    following = None
    if len(page) > limit:
        following = (
            urlsafe_b64encode(msgspec.json.encode(CartCursor(now_ms, *page[limit - 1][0])))
            .decode()
            .rstrip("=")
        )
    return OpenCartPage(items=items, next_cursor=following)


@dataclass(frozen=True, slots=True)
class _Wanted:
    now_ms: int
    settings: CartSettings
    state: str | None
    items: int
    after: CartPlace | None

    def takes(self, place: CartPlace, last_ms: int) -> bool:
        """Whether an item belongs on the page or after it."""
        idle_ms = self.now_ms - last_ms
        if idle_ms >= EXPIRES_MS or (self.state and self.state != _state(idle_ms, self.settings)):
            return False
        return self.after is None or place > self.after


def _state(idle_ms: int, settings: CartSettings) -> str:
    return "abandoned" if idle_ms >= settings.abandoned_after_minutes * MINUTE_MS else "active"


def _cells(now: Figures, state: str | None, value_band: str | None, customer: str | None) -> _Cells:
    cells, chance = now.open, now.probability()
    chosen = cells.carts > 0
    if state:
        chosen &= cells.abandoned == (state == "abandoned")
    if value_band:
        chosen &= cells.stratum // 2 == BANDS.index(value_band)
    if customer:
        chosen &= cells.returning == CUSTOMERS.index(customer)
    keys, first = np.unique(
        np.stack((cells.bucket[chosen], cells.value_bin[chosen], cells.returning[chosen])),
        axis=1,
        return_index=True,
    )
    stratum, age = cells.stratum[chosen][first], cells.age[chosen][first]
    probability = chance[stratum, age]
    weight = probability * now.rho[stratum]
    highest = np.array(
        [bin_bounds(value_bin)[1] for value_bin in range(int(keys[1].max()) + 1)]
        if keys.size
        else [0],
        dtype=np.float64,
    )
    most = highest[keys[1]] * weight
    order = np.lexsort((-keys[0], -most))
    return _Cells(
        keys[0][order],
        keys[1][order],
        keys[2][order],
        probability[order],
        weight[order],
        most[order],
    )


def _page(
    snapshot: Snapshot, shop: str, now: Figures, cells: _Cells, wanted: _Wanted
) -> list[tuple[CartPlace, Any, float]]:
    """The best `wanted.items` after `wanted.after`, in order.

    All checkouts of one cell (10-minute bucket, value bin, new/returning) share probability and
    paid share, and their values lie within the bin. So cells are visited by their largest possible
    value, and the search ends when no other cell can beat the page: exact, without reading the
    whole shop.
    """
    found: list[tuple[CartPlace, Any, float]] = []
    remaining = np.arange(len(cells.bucket))
    if wanted.after is not None:
        # A cell whose lowest possible item is before the cursor was wholly on an earlier page.
        lowest = (
            np.array(
                [bin_bounds(int(value_bin))[0] for value_bin in cells.value_bin], dtype=np.float64
            )
            * cells.weight
        )
        least = -wanted.after.minus_expected
        earlier = (lowest > least) | (
            (lowest == least) & (cells.most == least) & (-cells.bucket < wanted.after.minus_bucket)
        )
        remaining = remaining[~earlier]
    for start in range(0, len(remaining), CELLS_PER_QUERY):
        block = remaining[start : start + CELLS_PER_QUERY]
        if len(found) >= wanted.items:
            best_left = CartPlace(-float(cells.most[block[0]]), -int(cells.bucket[block[0]]), "")
            if found[wanted.items - 1][0] < best_left:
                break
        factors = {
            (int(cells.bucket[i]), int(cells.value_bin[i]), int(cells.returning[i])): (
                float(cells.probability[i]),
                float(cells.weight[i]),
            )
            for i in block
        }
        for row in _checkouts(snapshot, shop, now.currency, list(factors)):
            probability, weight = factors[row.open_bucket, row.value_bin, row.is_returning]
            place = CartPlace(-(row.value * weight), -row.open_bucket, row.token)
            if wanted.takes(place, row.last_ms):
                found.append((place, row, probability))
        found.sort(key=lambda item: item[0])
        del found[wanted.items :]
    return found


def _checkouts(
    snapshot: Snapshot, shop: str, currency: str, cells: Sequence[tuple[int, int, int]]
) -> list[Any]:
    wanted = [
        cells[min(index, len(cells) - 1)] for index in range(CELLS_PER_QUERY)
    ]  # always the same statement
    terms = " OR ".join(
        f"(open_bucket = :b{i} AND shop = :shop AND value_bin = :v{i} AND is_returning = :r{i})"
        for i in range(CELLS_PER_QUERY)
    )
    named = {f"{name}{i}": cell[j] for i, cell in enumerate(wanted) for j, name in enumerate("bvr")}
    return snapshot.query(
        "SELECT token, cart_token, value, last_ms, open_bucket, value_bin, is_returning, "
        "recovery_url FROM cart_checkout WHERE open_bucket >= 0 AND currency = :currency "
        f"AND ({terms})",
        shop=shop,
        currency=currency,
        **named,
    )


def _item(
    now: Figures,
    now_ms: int,
    settings: CartSettings,
    place: CartPlace,
    row: Any,
    probability: float,
) -> OpenCart:
    idle_ms = now_ms - row.last_ms
    band = int(row.value_bin > now.band_ends[0]) + int(row.value_bin > now.band_ends[1])
    updated = datetime.fromtimestamp(row.last_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return OpenCart(
        token=row.token,
        cart_token=row.cart_token or None,
        value=money(row.value, now.currency),
        updated_at=updated.replace("+00:00", "Z"),
        age_minutes=max(0, idle_ms // MINUTE_MS),
        state=_state(idle_ms, settings),
        value_band=BANDS[band],
        customer=CUSTOMERS[row.is_returning],
        probability=probability,
        expected=money(-place.minus_expected, now.currency),
        recovery_url=row.recovery_url or None,
    )


def _cursor(cursor: str) -> CartCursor:
    try:
        return msgspec.json.decode(
            urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=CartCursor
        )
    except (ValueError, msgspec.DecodeError):
        raise ValueError(
            "the cursor is none that this list gave out: ask again without it"
        ) from None
