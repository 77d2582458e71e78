"""Bulk operations of the stand-in: which queries may run, and the file that one writes.

A file has one JSON object a line; a child names its parent and may stand anywhere, before the
parent too. Rules and errors: docs/facts/shopify-admin.md, "Orders in bulk".
"""

import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    OperationType,
    SelectionSetNode,
    get_named_type,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from simulator.admin.books import Books, Json
from simulator.admin.documents import Compiler, DocumentRequest, Project, schema
from simulator.admin.search import SORTED_BY, read, selected

AT_ONCE = 5
MOST_CONNECTIONS, DEEPEST = 5, 2
BEFORE, AFTER = 0.05, 0.2
"""Shares of children that stand before their parent, and further behind it than directly."""
POOL = 2_000
_string = re.compile(r'"(?:[^"\\\n]|\\.)*"')
Script = Callable[[int], str | None]
"""From an operation's number, from 1 on, to how it ends: CANCELED or an error code; None: well."""


class Invalid(Exception):
    """A query that no bulk operation runs."""

    def __init__(self, message: str, code: str = "INVALID") -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Level:
    """Objects of one connection: how each is written, and the connections below it."""

    project: Project
    children: list[tuple[str, "Level"]]


@dataclass(slots=True)
class Operation:
    """One operation; its file is written by a thread of its own."""

    gid: str
    query: str
    path: Path
    url: str
    created: str
    status: str = "CREATED"
    error_code: str | None = None
    completed: str | None = None
    objects: int = 0
    roots: int = 0
    size: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        """Whether it counts among those that run at once."""
        return self.status in ("CREATED", "RUNNING", "CANCELING")

    def cancel(self) -> None:
        """Ask it to end."""
        if self.running:
            self.status = "CANCELING"
            self.stop.set()

    def as_json(self) -> Json:
        """As the API shows it: 64-bit numbers are strings."""
        there = self.size > 0
        return {
            "id": self.gid,
            "status": self.status,
            "errorCode": self.error_code,
            "type": "QUERY",
            "query": self.query,
            "createdAt": self.created,
            "completedAt": self.completed,
            "objectCount": str(self.objects),
            "rootObjectCount": str(self.roots),
            "fileSize": str(self.size) if there else None,
            "url": self.url if there and self.status == "COMPLETED" else None,
            "partialDataUrl": self.url if there and self.status == "FAILED" else None,
        }


class BulkOperations:
    """All operations of the app and shop. `base_url` is set once the stand-in listens."""

    def __init__(self, script: Script | None = None) -> None:
        self.operations: dict[str, Operation] = {}
        self.base_url = ""
        self.most_at_once = 0
        self._script = script
        self._folder = tempfile.TemporaryDirectory(prefix="orderwire-bulk-")
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(
        self, query: str, books: Books, scopes: frozenset[str], now_s: float, grouped: bool = False
    ) -> Operation:
        """Begin to run `query`. Raises Invalid."""
        with self._lock:
            return self._start(query, books, scopes, now_s, grouped)

    def _start(
        self, query: str, books: Books, scopes: frozenset[str], now_s: float, grouped: bool
    ) -> Operation:
        running = sum(each.running for each in self.operations.values())
        if running >= AT_ONCE:
            raise Invalid(
                "A bulk query operation for this app and shop is already in progress",
                "LIMIT_REACHED",
            )
        name, arguments, level, missing = compiled(query, scopes)
        number = len(self.operations) + 1
        path = Path(self._folder.name) / f"{number}.jsonl"
        operation = Operation(
            f"gid://shopify/BulkOperation/{number}",
            query,
            path,
            f"{self.base_url}/bulk/{number}.jsonl",
            _utc(now_s),
        )
        self.operations[operation.gid] = operation
        self.most_at_once = max(self.most_at_once, running + 1)
        ends = "ACCESS_DENIED" if missing else self._script(number) if self._script else None
        walk = _nodes(books, name, arguments)
        thread = threading.Thread(
            target=_write,
            args=(operation, level, walk, number, grouped, ends, now_s),
            name=f"bulk-{number}",
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()
        return operation

    def file(self, number: str) -> Path | None:
        """The file of an operation that is over."""
        operation = self.operations.get(f"gid://shopify/BulkOperation/{number}")
        return None if operation is None or operation.running else operation.path

    def close(self) -> None:
        """End all of them."""
        for operation in self.operations.values():
            operation.stop.set()
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()


def compiled(
    query: str, scopes: frozenset[str]
) -> tuple[str, Mapping[str, Any], Level, Mapping[tuple[str, ...], str]]:
    """The root's name and arguments, its level, and scopes missing. Raises Invalid."""
    try:
        document = parse(query)
    except GraphQLError as bad:
        raise Invalid(f"Invalid bulk query: {bad.message}") from None
    if (message := _fault(_string.sub('""', query))) is not None:
        raise Invalid(f"Invalid bulk query: {message}")
    operation = document.definitions[0]
    if getattr(operation, "operation", None) is not OperationType.QUERY:
        raise Invalid("Bulk operations run queries only")
    request = DocumentRequest("", mutation=False)
    compiler = Compiler({}, get_variable_values(schema(), (), {}), scopes, request)
    root_type = schema().query_type
    assert root_type is not None
    roots = compiler.fields(operation.selection_set, root_type)  # type: ignore[attr-defined]
    if len(roots) != 1 or roots[0].name.value in ("node", "nodes"):
        raise Invalid("Bulk queries must contain exactly one connection at the top")
    node = roots[0]
    arguments = {
        argument.name.value: getattr(argument.value, "value", None)
        for argument in node.arguments or ()
    }
    counted = [0]
    type_ = get_named_type(root_type.fields[node.name.value].type)
    assert isinstance(type_, GraphQLObjectType)
    level = _level(compiler, type_, node, 0, counted)
    return node.name.value, arguments, level, request.denied


@lru_cache(maxsize=64)
def _fault(query: str) -> str | None:
    """What is wrong with a document by the schema; no rule depends on what is in its strings."""
    bad_ones = validate(schema(), parse(query))
    return bad_ones[0].message if bad_ones else None


def _level(
    compiler: Compiler,
    connection: GraphQLObjectType,
    field_node: FieldNode,
    depth: int,
    counted: list[int],
) -> Level:
    counted[0] += 1
    if not connection.name.endswith("Connection"):
        raise Invalid("Bulk queries must contain at least one connection")
    if depth > DEEPEST:
        raise Invalid("Bulk queries cannot contain connections nested deeper than 2")
    if counted[0] > MOST_CONNECTIONS:
        raise Invalid("Bulk queries cannot contain more than 5 connections")
    type_ = get_named_type(connection.fields["nodes"].type)
    assert isinstance(type_, GraphQLObjectType)
    if "Node" not in {each.name for each in type_.interfaces}:
        raise Invalid(f"All connection fields must be of types that implement Node: {type_.name}")
    selection = _node_selection(compiler, connection, field_node)
    fields = compiler.fields(selection, type_)
    plain, children = [], []
    for each in fields:
        inner = get_named_type(type_.fields[each.name.value].type)
        if inner.name.endswith("Connection"):
            assert isinstance(inner, GraphQLObjectType)
            children.append((each.name.value, _level(compiler, inner, each, depth + 1, counted)))
            continue
        _no_connection_below(compiler, inner, each)
        plain.append(each)
    if children and "id" not in {each.name.value for each in plain}:
        raise Invalid("The parent of a connection must select the field id")
    project, _ = compiler.object(type_, SelectionSetNode(selections=tuple(plain)), ())
    return Level(project, children)


def _node_selection(
    compiler: Compiler, connection: GraphQLObjectType, node: FieldNode
) -> SelectionSetNode:
    assert node.selection_set is not None
    parts = {each.name.value: each for each in compiler.fields(node.selection_set, connection)}
    if set(parts) == {"edges"} and parts["edges"].selection_set is not None:
        edge = parts["edges"].selection_set.selections
        if len(edge) == 1 and isinstance(edge[0], FieldNode) and edge[0].name.value == "node":
            assert edge[0].selection_set is not None
            return edge[0].selection_set
    raise Invalid("Connections must be written as edges { node { ... } } in a bulk query")


def _no_connection_below(compiler: Compiler, type_: Any, node: FieldNode) -> None:
    if node.selection_set is None or isinstance(type_, GraphQLInterfaceType):
        return
    for each in compiler.fields(node.selection_set, type_):
        inner = get_named_type(type_.fields[each.name.value].type)
        if inner.name.endswith("Connection"):
            raise Invalid(
                "Queries that contain a connection field within a list field are not allowed"
            )
        _no_connection_below(compiler, inner, each)


def _nodes(books: Books, name: str, arguments: Mapping[str, Any]) -> Iterator[Json]:
    source = books.checkouts if name == "abandonedCheckouts" else books.all_orders
    search = read(arguments.get("query"))
    by = SORTED_BY.get(str(arguments.get("sortKey")), "createdAt")
    low, high, plain = selected(search, by)
    found = source.between(by, low, high)
    for place in range(len(found)):
        one = found[place]
        if plain or search.matches(one):
            yield one


def lines(level: Level, nodes: Iterator[Json], seed: int, grouped: bool) -> Iterator[Json]:
    """A file's objects; children are shuffled unless `grouped`."""
    random, pool = Random(seed), list[Json]()
    for node in nodes:
        late = []
        for child in _children(level, node):
            drawn = 1.0 if grouped else random.random()
            if drawn < BEFORE:
                yield child
            elif drawn < BEFORE + AFTER:
                pool.append(child)
            else:
                late.append(child)
        yield level.project(node)
        yield from late
        while len(pool) > POOL:
            yield pool.pop(random.randrange(len(pool)))
    random.shuffle(pool)
    yield from pool


def _children(level: Level, node: Json) -> Iterator[Json]:
    for name, below in level.children:
        for one in node.get(name) or ():
            yield {**below.project(one), "__parentId": node["id"]}
            yield from _children(below, one)


def _write(
    operation: Operation,
    level: Level,
    nodes: Iterator[Json],
    seed: int,
    grouped: bool,
    ends: str | None,
    now_s: float,
) -> None:
    if operation.status == "CREATED":
        operation.status = "RUNNING"
    with operation.path.open("wb") as file:
        for line in lines(level, nodes, seed, grouped):
            if operation.stop.is_set() or (ends == "ACCESS_DENIED"):
                break
            operation.size += file.write(orjson.dumps(line) + b"\n")
            operation.objects += 1
            operation.roots += "__parentId" not in line
            if ends is not None and operation.objects >= 100:
                break
    operation.completed = _utc(now_s)
    if operation.stop.is_set() or ends == "CANCELED":
        operation.status = "CANCELED"
    elif ends is not None:
        operation.status, operation.error_code = "FAILED", ends
    else:
        operation.status = "COMPLETED"


def _utc(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
