"""Carries out privacy requests in the store and in the embedded log, for the role `process` and
for `orderwire redact`. On Kafka records cannot be changed; its topics keep bodies for at most 30
days."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from destinations.forgetting import forget_browser, forget_contacts, forget_events
from orderwire.serve.feeds import feeds
from orderwire.serve.reconcile.forgetting import forget_admin
from orderwire.serve.registry import projections
from orderwire.settings.program import Settings
from processors.engine.parking import parked_id, unparked
from processors.engine.stops import first_needed
from processors.privacy import export, steps
from processors.privacy.erasing import EntityErasure
from processors.privacy.finding import found
from processors.privacy.late import salt_of
from processors.privacy.records import blanked, matcher
from processors.privacy.rows import (
    ASKED,
    CLOSED,
    DATA_REQUEST,
    ERASED,
    FOUND,
    SHOP,
    STORED,
    UNINSTALLED,
    RedactionRow,
)
from processors.privacy.subject import Subject, marked
from stream.log.contract import Log, Unavailable
from stream.log.sqlite.rewriting import empty_wal, end_of, rewrite_step, topics_of
from stream.rate_limit import RateLimit
from stream.record import TOPICS, Record
from stream.store.contract import Key, Store, StoreUnavailable
from stream.store.sql.wal import empty_wal as empty_store_wal

LOOK_EVERY_S = 5.0
WATCH_EVERY_S = 3_600.0
SCANNED = 500
log = structlog.get_logger()


@dataclass(slots=True)
class Redacting:
    """Carries out requests. A record is erased once every processor has read it; a spool on this
    machine is erased like an embedded log. Methods block; one thread at a time."""

    settings: Settings
    store: Store
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    entities: EntityErasure = field(init=False)
    forget: Mapping[str, steps.Forget] = field(init=False)
    failures: RateLimit = field(default_factory=lambda: RateLimit(time.monotonic))

    def __post_init__(self) -> None:
        self.entities = EntityErasure(self.store, list(projections(self.settings).values()))
        self.forget = {
            "events": forget_events,
            "contacts": forget_contacts,
            "browser": forget_browser,
            "refetches": _forget_refetches,
            "admin": forget_admin,
        }

    def work(self, shop: str | None = None) -> list[RedactionRow]:
        """Carry every redaction as far as possible now. Returns those that still wait."""
        with self.store.snapshot() as snapshot:
            rows = steps.waiting(snapshot, shop)
        advanced = [self._advanced(row) for row in rows]
        return [row for row in advanced if row.state not in (ERASED, CLOSED)]

    def _advanced(self, row: RedactionRow) -> RedactionRow:
        """The redaction as far as it goes now; one that fails holds up no other."""
        try:
            row = self._store_part(row)
            return self._log_part(row) if row.state == STORED else row
        except (StoreUnavailable, Unavailable):
            raise
        except Exception as error:
            # Ours. Its text may quote a row, so only its type is logged.
            if self.failures.allows((row.shop, row.id)):
                log.error(
                    "redaction failed",
                    shop=row.shop,
                    request=row.id,
                    error=type(error).__name__,
                    next_step="it is tried again; upgrade orderwire where it stays",
                )
            return row

    def watch(self) -> None:
        """Erase records of redacted persons that arrived late; forget marks that are old enough.

        One pass for all redactions, from where the slowest is.
        """
        with self.store.snapshot() as snapshot:
            rows = [row for row in steps.watching(snapshot) if row.kind != SHOP]
            marks = steps.marks_by_shop(snapshot)
        if rows:
            cursors = [json.loads(row.cursor) for row in rows]
            slowest = {
                place: min(cursor.get(place, 0) for cursor in cursors)
                for place in set().union(*cursors)
            }
            scan = self._pass(slowest, marks)
            for row in rows:
                self._note(row, Scan(scan.cursor))
            with self.store.begin() as transaction:
                unparked(transaction, scan.parked)
            if scan.erased:
                log.info("late records redacted", records=scan.erased)
                self._settled()
        with self.store.begin() as transaction:
            steps.close_old(transaction, self.clock_ms())

    def _store_part(self, row: RedactionRow) -> RedactionRow:
        if row.kind == UNINSTALLED:
            return self._uninstall(row)
        if row.kind == DATA_REQUEST:
            return row
        if row.state == ASKED:
            row = steps.find(self.store, row)
        if row.state == FOUND:
            row = steps.erase(self.store, row, self.entities, self.forget, self.clock_ms())
            log.info("redacted in the store", shop=row.shop, request=row.id, rows=row.counts)
        return row

    def _uninstall(self, row: RedactionRow) -> RedactionRow:
        """The app's tokens are void. Data goes with shop/redact, 48 hours later."""
        with self.store.begin() as transaction:
            transaction.execute("DELETE FROM admin_token WHERE shop = :shop", shop=row.shop)
            done = steps.moved(
                transaction, row, state=CLOSED, subject="", erased_ms=self.clock_ms()
            )
        log.warning("the app was uninstalled", shop=row.shop, request=row.id)
        return done

    def _log_part(self, row: RedactionRow) -> RedactionRow:
        if not self._scan(row):
            return row
        if not self._settled():
            return row
        with self.store.begin() as transaction:
            done = steps.moved(transaction, row, state=ERASED, erased_ms=self.clock_ms())
        log.info("redacted", shop=row.shop, request=row.id)
        return done

    def _settled(self) -> bool:
        """Whether what was erased is nowhere in the files any more."""
        store_file = self.settings.store_file
        files = [path for path in self._files() if path.exists()]
        return (store_file is None or empty_store_wal(store_file)) and all(map(empty_wal, files))

    def _files(self) -> list[Path]:
        log_file = self.settings.log_file
        return [self.settings.spool] if log_file is None else [log_file]

    def _scan(self, row: RedactionRow) -> bool:
        """Erase the subject's log records from the redaction's cursor on. False while processors
        have not read all records from before the first scan."""
        with self.store.snapshot() as snapshot:
            marks = steps.marks_by_shop(snapshot, [row.shop])
        everybody = row.shop if row.kind == SHOP else ""
        scan = self._pass(json.loads(row.cursor), marks, everybody)
        self._note(row, scan)
        return scan.whole

    def _pass(
        self,
        cursor: dict[str, int],
        marks: Mapping[str, Mapping[str, int]],
        everybody: str = "",
    ) -> "Scan":
        """Look at the records behind `cursor` that every processor has read.

        Of the shop `everybody` all records go that were there at the first pass. Their place says
        which, as their times and the request's are of a clock that may have been wrong.
        """
        with self.store.snapshot() as snapshot:
            matches, needed = matcher(salt_of(snapshot), marks), first_needed(snapshot)
        scan = Scan(cursor)

        def rewrite(was_there: bool, record: Record) -> Record | None:
            shop = record.headers.get("shop", "")
            of_everybody = was_there and everybody != "" and shop == everybody
            if "redacted" in record.headers or not (of_everybody or matches(record)):
                return None
            if record.topic == "parked":
                scan.parked.add((shop, parked_id(record)))
            return blanked(record)

        for path in self._files():
            for topic in topics_of(path) if path.exists() else ():
                place = topic if self.settings.log_file else f"spool/{topic}"
                end = end_of(path, topic)
                target = cursor.setdefault(f"{place} at first", end)
                readers = {name for name, of in feeds(self.settings).items() if of == topic}
                until = min([end, *(needed.get((name, topic, 0), 0) for name in readers)])
                offset = cursor.get(place, 0)
                while offset < until:
                    was_there = offset < target
                    offset, replaced = rewrite_step(
                        path,
                        topic,
                        offset,
                        min(until, target) if was_there else until,
                        partial(rewrite, was_there),
                    )
                    scan.erased += replaced
                cursor[place] = offset
                scan.whole = scan.whole and until >= target
        return scan

    def _note(self, row: RedactionRow, scan: "Scan") -> None:
        with self.store.begin() as transaction:
            unparked(transaction, scan.parked)
            counts = json.loads(row.counts)
            if scan.erased:
                counts["records"] = counts.get("records", 0) + scan.erased
            steps.moved(
                transaction,
                row,
                cursor=json.dumps(scan.cursor, sort_keys=True),
                counts=json.dumps(counts, sort_keys=True),
            )


@dataclass(slots=True)
class Scan:
    """Progress of one pass over the log's records."""

    cursor: dict[str, int]
    """By topic: the next offset to look at, and where its end was at the first pass."""
    erased: int = 0
    parked: set[Key] = field(default_factory=set)
    """(shop, parked id) of parked records among them."""
    whole: bool = True
    """Everything from before the first pass was looked at."""


def _forget_refetches(store: Store, shop: str, subject: Subject) -> int:
    """Delete orders of the subject that were still to be fetched."""
    with store.begin() as transaction:
        if subject.everybody:
            return transaction.execute("DELETE FROM order_refetch WHERE shop = :shop", shop=shop)
        return sum(
            transaction.execute(
                "DELETE FROM order_refetch WHERE shop = :shop AND gid = :gid",
                shop=shop,
                gid=f"gid://shopify/Order/{order}",
            )
            for order in subject.orders
        )


async def answer_data_request(
    redacting: Redacting, source: Log, row: RedactionRow, folder: Path
) -> Path:
    """Write what is stored of the person to a file for the merchant, readable by this user only."""
    subject = await asyncio.to_thread(_found, redacting.store, row)
    with redacting.store.snapshot() as snapshot:
        rows = export.stored(snapshot, row.shop, subject)
    asked = {mark: redacting.clock_ms() for mark, _ in marked(subject.key, row.shop, subject)}
    matches = matcher(subject.key, {row.shop: asked})
    deliveries: list[dict[str, Any]] = []
    for topic in TOPICS:
        for partition, span in (await source.spans(topic)).items():
            offset = span.first
            while entries := await source.scan(topic, partition, offset, SCANNED):
                offset = entries[-1].offset + 1
                deliveries += [
                    export.delivery(each.record) for each in entries if matches(each.record)
                ]
    report = {"shop": row.shop, "request": row.id, "stored": rows, "deliveries": deliveries}
    path = folder / f"{row.shop}-{''.join(c for c in row.id if c.isalnum() or c in '-_')[:64]}.json"
    await asyncio.to_thread(_write, path, report)
    with redacting.store.begin() as transaction:
        steps.moved(transaction, row, state=CLOSED, subject="", erased_ms=redacting.clock_ms())
    log.warning("a data request was answered: give the file to the merchant", path=str(path))
    return path


def _found(store: Store, row: RedactionRow) -> Subject:
    with store.snapshot() as snapshot:
        return found(snapshot, row.shop, steps.subject_of(row))


def _write(path: Path, report: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(report, file, indent=1, ensure_ascii=False)
    draft.replace(path)


async def redact(settings: Settings, store: Store, source: Log) -> None:
    """Carry out requests until cancelled."""
    redacting, watched_s = Redacting(settings, store), 0.0
    while True:
        try:
            for row in await asyncio.to_thread(redacting.work):
                if row.kind == DATA_REQUEST:
                    await answer_data_request(redacting, source, row, settings.privacy_folder)
            if time.monotonic() - watched_s >= WATCH_EVERY_S or not watched_s:
                watched_s = time.monotonic()
                await asyncio.to_thread(redacting.watch)
        except (StoreUnavailable, Unavailable) as error:
            log.warning("redaction put off", error=str(error))
        await asyncio.sleep(LOOK_EVERY_S)
