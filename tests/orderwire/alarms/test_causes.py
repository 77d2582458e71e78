"""The cause of a shop's alarm is of that shop, and of what the alarm is about."""

import json

from orderwire.alarms.causes import cause
from orderwire.alarms.conditions import AlarmSubject
from orderwire.serve.schedule import ledger
from processors.engine import rebuild, stops
from processors.engine.parking import PARKED_CELLS
from processors.engine.projection import PROJECTIONS, new_row
from processors.engine.stops import StoppedShop
from stream.store.contract import Transaction
from stream.store.sql.store import SqlStore

ONE, TWO = "one.myshopify.com", "two.myshopify.com"


def words(store: SqlStore, alarm: str, shop: str, **about: str) -> str:
    subject = AlarmSubject(alarm, (("shop", shop), *about.items()))
    with store.snapshot() as snapshot:
        return cause(snapshot, subject)


def test_of_a_stopped_shop_it_says_why_its_processor_its_projection_or_its_tick_has_stopped(
    store: SqlStore,
) -> None:
    tick = {"processor": "orders", "tick": "carts", "shop": ONE, "reason": "its tick failed"}
    with store.begin() as transaction:
        stops.begin(
            transaction,
            [StoppedShop("orders", "orders", 0, ONE, 0, 1, 0, "20 in a row", 1)],
        )
        transaction.save(PROJECTIONS, [new_row(shop, "rfm", 1) for shop in (ONE, TWO)])
        heartbeat(transaction, json.dumps({"ticks": [tick]}))
    rebuild.note_failure(store, rebuild.Pending(TWO, "rfm"), KeyError("x"))
    assert words(store, "ShopStopped", ONE, part="orders") == "20 in a row"
    assert words(store, "ShopStopped", TWO, part="orders") == ""
    assert words(store, "ShopStopped", TWO, part="rfm") == "its formula failed: KeyError"
    assert words(store, "ShopStopped", ONE, part="rfm") == ""
    assert words(store, "ShopStopped", ONE, part="tick carts") == "its tick failed"


def heartbeat(transaction: Transaction, details: str) -> None:
    transaction.execute(
        "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details)"
        " VALUES ('process', 'here:1', 1, 1, 0, 1, :details)",
        details=details,
    )


def test_of_a_failing_job_it_says_the_shops_own_reason(store: SqlStore) -> None:
    with store.begin() as transaction:
        ledger.register(transaction, [("spend", ONE), ("spend", TWO)], 0)
        for shop, reason in ((ONE, "no token is set"), (TWO, "Meta is away")):
            claim = ledger.claim(transaction, "spend", shop, "one", 1, 10)
            assert claim is not None
            ledger.failed(transaction, claim, 2, reason)
    assert words(store, "JobFailing", ONE, job="spend") == "no token is set"
    assert words(store, "TopicSilent", TWO, job="watchdog") == ""


def test_of_parked_records_it_counts_the_shops_own(store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.add(
            PARKED_CELLS,
            {(ONE, "no_date"): (2,), (ONE, "no_currency"): (5,), (TWO, "no_channel"): (9,)},
        )
    assert words(store, "RecordsParked", ONE, processor="orders") == "5 no_currency; 2 no_date"
