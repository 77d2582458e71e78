"""What holds for every aggregate that the registry names, read from its manifest: cells are the sum
over the stored facts, arrival decides nothing, and a rebuild ends in the same rows."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aggregates.manifest import Manifest
from aggregates.registry import AGGREGATES, projections
from orderwire.serve.registry import PROCESSORS, fold_settings
from orderwire.settings.program import Settings
from processors.engine import rebuild
from simulator.proof.sums import cells_differ, stores_differ
from simulator.shop.shop import ShopSimulator
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.aggregate_rows import rows_of
from tests.support.shops.shop_world import NOW, NOW_MS, SECRET, SHOP, records

PROPERTY = settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SETTINGS = Settings.load({"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": SECRET})
FED_BY = sorted({feed.processor for manifest in AGGREGATES for feed in manifest.feeds})
"""The processors whose facts the aggregates count."""
VISITS, CUSTOMERS = 160, 12
"""So few customers that several buy more than once."""


def shops_life() -> list[Entry]:
    """Orders, changes of them, carts and spend, in the order in which they happened: some days of
    every month, for half a year."""
    step = timedelta(days=180) / VISITS
    shop = ShopSimulator(1, SHOP, SECRET, NOW - VISITS * step, CUSTOMERS)
    sent = [one for n in range(VISITS) for one in shop.visit(NOW - (VISITS - n) * step)]
    spend = shop.spend(3, today=date(2026, 11, 22))
    headers = {"source": "spend", "topic": "spend", "shop": SHOP}
    found = records(sent)
    found += [
        Record("spend", f"{SHOP}:{number}", f"s{number}", NOW_MS, headers, orjson.dumps(row))
        for number, row in enumerate(spend)
    ]
    return [Entry(record, 0, offset) for offset, record in enumerate(found)]


class Program:
    """All processors that feed aggregates, on one store."""

    def __init__(self, path: Path) -> None:
        self.store = SqlStore.open(write_migrated(path))
        self.projections = projections(fold_settings(SETTINGS))
        self._processors = [PROCESSORS[name](SETTINGS, self.projections) for name in FED_BY]

    def fold(self, entries: Sequence[Entry]) -> None:
        """Each processor takes those of its topic, in one transaction."""
        for processor in self._processors:
            decoded = [
                processor.decode(entry)
                for entry in entries
                if entry.record.topic == processor.topic
            ]
            if events := [event for event in decoded if event is not None]:
                with self.store.begin() as transaction:
                    processor.apply(transaction, events, NOW_MS)

    def tick(self) -> None:
        """What depends on time alone."""
        for processor in self._processors:
            with self.store.begin() as transaction:
                processor.tick(transaction, NOW_MS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The shop's life in order, in one batch."""
    program = Program(tmp_path_factory.mktemp("plain") / "state.db")
    program.fold(shops_life())
    program.tick()
    return program


@PROPERTY
@given(chance=st.randoms(use_true_random=False))
def test_whatever_arrives_when_cells_are_the_sum_over_the_facts_and_all_ends_alike(
    plain: Program, tmp_path: Path, chance: Random
) -> None:
    entries = shops_life()
    entries += chance.sample(entries, len(entries) // 3)
    chance.shuffle(entries)
    path = tmp_path / "state.db"
    path.unlink(missing_ok=True)
    program, size = Program(path), chance.choice((1, 7, 40)) + len(entries) // 10
    for start in range(0, len(entries), size):
        program.fold(entries[start : start + size])
        with program.store.snapshot() as snapshot:
            assert cells_differ(snapshot) == []
    program.tick()
    with program.store.snapshot() as snapshot, plain.store.snapshot() as other:
        assert cells_differ(snapshot) == []
        assert stores_differ(snapshot, other) == []
    program.store.close()


@pytest.mark.parametrize("manifest", AGGREGATES, ids=lambda manifest: manifest.name)
def test_a_rebuild_ends_in_the_rows_that_folding_has_left(
    plain: Program, manifest: Manifest
) -> None:
    projection = plain.projections[manifest.name]
    with plain.store.snapshot() as snapshot:
        before = rows_of(snapshot, projection, SHOP)
    counted = [table.table for table in manifest.cells if before[table.table]]
    assert counted, "give the shop's life something that this aggregate counts"
    with plain.store.begin() as transaction:
        rebuild.request(transaction, projection, SHOP, NOW_MS)
    while rebuild.run(plain.store, projection, SHOP, NOW_MS):
        pass
    with plain.store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT live FROM projection WHERE shop = :shop AND name = :name",
            shop=SHOP,
            name=manifest.name,
        )
        assert row.live > 0
        assert rows_of(snapshot, projection, SHOP) == before
