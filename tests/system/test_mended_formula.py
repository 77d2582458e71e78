"""A wrong formula is released, and mended in the next version: `serve` mends what it had stored, by
itself, while orders arrive."""

from pathlib import Path

from simulator.proof.sums import cells_differ
from stream.store.sql.store import SqlStore
from tests.support.servers.altered import write_program
from tests.system.harness import SHOP, System
from tests.system.load import Load
from tests.system.serve_process import needs_proc
from tests.system.test_kafka_postgres import until

pytestmark = needs_proc
FORMULA = "return [(CELLS, key, (1, net(row), 0, 0, 0, 0, 0, 0, 0))]"
WRONG = "return [(CELLS, key, (1, 2 * net(row), 0, 0, 0, 0, 0, 0, 0))]"


def edited(folder: Path, path: str, was: str, becomes: str) -> dict[str, str]:
    """This program with one line changed, in `folder`; the environment that runs it."""
    write_program(folder, {path.rpartition("/")[0]})
    text = (folder / path).read_text()
    assert was in text
    (folder / path).write_text(text.replace(was, becomes))
    return {"PYTHONPATH": str(folder)}


def differences(store: SqlStore) -> list[str]:
    with store.snapshot() as snapshot:
        return cells_differ(snapshot)


def campaign_days(store: SqlStore) -> int:
    """Of how many there is revenue."""
    with store.snapshot() as snapshot:
        return int(snapshot.query("SELECT COUNT(*) FROM budget_cell WHERE revenue > 0")[0][0])


def mended(store: SqlStore) -> bool:
    """Whether the shop's budget numbers are of version 2 and nothing is left of version 1."""
    with store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT version, building, stale FROM projection"
            " WHERE name = 'budget' AND shop = :shop",
            shop=SHOP,
        )
    return (row.version, row.building, row.stale) == (2, -1, -1)


async def test_numbers_of_a_wrong_formula_mend_themselves_after_the_upgrade_while_orders_arrive(
    tmp_path: Path,
) -> None:
    wrong = edited(tmp_path / "wrong", "aggregates/budget/cells.py", FORMULA, WRONG)
    right = edited(
        tmp_path / "right",
        "aggregates/budget/projection.py",
        "VERSION: Final = 1",
        "VERSION: Final = 2",
    )
    async with System(tmp_path / "system") as system:
        await system.start(environment=wrong)
        async with Load(system, rate=60) as load:
            with system.store() as store:
                await until(lambda: campaign_days(store) > 3, "orders are counted")
                assert [each.partition(":")[0] for each in differences(store)] == ["budget_cell"]
            assert await system.stop() == 0
            await system.start(environment=right)
            with system.store() as store:
                await until(lambda: mended(store), "the numbers are of the next version")
            sent = await load.end()
        assert sent.acknowledged
        await system.settled()
        assert await system.stop() == 0
        with system.store() as store:
            with store.begin() as transaction:
                # The check below is of this program, which calls the right formula version 1.
                transaction.execute("UPDATE projection SET version = 1 WHERE name = 'budget'")
            assert differences(store) == []
