"""Retries are stamina's. A loop of our own that tries again says beside it why it is not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    *("ingest", "stream", "processors", "aggregates"),
    *("destinations", "query", "orderwire"),
)
Loop = ast.While | ast.For | ast.AsyncFor
APART = (ast.While, ast.For, ast.AsyncFor, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOP = re.compile(r"^ +(?:while|for|async for)\b", re.MULTILINE)
WAITS = {"sleep", "wait", "wait_for"}


def within(loop: Loop) -> Iterator[ast.AST]:
    """What is in the loop, and in no loop or function inside it."""
    left: list[ast.AST] = list(loop.body)
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, APART):
            left += ast.iter_child_nodes(node)


def goes_on_after_an_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Try) and any(
        not isinstance(handler.body[-1], ast.Raise) for handler in node.handlers
    )


def waits(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
    return name.lstrip("_") in WAITS


def counts(loop: Loop) -> bool:
    return isinstance(loop, ast.For) and "id='range'" in ast.dump(loop.iter)


def retries(loop: Loop) -> bool:
    """It goes on after an error, and ends with the first success."""
    nodes = list(within(loop))
    ends = any(isinstance(node, ast.Return | ast.Break) for node in nodes)
    return (
        ends
        and any(goes_on_after_an_error(node) for node in nodes)
        and (counts(loop) or any(waits(node) for node in nodes))
    )


def retry_loops() -> Iterator[tuple[str, str]]:
    """Place, and the line above it."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text()
            if not ("except" in text and LOOP.search(text)):
                continue  # Parsing takes most of the time.
            lines = text.splitlines()
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, Loop) and retries(node):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", lines[node.lineno - 2].strip()


def test_a_retry_loop_of_our_own_says_why_it_is_not_staminas() -> None:
    found = dict(retry_loops())
    assert len(found) > 10, "they are recognised"
    assert [
        place for place, above in found.items() if not above.startswith("# Not stamina: ")
    ] == []
