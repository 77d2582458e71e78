"""The endpoints `/v1/destinations…` and, for the account named `meta`, `/v1/capi…`: what happened
to a shop's events."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec.structs import asdict

from aggregates.paging import PAGING, Place, page
from aggregates.parameters import text
from aggregates.rfm.first_orders.answer import first_orders_answer
from destinations.delivery.answer import ShownAccount, account, known_accounts, order, retry
from destinations.delivery.schema import (
    Accounts,
    AccountState,
    AttemptMade,
    OrderDelivery,
    Outcomes,
    Retried,
)
from destinations.meta.schema import CapiAccount, CapiDelivery, SentPredictedLtv
from destinations.registry import KINDS
from processors.engine.feed import Feed
from query.api_settings import ShopAnswerSettings
from query.as_of import AsOf, as_of, today, zone_of
from query.envelope import answered
from query.problem import Problem, bad_parameter, not_found
from query.route import ApiRoute, Asked
from query.services import services_of
from stream.store.contract import Position, Reading

Json = dict[str, Any]
T = TypeVar("T", bound="Retry")
Delivery = OrderDelivery[AttemptMade]
META: Final = "meta"
NO_PIXEL: Final = "no pixel is configured for this shop: set META_PIXEL_ID and META_ACCESS_TOKEN"
NO_PREDICTIONS: Final = "META_SEND_PREDICTED_LTV is off"
NAME: Final = text("name", "the account's name: `meta`, or its table's", longest=40, where="path")
ORDER_ID: Final = text("order_id", "Shopify's order id", longest=64, where="path")
PIXEL: Final = text(
    "pixel",
    "which pixel, where the shop has or had several; the account named meta otherwise",
    longest=40,
)
ACCOUNT_TYPES: Final[tuple[type[msgspec.Struct], ...]] = tuple(
    dict.fromkeys([AccountState, *(kind.answer_types().account for kind in KINDS.values())])
)
DELIVERY_TYPES: Final[tuple[type[msgspec.Struct], ...]] = tuple(
    OrderDelivery[attempt]  # type: ignore[valid-type]  # a kind's own, known when it runs
    for attempt in dict.fromkeys(kind.answer_types().attempt for kind in KINDS.values())
)


@dataclass(frozen=True, slots=True)
class DestinationQuestion:
    """The inputs of an answer."""

    reading: Reading
    shop: str
    now_ms: int
    values: Json
    accounts: tuple[ShownAccount, ...]


def feeds(settings: ShopAnswerSettings) -> tuple[Feed, ...]:
    """The processors that make the events of this shop's accounts."""
    kinds = dict.fromkeys([META, *(each.kind.name for each in settings.accounts)])
    return tuple(Feed(KINDS[name].processor, "orders") for name in kinds)


async def _answered(answer: Callable[[DestinationQuestion], msgspec.Struct], asked: Asked) -> Json:
    services, of = services_of(asked), feeds(asked.settings)
    spans = await services.lags.spans({feed.topic for feed in of})

    def read() -> tuple[msgspec.Struct, AsOf]:
        with services.store.snapshot() as snapshot:
            positions, day = snapshot.positions(), _day(snapshot, asked)
            found = answer(
                DestinationQuestion(
                    snapshot, asked.shop, asked.now_ms, asked.values, asked.settings.accounts
                )
            )
        return found, as_of(asked.now_ms, day, of, positions, spans)

    found, rests_on = await asyncio.to_thread(read)
    return answered(asked.shop, rests_on, found)


def _day(reading: Reading, asked: Asked) -> int:
    """Today in the shop that is asked about."""
    return today(asked.now_ms, zone_of(reading, asked.shop, asked.settings.zone))


def accounts_of(
    reading: Reading, shop: str, shown: tuple[ShownAccount, ...]
) -> dict[str, ShownAccount]:
    """Configured accounts, and earlier ones that only the store knows, by name."""
    found = {each.name: each for each in shown}
    for name, (kind, account_id) in known_accounts(reading, shop).items():
        if name not in found and kind in KINDS:
            found[name] = ShownAccount(shop, name, KINDS[kind], account_id, 0)
    return found


def _named(reading: Reading, shop: str, shown: tuple[ShownAccount, ...], name: str) -> ShownAccount:
    """The account of this name. Raises a 404."""
    found = accounts_of(reading, shop, shown)
    if name not in found:
        there = f"ask for {' or '.join(found)}" if found else "configure one, see docs/operation.md"
        raise not_found("this shop has no account of that name, and never had", there)
    return found[name]


def _all(question: DestinationQuestion) -> Accounts:
    found = accounts_of(question.reading, question.shop, question.accounts).values()
    configured = {each.name for each in question.accounts}

    def place(each: ShownAccount) -> Place:
        return int(each.name not in configured), each.name

    shown, following = page(sorted(found, key=place), place, question.values)
    return Accounts(
        items=[account(question.reading, each, question.now_ms) for each in shown],
        next_cursor=following,
    )


def _one(question: DestinationQuestion) -> AccountState:
    shown = _named(question.reading, question.shop, question.accounts, question.values["name"])
    return account(question.reading, shown, question.now_ms)


async def capi(asked: Asked) -> Json:
    """GET /v1/capi."""
    sent = await _predicted_ltv(asked)
    return await _answered(partial(_capi, sent), asked)


async def _predicted_ltv(asked: Asked) -> SentPredictedLtv:
    """What the model of first orders says, where its predictions are wanted."""
    if not asked.settings.sends_predicted_ltv:
        return SentPredictedLtv(wanted=False, sent=False, reason=NO_PREDICTIONS)
    services, settings = services_of(asked), asked.settings.rfm
    view = await services.rfm(asked.shop)
    day = today(asked.now_ms, asked.settings.zone) if view.as_of_day is None else view.as_of_day
    found = await services.first_orders.current(view, day, settings)
    reason = first_orders_answer(found).reason
    return SentPredictedLtv(wanted=True, sent=reason is None, reason=reason)


def _capi(sent: SentPredictedLtv, question: DestinationQuestion) -> CapiAccount:
    pixel_id = question.values["pixel"]
    of_meta = [
        each
        for each in accounts_of(question.reading, question.shop, question.accounts).values()
        if each.kind.name == META
    ]
    wanted = [each for each in of_meta if each.account == pixel_id or not pixel_id]
    if wanted:
        # Without a pixel: the account named meta, else the first one.
        shown = min(wanted, key=lambda each: each.name != META)
        state = account(question.reading, shown, question.now_ms)
        return _capi_account(state, predicted_ltv=sent, reason=None)
    if pixel_id:
        pixels = " or ".join(each.account for each in of_meta)
        raise not_found(
            "this shop has no pixel of that id, and never had",
            f"leave pixel out, or ask for {pixels}" if pixels else NO_PIXEL,
        )
    nothing = ShownAccount(question.shop, META, KINDS[META], "", 0)
    return _capi_account(
        account(question.reading, nothing, question.now_ms),
        pixel_id=None,
        state=None,
        predicted_ltv=sent,
        reason=NO_PIXEL,
        outcomes=Outcomes(),
    )


def _capi_account(of: AccountState, **members: Any) -> CapiAccount:
    return CapiAccount(**(asdict(of) | members))


def _order(question: DestinationQuestion) -> Delivery:
    shown = _named(question.reading, question.shop, question.accounts, question.values["name"])
    return _order_of(question, shown)


def _capi_order(question: DestinationQuestion) -> CapiDelivery:
    """The order's event for the account named meta; else for whichever of Meta's has one."""
    found = accounts_of(question.reading, question.shop, question.accounts)
    of_meta = sorted(
        (each for each in found.values() if each.kind.name == META),
        key=lambda each: each.name != META,
    )
    for shown in of_meta:
        answer = order(question.reading, shown, question.values["order_id"])
        if answer is not None:
            return CapiDelivery(**asdict(answer), pixel_id=shown.account)
    raise _no_event()


def _order_of(question: DestinationQuestion, shown: ShownAccount) -> Delivery:
    answer = order(question.reading, shown, question.values["order_id"])
    if answer is None:
        raise _no_event()
    return answer


def _no_event() -> Problem:
    return not_found(
        "no event was made of this order",
        "look at GET /v1/status: the order may wait behind others, or be parked",
    )


DESTINATIONS: Final = (
    ApiRoute(
        "GET",
        "/v1/destinations",
        "Every account that receives this shop's events: state, outcomes, latency",
        partial(_answered, _all),
        answer=Accounts,
        parameters=PAGING,
    ),
    ApiRoute(
        "GET",
        "/v1/destinations/{name}",
        "One account: state, outcomes, latency, coverage of match keys",
        partial(_answered, _one),
        answer=ACCOUNT_TYPES,
        parameters=(NAME,),
    ),
    ApiRoute(
        "GET",
        "/v1/destinations/{name}/orders/{order_id}",
        "One order's delivery to an account, event by event and attempt by attempt",
        partial(_answered, _order),
        answer=DELIVERY_TYPES,
        parameters=(NAME, ORDER_ID),
    ),
    ApiRoute(
        "GET",
        "/v1/capi",
        "Purchase events to Meta: outcomes, latency, coverage of match keys",
        capi,
        answer=CapiAccount,
        parameters=(PIXEL,),
    ),
    ApiRoute(
        "GET",
        "/v1/capi/orders/{order_id}",
        "One order's delivery to Meta, attempt by attempt",
        partial(_answered, _capi_order),
        answer=CapiDelivery,
        parameters=(ORDER_ID,),
    ),
)


class Retry(msgspec.Struct, forbid_unknown_fields=True):
    """Which events to send again; all that are dead where nothing is said."""

    order_ids: Annotated[
        list[str] | None,
        msgspec.Meta(description="Only events of these orders.", examples=[["820982911946154508"]]),
    ] = None
    reason: Annotated[
        str | None,
        msgspec.Meta(
            description="Only events whose reason holds this text.", examples=["HTTP 404"]
        ),
    ] = None


class CapiRetry(Retry, forbid_unknown_fields=True):
    """The same, by Meta's subcode too."""

    subcode: Annotated[
        int | None,
        msgspec.Meta(
            description="Only events that Meta refused with this subcode.", examples=[2804009]
        ),
    ] = None


async def destination_retry(asked: Asked) -> Json:
    """POST /v1/destinations/{name}/retry."""
    return await _retry(asked, await _read(asked, Retry), asked.values["name"])


async def capi_retry(asked: Asked) -> Json:
    """POST /v1/capi/retry."""
    wanted = await _read(asked, CapiRetry)
    if wanted.subcode is not None:
        wanted.reason = f"subcode {wanted.subcode},"
    return await _retry(asked, wanted, None)


async def _read(asked: Asked, kind: type[T]) -> T:
    body = await asked.request.read()
    try:
        wanted = msgspec.json.decode(body, type=kind) if body.strip() else kind()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_parameter(
            "body",
            f"the body is not the JSON it may be: {error}",
            '{"order_ids": ["..."]}, or nothing',
        ) from None
    texts = [*(wanted.order_ids or ()), wanted.reason or ""]
    if len(texts) > 10_001 or any("\0" in each for each in texts):
        raise bad_parameter(
            "order_ids", "order_ids are too many or none that Shopify has", "at most 10000 ids"
        )
    return wanted


async def _retry(asked: Asked, wanted: Retry, name: str | None) -> Json:
    """Retry in the account named, or in all of Meta's."""
    services, of = services_of(asked), feeds(asked.settings)

    def write() -> tuple[Retried, list[Position], int]:
        with services.store.begin() as transaction:
            accounts = asked.settings.accounts
            if name is not None:
                names = [_named(transaction, asked.shop, accounts, name).name]
            else:
                found = accounts_of(transaction, asked.shop, accounts).values()
                names = sorted({META, *(each.name for each in found if each.kind.name == META)})
            counts = [
                retry(
                    transaction,
                    asked.shop,
                    each,
                    asked.now_ms,
                    order_ids=wanted.order_ids,
                    reason=wanted.reason,
                )
                for each in names
            ]
            done = Retried(
                retried=sum(each.retried for each in counts),
                probed=sum(each.probed for each in counts),
            )
            return done, transaction.positions(), _day(transaction, asked)

    spans = await services.lags.spans({feed.topic for feed in of})
    done, positions, day = await asyncio.to_thread(write)
    return answered(asked.shop, as_of(asked.now_ms, day, of, positions, spans), done)


RETRIES: Final = (
    ApiRoute(
        "POST",
        "/v1/destinations/{name}/retry",
        "Send dead events of an account again, all or some; try a paused account at once",
        destination_retry,
        parameters=(NAME,),
        answer=Retried,
        body=Retry,
    ),
    ApiRoute(
        "POST",
        "/v1/capi/retry",
        "Send dead or paused events again, all or some",
        capi_retry,
        answer=Retried,
        body=CapiRetry,
    ),
)
