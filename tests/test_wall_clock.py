"""No wait and no loop ends by the wall clock, which can be set while it lasts."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("ingest", "stream", "processors", "aggregates", "destinations", "query", "orderwire")
WALL = {"time.time", "time.time_ns", "time_ns", "datetime.now", "datetime.utcnow", "date.today"}
WALL_METHODS = {"clock_ms", "_clock_ms", "careful_ms", "_now_ms", "now_ms"}
"""Wall clocks that are parameters."""
WAITS = {"sleep", "_sleep", "wait_for", "timeout", "timeout_at", "call_later", "call_at"}
BOUNDED = {
    "sender.py:_kick_then": "waits less than `poll_s`",
}
"""Waits for a time in the store, and what bounds them."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def called(call: ast.Call) -> str:
    """`module.name` of what is called; the name alone follows a point where more is before it."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case ast.Attribute(attr=name):
            return f".{name}"
    return ""


def by_the_wall_clock(function: Function) -> Iterator[int]:
    """Lines of waits and loops whose length comes from a wall clock in the same function."""
    tainted = set[str]()

    def is_wall(node: ast.AST) -> bool:
        for each in ast.walk(node):
            if isinstance(each, ast.Call):
                name = called(each)
                if name in WALL or name.rpartition(".")[2] in WALL_METHODS:
                    return True
            if isinstance(each, ast.Name) and each.id in tainted:
                return True
        return False

    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and is_wall(node.value):
            for target in node.targets:
                names = (each for each in ast.walk(target) if isinstance(each, ast.Name))
                tainted.update(each.id for each in names if isinstance(each.ctx, ast.Store))
    for node in ast.walk(function):
        if isinstance(node, ast.While) and is_wall(node.test):
            yield node.lineno
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in WAITS:
            lengths = [*node.args[:1], *(each.value for each in node.keywords)]
            if any(map(is_wall, lengths)):
                yield node.lineno


def found(package: str) -> Iterator[tuple[str, int]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        text = path.read_text()
        if not any(name in text for name in WALL | WALL_METHODS):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                place = f"{path.name}:{node.name}"
                yield from ((place, line) for line in by_the_wall_clock(node))


def test_no_wait_lasts_by_the_wall_clock() -> None:
    everywhere = {place for package in PACKAGES for place, _ in found(package)}
    assert everywhere == set(BOUNDED)


def test_such_a_wait_is_found() -> None:
    examples = """
async def waits():
    until_ms = time.time_ns() // 1_000_000 + 5_000
    left_ms = until_ms - 3
    await asyncio.sleep(left_ms / 1000)

def loops():
    while datetime.now(UTC) < end:
        look()

def is_right():
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        time.sleep(0.1)
"""
    functions = [each for each in ast.parse(examples).body if isinstance(each, Function)]
    assert [list(by_the_wall_clock(each)) for each in functions] == [[5], [8], []]
