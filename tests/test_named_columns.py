"""Columns of rows are read by name: a position or a slice of a NamedTuple would mean another column
once one is inserted."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    *("ingest", "stream", "processors", "aggregates", "destinations"),
    *("query", "orderwire", "simulator"),
)
TYPE_VARIABLE = "Row"
"""Of `stream/store/contract.py`: any row."""
Known = Mapping[str, bool]
"""Names of variables that are a row (True), or a sequence of rows (False)."""


CLASS = re.compile(r"^class (\w+)\(NamedTuple\b", re.MULTILINE)
NUMBERED = re.compile(r"\w\[[^\]\n]*\b\d+[\]:]")
"""A subscript with a number in it: most files have none, and are not parsed; most functions have
none, and are not looked into."""


def kind(annotation: ast.expr | None, rows: frozenset[str]) -> bool | None:
    """Whether what has this annotation is a row (True), a sequence of rows (False), or neither."""
    match annotation:
        case ast.Name(id=name) if name in rows:
            return True
        case ast.Constant(value=str(text)):
            return kind(ast.parse(text, mode="eval").body, rows)
        case ast.Subscript(slice=of) if kind(of, rows):
            return False
        case ast.BinOp(left=one, right=other):
            found = {kind(one, rows), kind(other, rows)} - {None}
            return found.pop() if len(found) == 1 else None
    return None


def bound(function: ast.AST, rows: frozenset[str]) -> Known:
    """What the annotations, loops and calls inside `function` say of its variables."""
    known: dict[str, bool] = {}

    def learn(target: ast.expr, found: bool | None) -> None:
        if isinstance(target, ast.Name) and found is not None:
            known[target.id] = found

    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name, annotation=annotation):
                learn(ast.Name(name), kind(annotation, rows))
            case ast.AnnAssign(target=target, annotation=annotation):
                learn(target, kind(annotation, rows))
            case ast.Assign(targets=[target], value=ast.Call(func=ast.Name(id=name))):
                learn(target, True if name in rows else None)
    for node in ast.walk(function):
        match node:
            case (
                ast.For(target=target, iter=ast.Name(id=name))
                | ast.comprehension(target=target, iter=ast.Name(id=name))
            ) if known.get(name) is False:
                learn(target, True)
            case ast.Assign(
                targets=[target], value=ast.Subscript(value=ast.Name(id=name), slice=at)
            ) if known.get(name) is False and not isinstance(at, ast.Slice):
                learn(target, True)
    return known


def positions(source: str, rows: frozenset[str]) -> Iterator[str]:
    """Places where a row is read by a number that is written there."""
    if not (NUMBERED.search(source) and any(name in source for name in rows)):
        return
    lines = source.splitlines()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not NUMBERED.search("\n".join(lines[function.lineno - 1 : function.end_lineno])):
            continue
        known = bound(function, rows)
        for node in ast.walk(function):
            match node:
                case ast.Subscript(value=ast.Name(id=name), slice=at) if known.get(name):
                    numbers = [
                        part.value for part in ast.walk(at) if isinstance(part, ast.Constant)
                    ]
                    if any(isinstance(number, int) for number in numbers):
                        yield f"{node.lineno}: {ast.unparse(node)}"


def test_no_row_is_read_by_position() -> None:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    sources = {path.relative_to(ROOT): path.read_text() for path in paths}
    rows = frozenset(name for source in sources.values() for name in CLASS.findall(source))
    assert len(rows) > 100
    found = {
        f"{path}:{place}"
        for path, source in sources.items()
        for place in positions(source, rows | {TYPE_VARIABLE})
    }
    assert found == set()


def test_a_planted_offence_is_found() -> None:
    planted = """
class SaleRow(NamedTuple):
    shop: str
    sale_id: str

def one(row: SaleRow, rows: Sequence[SaleRow], text: str) -> object:
    made = SaleRow("s", "1")
    last = rows[-1]
    return row[:1], [each[1] for each in rows], made[-1], last[0], text[:4], row.shop, rows[0]
"""
    places = positions(planted, frozenset(CLASS.findall(planted)))
    expressions = sorted(place.partition(": ")[2] for place in places)
    assert expressions == ["each[1]", "last[0]", "made[-1]", "row[:1]"]
