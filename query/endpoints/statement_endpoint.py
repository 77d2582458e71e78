"""GET /v1/statement: what became of every order of a day."""

import asyncio
from datetime import date, timedelta
from typing import Any, Final

from msgspec.structs import replace

from aggregates.paging import PAGING, page
from aggregates.parameters import text
from processors.engine.feed import Feed
from query.as_of import AsOf, as_of, today, zone_of
from query.endpoints.destinations import feeds as destination_feeds
from query.endpoints.statement import META, NoStatement, Statement, statement, usual_account
from query.envelope import answered
from query.problem import bad_parameter, not_found
from query.route import ApiRoute, Asked
from query.services import services_of
from stream.times import EPOCH

Json = dict[str, Any]
DAY: Final = text("day", "the shop's day, YYYY-MM-DD; yesterday where not said", longest=10)
DESTINATION: Final = text(
    "destination",
    "the account: `meta`, or its table's name; where not said, meta or the first of the shop's",
    longest=40,
)


async def _statement(asked: Asked) -> Json:
    services, of = (
        services_of(asked),
        (Feed("orders", "orders"), *destination_feeds(asked.settings)),
    )
    spans = await services.lags.spans({feed.topic for feed in of})
    wanted = _wanted(asked.values.get("day"))
    names = {each.name for each in asked.settings.accounts}
    destination = asked.values.get("destination") or usual_account(names)
    if destination not in {META, *names}:
        raise not_found(f"account {destination}", "see GET /v1/destinations")

    def read() -> tuple[Statement, AsOf]:
        with services.store.snapshot() as snapshot:
            positions = snapshot.positions()
            day = today(asked.now_ms, zone_of(snapshot, asked.shop, asked.settings.zone))
            rests_on = as_of(asked.now_ms, day, of, positions, spans)
            about = day - 1 if wanted is None else wanted
            try:
                found = statement(
                    snapshot, asked.shop, about, destination, asked.now_ms, rests_on.lag_records
                )
                items, following = page(found.items, lambda each: (each.channel,), asked.values)
                found = replace(found, items=list(items), next_cursor=following)
            except NoStatement:
                at = (EPOCH + timedelta(days=about)).isoformat()
                raise not_found(
                    f"statement of {at}", f"run `orderwire reconcile --statement {at}`"
                ) from None
            return found, rests_on

    found, rests_on = await asyncio.to_thread(read)
    return answered(asked.shop, rests_on, found)


def _wanted(day: str | None) -> int | None:
    if day is None:
        return None
    try:
        return (date.fromisoformat(day) - EPOCH).days
    except ValueError:
        raise bad_parameter("day", f"{day} is no day", "YYYY-MM-DD") from None


STATEMENT: Final = ApiRoute(
    "GET",
    "/v1/statement",
    "What became of every order of a day, per channel, in orders and money",
    _statement,
    parameters=(DAY, DESTINATION, *PAGING),
    answer=Statement,
)
