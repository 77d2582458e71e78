"""Runs a bulk operation and reads complete orders from its file, whatever the order of its lines.
The file is first loaded into a temporary SQLite database, so memory does not grow with it."""

import sqlite3
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ingest.shopify.admin.access import ReadAccess
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document
from ingest.shopify.admin.errors import (
    AccessDenied,
    AdminError,
    AdminUnavailable,
    QueryRefused,
    Stopped,
)
from ingest.shopify.admin.past.history import joined
from ingest.shopify.admin.past.windows import TimeSpan, search

AT_ONCE = 4
"""Of the five that an app may run in a shop: one stays free for others."""
INSERTED = 2_000
OVER = frozenset({"COMPLETED", "FAILED", "CANCELED", "EXPIRED"})


class WindowFailed(AdminError):
    """Shopify gave the operation up: a smaller window may work."""


class _Line(msgspec.Struct, gc=False):
    id: str = ""
    parent: str | None = msgspec.field(default=None, name="__parentId")


_line = msgspec.json.Decoder(_Line)


def start(client: AdminClient, access: ReadAccess, span: TimeSpan, wait: Callable[[], None]) -> str:
    """The id of a new operation; while too many are at work, `wait` and ask again."""
    query = document("orders_bulk", access.without) % search("processed_at", span)
    while True:
        operation_state = client.query(document("bulk_run"), {"query": query})[
            "bulkOperationRunQuery"
        ]
        if operation := operation_state["bulkOperation"]:
            return str(operation["id"])
        codes = {str(each.get("code")) for each in operation_state["userErrors"]}
        if not codes & {"LIMIT_REACHED", "OPERATION_IN_PROGRESS"}:
            message = "; ".join(
                str(each["message"])[:200] for each in operation_state["userErrors"]
            )
            raise QueryRefused(",".join(sorted(codes)), message)
        wait()


def result(client: AdminClient, operation: str, wait: Callable[[], None]) -> str | None:
    """The URL of the file once the operation is over; None where it found nothing.

    Raises WindowFailed, AccessDenied, AdminUnavailable.
    """
    while True:
        operation_state = client.query(document("bulk_poll"), {"id": operation})["bulkOperation"]
        if operation_state is None:
            raise WindowFailed("the bulk operation is no longer known")
        if operation_state["status"] not in OVER:
            wait()
            continue
        if operation_state["status"] == "COMPLETED":
            url: str | None = operation_state["url"]
            return url
        if operation_state["errorCode"] == "ACCESS_DENIED":
            raise AccessDenied("the bulk query", (), None)
        raise WindowFailed(
            f"the bulk operation ended {operation_state['status']} "
            f"{operation_state['errorCode'] or ''}"
        )


def orders(client: AdminClient, url: str) -> Generator[bytes]:
    """Each order of a file as JSON with its lines, in the file's order of orders.

    Raises AdminUnavailable where the file cannot be read to its end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="orderwire-bulk-") as folder,
        closing(_opened(Path(folder) / "lines.db")) as db,
    ):
        _fill(client, url, db)
        yield from _walk(db)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
        "PRAGMA temp_store = FILE;"
        "CREATE TABLE parent (n INTEGER PRIMARY KEY, id TEXT, body BLOB);"
        "CREATE TABLE child (parent TEXT, id TEXT, body BLOB);"
    )
    return db


def _fill(client: AdminClient, url: str, db: sqlite3.Connection) -> None:
    answer = client.open(url)
    parents: list[tuple[str, bytes]] = []
    children: list[tuple[str, str, bytes]] = []
    db.execute("BEGIN")
    try:
        for line in _lines(answer):
            head = _line.decode(line)
            if head.parent is None:
                parents.append((head.id, line))
            else:
                children.append((head.parent, head.id, line))
            if len(parents) + len(children) >= INSERTED:
                _insert(db, parents, children)
    except msgspec.DecodeError:
        raise AdminUnavailable("a line of a result file is cut off or damaged") from None
    finally:
        answer.close()
    _insert(db, parents, children)
    db.execute("CREATE INDEX child_parent ON child (parent, length(id), id)")
    db.execute("COMMIT")


def _lines(answer: Any) -> Iterator[bytes]:
    """requests' own `iter_lines` copies each chunk's rest anew for every line."""
    rest = b""
    try:
        for chunk in answer.iter_content(1 << 18):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line)
    except OSError:
        raise AdminUnavailable("the connection broke while a result file was read") from None
    if rest.strip():
        yield rest


def _insert(
    db: sqlite3.Connection,
    parents: list[tuple[str, bytes]],
    children: list[tuple[str, str, bytes]],
) -> None:
    db.executemany("INSERT INTO parent (id, body) VALUES (?, ?)", parents)
    db.executemany("INSERT INTO child (parent, id, body) VALUES (?, ?, ?)", children)
    parents.clear()
    children.clear()


def _walk(db: sqlite3.Connection) -> Iterator[bytes]:
    # By id, so that the same order has the same bytes in every file.
    rows = db.execute(
        "SELECT p.n, p.body, c.body FROM parent p LEFT JOIN child c ON c.parent = p.id"
        " ORDER BY p.n, length(c.id), c.id"
    )
    number, order, lines = 0, b"", list[bytes]()
    for n, body, line in rows:
        if n != number:
            if order:
                yield joined(order, lines)
            number, order, lines = n, body, []
        if line is not None:
            lines.append(line)
    if order:
        yield joined(order, lines)


def waiting(stop: threading.Event, pause_s: float) -> Callable[[], None]:
    """Pauses between two looks. Raises Stopped once `stop` is set."""

    def wait() -> None:
        if stop.wait(pause_s):
            raise Stopped

    return wait
