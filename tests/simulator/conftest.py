"""What tests of the simulator may ask for: a store with a simulated shop folded into it."""

from collections.abc import Iterator

import pytest

from simulator.proof import sums
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.folded_shop import NOW, deliveries, entries, processors


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlStore, list[Entry]]]:
    store = SqlStore.open(write_migrated(tmp_path_factory.mktemp("verify") / "state.db"))
    log = entries(deliveries())
    sums.fold(log, processors(), store, int(NOW.timestamp() * 1000))
    yield store, log
    store.close()
