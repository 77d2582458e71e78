"""`orderwire spend import`: from a file to the numbers of /v1/budget."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aggregates.budget.answer.overview import BudgetSettings, budget
from orderwire.cli import app
from orderwire.settings.program import Settings
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import SHOP, fold_all

runner = CliRunner()
HEADER = "date,channel,campaign_id,campaign_name,currency,spend\n"
GOOD = "2026-11-24,meta,1,Summer,EUR,30.00\n"
DAY = 20_781
"""2026-11-24, days since 1970-01-01."""


async def imported(path: Path, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(
        runner.invoke, app, ["spend", "import", str(path), "--shop", SHOP, *arguments]
    )
    return done.exit_code, done.output


async def spend(settings: Settings, log: SqliteLog, store: SqlStore) -> dict[str, str]:
    """By currency, as /v1/budget shows the campaigns."""
    await fold_all(settings, log, store, only={"budget_spend"})
    with store.snapshot() as snapshot:
        answer = budget(snapshot, SHOP, DAY + 3, BudgetSettings())
    found = [each.spend for each in answer.campaigns if each.spend is not None]
    return {each["currency_code"]: each["amount"] for each in found}


async def test_a_file_is_taken_and_taken_again_counts_once(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path
) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(HEADER + GOOD)
    for _ in range(2):
        code, output = await imported(path)
        assert code == 0, output
        assert "1 campaign days" in output
    assert await spend(shop_settings, log, store) == {"EUR": "30.00"}
    path.write_text(HEADER + GOOD.replace("30.00", "31.50"))
    await imported(path)
    assert await spend(shop_settings, log, store) == {"EUR": "31.50"}


async def test_nothing_is_taken_of_a_file_with_a_bad_line_unless_partial(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path
) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(HEADER + GOOD + "2026-11-25,meta,1,Summer,EUR,many\n")
    code, output = await imported(path)
    assert code == 1
    assert "line 3: 'many' is no number" in output
    assert "--partial" in output
    assert (await log.spans("spend"))[0].next == 0
    code, output = await imported(path, "--partial", "--dry-run")
    assert code == 0
    assert (await log.spans("spend"))[0].next == 0
    code, output = await imported(path, "--partial", "--rate", "EUR=2", "--into", "USD")
    assert code == 0, output
    assert await spend(shop_settings, log, store) == {"USD": "60.00"}


@pytest.mark.parametrize("rate", ["USD", "USD=none", "XXQ=1", "USD=-1"])
async def test_a_rate_that_cannot_be_meant_is_refused(
    shop_settings: Settings, tmp_path: Path, rate: str
) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(HEADER + GOOD)
    code, output = await imported(path, "--rate", rate, "--into", "EUR")
    assert code == 1
    assert "USD=0.92" in output
