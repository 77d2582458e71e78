"""The endpoints `/v1/rfm`, `/v1/rfm/customers` and `/v1/rfm/customers/{id}`, and the export of a
segment as CSV."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from aggregates.rfm.answer.customer_rows import Listing
from aggregates.rfm.answer.customers import (
    CustomerPlace,
    ScoredCustomer,
    cursor,
    customer_answer,
    one,
    page,
    place_of,
    scored,
)
from aggregates.rfm.answer.moves import Moves, moves
from aggregates.rfm.answer.overview import RfmView, overview
from aggregates.rfm.answer.schema import CustomerLtv, RfmCustomers, RfmOverview
from aggregates.rfm.first_orders.answer import first_orders_answer
from aggregates.rfm.manifest import MANIFEST
from aggregates.rfm.value.ltv import Purchases, customers_ltv, predicted_ltv
from query.as_of import AsOf, Spans, as_of, today
from query.endpoints.contacts import Contact, contacts
from query.endpoints.export import header, lines
from query.envelope import answered
from query.problem import bad_parameter, not_found
from query.route import Asked, Handler
from query.services import ApiServices, services_of
from stream.store.contract import StoreError

Json = dict[str, Any]
FEEDS: Final = MANIFEST.feeds
EXPORT_PAGE: Final = 2_000
SMALL: Final = 500
"""Cells whose answer takes less time than a thread takes to begin."""
log = structlog.get_logger()


def _day(asked: Asked, view: RfmView) -> int:
    return today(asked.now_ms, asked.settings.zone) if view.as_of_day is None else view.as_of_day


def _as_of(asked: Asked, view: RfmView, day: int, spans: Spans) -> AsOf:
    first_days = view.btyd.key[1]
    since = int(first_days.min()) if len(first_days) else None
    return as_of(
        asked.now_ms,
        day,
        FEEDS,
        view.positions,
        spans,
        since=since,
        window_days=asked.settings.rfm.window_days,
    )


async def rfm(asked: Asked) -> Json:
    """GET /v1/rfm."""
    services, settings = services_of(asked), asked.settings.rfm
    spans = await services.lags.spans({feed.topic for feed in FEEDS})
    view = await services.rfm(asked.shop)
    day = _day(asked, view)
    fitted = await services.fits.current(view, day, settings)
    first_orders = await services.first_orders.current(view, day, settings)

    def answer() -> RfmOverview:
        scored = services.arrays.scores(view, day)
        predicted = predicted_ltv(fitted, settings, view.currency)
        return overview(view, day, scored, settings, predicted, first_orders_answer(first_orders))

    rfm_answer = answer() if len(view.cells) <= SMALL else await asyncio.to_thread(answer)
    return answered(asked.shop, _as_of(asked, view, day, spans), rfm_answer)


async def rfm_customers(asked: Asked) -> Json | web.StreamResponse:
    """GET /v1/rfm/customers, as a page or as CSV of all pages."""
    values = asked.values
    layout = values["format"] or (
        "csv" if "text/csv" in asked.request.headers.get(hdrs.ACCEPT, "") else "json"
    )
    cell = _cell(values)
    part = values["segment"] or ("" if cell is None else f"r{cell[0]}fm{cell[1]}")
    after = place_of(values["cursor"], values["sort"], part)
    if layout != "json":
        if after is not None:
            raise bad_parameter("cursor", "an export has all pages, so it takes no cursor")
        return await _export(asked, layout)
    services = services_of(asked)
    spans = await services.lags.spans({feed.topic for feed in FEEDS})
    view, listing, customers, end = await asyncio.to_thread(
        _page, services, asked, values["limit"], after, None
    )
    predicted = await _predicted(asked, view, listing.day, customers)
    items = [
        customer_answer(customer, value)
        for customer, value in zip(customers, predicted, strict=True)
    ]
    return answered(
        asked.shop,
        _as_of(asked, view, listing.day, spans),
        RfmCustomers(
            items=items,
            next_cursor=None if end is None else cursor(end),
            reason=services.arrays.scores(view, listing.day).reason,
        ),
    )


def _listing(services: ApiServices, asked: Asked, view: RfmView) -> Listing:
    day = _day(asked, view)
    cutoffs = services.arrays.scores(view, day).cutoffs
    return Listing(
        asked.values.get("sort", "recency"),
        asked.values.get("segment"),
        day,
        asked.settings.rfm.window_days,
        cutoffs,
        _cell(asked.values),
    )


def _cell(values: Json) -> tuple[int, int] | None:
    """The scores R and FM that are asked for. Raises Problem 400."""
    r, fm = values.get("r"), values.get("fm")
    if (r is None) != (fm is None):
        raise bad_parameter("fm" if fm is None else "r", "r and fm go together", "1 to 5")
    if r is None or fm is None:
        return None
    if values.get("segment"):
        raise bad_parameter("segment", "a cell is of one segment: leave segment out")
    return r, fm


def _page(
    services: ApiServices,
    asked: Asked,
    limit: int,
    after: CustomerPlace | None,
    listing: Listing | None,
) -> tuple[RfmView, Listing, list[ScoredCustomer], CustomerPlace | None]:
    with services.arrays.snapshot_view(asked.shop) as (snapshot, view):
        listing = listing or _listing(services, asked, view)
        customers, end = page(snapshot, view, listing, limit, after)
    return view, listing, customers, end


async def _predicted(
    asked: Asked, view: RfmView, day: int, customers: Sequence[ScoredCustomer]
) -> list[CustomerLtv]:
    fitted = await services_of(asked).fits.current(view, day, asked.settings.rfm)
    rows = [each.row for each in customers]
    purchases = [
        Purchases(
            row.days - 1, row.first_day, row.last_day, row.revenue_ever - row.first_day_revenue
        )
        for row in rows
    ]
    return await asyncio.to_thread(
        customers_ltv, fitted, asked.settings.rfm, view.currency, day, purchases
    )


def _contacts(
    services: ApiServices, shop: str, customers: Sequence[ScoredCustomer]
) -> dict[str, Contact]:
    with services.store.snapshot() as snapshot:
        return contacts(snapshot, shop, [each.row.customer for each in customers])


async def _export(asked: Asked, layout: Any) -> web.StreamResponse:
    services = services_of(asked)
    view, listing, customers, end = await asyncio.to_thread(
        _page, services, asked, EXPORT_PAGE, None, None
    )
    name = f"{asked.shop}-{asked.values['segment'] or 'customers'}-{layout}.csv"
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/csv; charset=utf-8; header=present",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
        }
    )
    response.headers[hdrs.VARY] = hdrs.ACCEPT
    await response.prepare(asked.request)
    if asked.request.method == hdrs.METH_HEAD:
        return response
    try:
        await response.write(header(layout))
        while True:
            known = (
                await asyncio.to_thread(_contacts, services, asked.shop, customers)
                if layout == "meta"
                else {}
            )
            await response.write(
                lines(
                    layout, customers, await _predicted(asked, view, listing.day, customers), known
                )
            )
            if end is None:
                break
            view, listing, customers, end = await asyncio.to_thread(
                _page, services, asked, EXPORT_PAGE, end, listing
            )
        await response.write_eof()
    except StoreError as error:
        # Too late for another status: the connection breaks before the last chunk, so that the
        # export is seen to be incomplete.
        log.warning("export broke off", shop=asked.shop, error=str(error))
        if asked.request.transport is not None:
            asked.request.transport.abort()
    return response


async def rfm_customer(asked: Asked) -> Json:
    """GET /v1/rfm/customers/{id}."""
    services = services_of(asked)
    spans = await services.lags.spans({feed.topic for feed in FEEDS})

    def read() -> tuple[RfmView, Listing, ScoredCustomer | None]:
        with services.arrays.snapshot_view(asked.shop) as (snapshot, view):
            listing = _listing(services, asked, view)
            row = one(snapshot, view, asked.values["id"])
            return view, listing, row and scored(row, view, listing)

    view, listing, customer = await asyncio.to_thread(read)
    if customer is None:
        raise not_found(
            "no customer with this id has ordered",
            "list them with GET /v1/rfm/customers; a guest's id starts with `g:`",
        )
    (predicted,) = await _predicted(asked, view, listing.day, [customer])
    rests_on = _as_of(asked, view, listing.day, spans)
    return answered(asked.shop, rests_on, customer_answer(customer, predicted))


async def rfm_moves(asked: Asked) -> Json:
    """GET /v1/rfm/moves."""
    services = services_of(asked)
    spans = await services.lags.spans({feed.topic for feed in FEEDS})

    def read() -> tuple[RfmView, int, Moves]:
        with services.arrays.snapshot_view(asked.shop) as (snapshot, view):
            day = _day(asked, view)
            found = moves(snapshot, view, day, asked.settings.rfm, asked.values)
        return view, day, found

    view, day, found = await asyncio.to_thread(read)
    return answered(asked.shop, _as_of(asked, view, day, spans), found)


FROM_MEMORY: Final[dict[str, Handler]] = {
    "/v1/rfm": rfm,
    "/v1/rfm/customers": rfm_customers,
    "/v1/rfm/customers/{id}": rfm_customer,
    "/v1/rfm/moves": rfm_moves,
}
"""Handlers of the answers that are no function of a snapshot (`aggregates.question.Answer`)."""
