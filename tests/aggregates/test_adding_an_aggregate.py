"""docs/adding-an-aggregate.md, followed word for word, adds an aggregate that fills itself."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stream.money import amount
from stream.store.migrations.run import head
from tests.support.servers.altered import PACKAGES, ROOT, add_file, write_program
from tests.support.servers.migrated_store import write_migrated

PAGE = ROOT / "docs/adding-an-aggregate.md"
CHANGED = ("aggregates", "stream/store/migrations", "tests/aggregates")
EMPTY = re.compile(r"`([\w/]+\.py)` is empty")
BLOCK = re.compile(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)
REGISTERED = re.compile(r"`NAMES`:\n\n```text\n(.*?)```", re.DOTALL)

FOLD = """
import sys
from aggregates.manifest import FoldSettings
from aggregates.registry import of_table, projections
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import order
from msgspec.structs import replace

store = SqlStore.open(sys.argv[1])
processor = OrdersProcessor({}, of_table(projections(FoldSettings()), ORDERS.table))
numbers = range(int(sys.argv[2]), int(sys.argv[3]))
events = [
    replace(order(f"{n}", customer=f"{n}", total=100 + n, status="voided" if n % 7 == 0 else "paid",
                  day=20_000 + n % 3), country="FR" if n % 2 else "DE")
    for n in numbers
]
with store.begin() as transaction:
    processor.apply(transaction, events, 20_010 * 86_400_000)
store.close()
"""
FILL = """
import json
import sys
from tests.aggregates.country_days import test_country_days
from aggregates.manifest import FoldSettings
from aggregates.registry import projections
from aggregates.question import Question
from processors.engine import rebuild
from query.openapi import document
from query.endpoints.questions import answers
from simulator.proof.sums import cells_differ
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import SHOP

own = [test for name, test in vars(test_country_days).items() if name.startswith("test_")]
for test in own:
    test()
store = SqlStore.open(sys.argv[1])
made = projections(FoldSettings())
with store.begin() as transaction:
    rebuild.register(transaction, made.values())
with store.snapshot() as snapshot:
    todo = rebuild.pending(snapshot, made.values())
for each in todo:
    while rebuild.run(store, made[each.name], each.shop, 0):
        pass
(answer,) = [answer for answer, _ in answers() if answer.path == "/v1/countries"]
with store.snapshot() as snapshot:
    values = {each.name: each.default for each in answer.parameters}
    found = answer.answer(Question(snapshot, SHOP, 0, 20_010, values, None))
    print(json.dumps({
        "tests": len(own),
        "todo": [each.name for each in todo],
        "differ": cells_differ(snapshot),
        "items": [[i.country, i.day, i.orders, i.revenue["amount"]] for i in found.items],
    }))
store.close()
"""


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_adds_an_aggregate_that_fills_itself_with_the_past(tmp_path: Path) -> None:
    write_program(tmp_path, CHANGED, [*PACKAGES, "tests"])
    url = write_migrated(tmp_path / "state.db")
    run(tmp_path, "-c", FOLD, url, "0", "40")
    page = PAGE.read_text()
    following = f"{int(head()) + 1:04}"
    blocks = dict(BLOCK.findall(page))
    assert len(blocks) == 5
    for name, code in {**dict.fromkeys(EMPTY.findall(page), ""), **blocks}.items():
        code = code.replace("NNNN", following).replace("PPPP", head())
        add_file(tmp_path, name.replace("NNNN", following), code)
    (line,) = REGISTERED.findall(page)
    registry = tmp_path / "aggregates" / "registry.py"
    registry.write_text(registry.read_text().replace('    "budget",\n', f'    "budget",\n{line}'))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    mine = ("aggregates/country_days", "tests/aggregates/country_days")
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *mine)
    run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *mine)
    shown = json.loads(run(tmp_path, "-c", FOLD + FILL, url, "40", "60"))
    expected: dict[tuple[str, int], list[int]] = {}
    for number in range(60):
        if number % 7:
            total = expected.setdefault(("FR" if number % 2 else "DE", number % 3), [0, 0])
            total[0] += 1
            total[1] += 100 + number
    assert shown["tests"] == 2
    assert shown["todo"] == ["country_days"]
    assert shown["differ"] == []
    days = {0: "2024-10-04", 1: "2024-10-05", 2: "2024-10-06"}
    assert sorted(shown["items"]) == sorted(
        [country, days[day], orders, amount(revenue, "USD")]
        for (country, day), (orders, revenue) in expected.items()
    )
