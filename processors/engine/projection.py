"""Projections: how entities count in aggregates, in generations that can be rebuilt.

A processor changes an entity (an order, a checkout); a projection says what the change does to an
aggregate's own tables. These rows belong to a *generation* of one shop: one is live, another may be
building beside it (`processors/engine/rebuild.py`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple

import structlog

from processors.engine.processor import Counted, Deltas, Tick
from processors.engine.processor import Projection as CountedCells
from processors.engine.statements import one_of
from processors.shopify.tolerance import Rejected
from stream.store.contract import (
    Cells,
    Entities,
    Key,
    Reading,
    Row,
    StoreBroken,
    StoreError,
    Transaction,
    Unstorable,
)

log = structlog.get_logger()

NONE: Final = -1
PAGE: Final = 5_000
NOT_THE_FORMULA_S: Final = (StoreError, Unstorable, Rejected)
"""What a projection raises because of the database, or of one record."""
NOWHERE: Final[CountedCells] = ()


class Change(NamedTuple, Generic[Row]):
    """An entity before (None: there was none) and after (None: it was removed)."""

    old: Row | None
    new: Row | None


class Scope(NamedTuple):
    """A generation of one shop's rows, as far as it is filled.

    | state of a shop's projection | the live generation | the building one |
    |---|---|---|
    | as this program counts | every change | none |
    | rebuilt on request | every change | changes of entities that the rebuild has passed |
    | of another version, rebuilding | unchanged: its formula is gone | likewise |
    """

    shop: str
    generation: int
    cursor: tuple[int, Key] | None = None
    """While it is building: the source and the key of the last entity that it counts. None: all."""

    @property
    def key(self) -> str:
        """What stands in the column `shop` of its rows."""
        return shop_key(self.shop, self.generation)

    def covers(self, source: int, key: Key) -> bool:
        """Whether the entity of this key, of the projection's source of this index, counts."""
        return self.cursor is None or (source, key) <= self.cursor


def shop_key(shop: str, generation: int) -> str:
    """The column `shop` of a generation's rows: the domain for generation 0, the domain and `#3`
    for generation 3. No domain holds a `#`, so folds and answers only need this key."""
    return shop if generation == 0 else f"{shop}#{generation}"


def shop_of(key: str) -> str:
    """The shop that a key belongs to."""
    return key.partition("#")[0]


Apply = Callable[[Transaction, Mapping[Scope, Sequence[Change[Any]]], int], None]
"""(transaction, changes by generation, now in Unix ms): bring the generations up to date."""


@dataclass(frozen=True, slots=True)
class Source:
    """Entities of one table, and what their changes do to the aggregate.

    `expected` yields all cells of a generation from the entities: the right side of `aggregate ==
    sum(cells(entity))`.
    """

    entities: Entities[Any]
    apply: Apply
    expected: Callable[[Reading, Scope], Iterable[Counted]]


@dataclass(frozen=True, slots=True)
class Projection:
    """An aggregate's way from entities to its own tables.

    `version` increases whenever the same entities would count otherwise: shops whose rows were
    written by another version are rebuilt.
    """

    name: str
    version: int
    sources: tuple[Source, ...]
    tables: tuple[Entities[Any] | Cells, ...]
    """All that its generations consist of; removed with them. Keys begin with the shop."""
    merged: Callable[[Transaction, Scope, Sequence[tuple[str, str]]], None] | None = None
    """Customers (gone, kept) were merged; for projections that count by customer."""
    tick: Tick | None = None
    """Time-driven changes; as `Processor.tick`."""


def of_cells(entities: Entities[Row], cells: Callable[[Row], CountedCells]) -> Source:
    """A source whose entities count in cells by themselves. The first part of a cell's key is the
    shop."""

    def apply(
        transaction: Transaction, work: Mapping[Scope, Sequence[Change[Row]]], now_ms: int
    ) -> None:
        deltas = Deltas()
        for scope, changes in work.items():
            for old, new in changes:
                was = cells(old) if old is not None else NOWHERE
                now = cells(new) if new is not None else NOWHERE
                if was == now:
                    continue
                if was:
                    deltas.take(_keyed(was, scope))
                if now:
                    deltas.add(_keyed(now, scope))
        deltas.save(transaction)

    def expected(reading: Reading, scope: Scope) -> Iterator[Counted]:
        for row in rows(reading, entities, scope.shop):
            yield from _keyed(cells(row), scope)

    return Source(entities, apply, expected)


def _keyed(counted: CountedCells, scope: Scope) -> CountedCells:
    if scope.generation == 0 or not counted:
        return counted
    key = scope.key
    return [(cells, (key, *rest[1:]), measures) for cells, rest, measures in counted]


def rows(reading: Reading, entities: Entities[Row], shop: str) -> Iterator[Row]:
    """All entities of a shop; for proofs and tests, since all are in memory."""
    if entities.packed is not None:
        last = ""
        while page := entities.packed.after(reading, shop, last, PAGE):
            yield from page
            last = str(page[-1][1])
        return
    sql = f"SELECT {', '.join(entities.row._fields)} FROM {entities.table} WHERE shop = :shop"  # type: ignore[attr-defined]
    make = entities.row._make  # type: ignore[attr-defined]
    yield from (make(row) for row in reading.query(sql, shop=shop))


class ProjectionRow(NamedTuple):
    """Columns of `projection`: the state of a shop's rows of a projection."""

    shop: str
    name: str
    version: int
    """Formula of the live generation; `NEVER` while there is none that can be read."""
    live: int
    building: int
    """The generation that is being filled; `NONE`."""
    building_version: int
    cursor: str
    """JSON [source, [key ...]] of the last entity counted in it; "" before the first."""
    counted: int
    """Entities counted in it so far."""
    stale: int
    """A generation whose rows are still to be removed; `NONE`."""
    started_ms: int
    """When the building generation was begun."""
    stopped: str = ""
    """Why the shop is not counted until a rebuild succeeds: the class of what was raised."""


NEVER: Final = 0
"""The version of a shop whose past has never been counted. Versions begin at 1."""
PROJECTIONS: Final = Entities("projection", ProjectionRow, 2)


def new_row(shop: str, name: str, version: int) -> ProjectionRow:
    """The state of a projection that counts a shop from its first entity on."""
    return ProjectionRow(shop, name, version, 0, NONE, 0, "", 0, NONE, 0)


def cursor_of(row: ProjectionRow) -> tuple[int, Key]:
    """The cursor of the building generation; before every key if nothing is counted yet."""
    if not row.cursor:
        return (NONE, ())
    source, key = json.loads(row.cursor)
    return int(source), tuple(key)


def scopes(row: ProjectionRow, version: int) -> list[Scope]:
    """The generations that a program of this version keeps up to date."""
    found = [Scope(row.shop, row.live)] if row.version == version else []
    if row.building != NONE and row.building_version == version:
        found.append(Scope(row.shop, row.building, cursor_of(row)))
    return found


def scopes_of(
    reading: Reading, name: str, version: int, shops: Collection[str] | None = None
) -> list[Scope]:
    """The generations that a program of this version updates; of these shops, or of all."""
    if shops is not None and not shops:
        return []
    among, names = ("", {}) if shops is None else one_of(" AND shop", sorted(shops))
    columns = ", ".join(ProjectionRow._fields)
    sql = f"SELECT {columns} FROM projection WHERE name = :name{among}"
    found = reading.query(sql, name=name, **names)
    return [scope for row in found for scope in scopes(ProjectionRow(*row), version)]


def ticks_of_projections(projections: Iterable[Projection]) -> dict[str, Tick]:
    """The ticks of the projections that depend on time, by name."""
    return {each.name: each.tick for each in projections if each.tick is not None}


class NewerVersion(StoreBroken):
    """Another program has counted, or is counting, with a newer formula."""

    def __init__(self, row: ProjectionRow, version: int) -> None:
        newer = max(row.version, row.building_version)
        super().__init__(
            f"{row.name} of {row.shop} is counted by version {newer} of its formula, this program"
            f" knows version {version}: upgrade this process, or go back with"
            f" `orderwire rebuild {row.name} --shop {row.shop}`"
        )


class Projector:
    """Keeps projections up to date with changes of entities."""

    def __init__(self, projections: Collection[Projection]) -> None:
        self.projections = {projection.name: projection for projection in projections}
        self.failed: set[str] = set()
        """Projections that have raised: from then on each shop's share has a savepoint."""

    def begin(self, transaction: Transaction, shops: Collection[str]) -> "ProjectionWork":
        """Lock the projections' states of these shops against a rebuild's next step.

        Called before any entity is saved. A shop without entities is counted from here on; one with
        entities, but without this projection, waits for its rebuild. Raises NewerVersion.
        """
        projections = self.projections
        keys = [(shop, name) for shop in sorted(shops) for name in sorted(projections)]
        found: dict[Key, ProjectionRow] = dict(
            transaction.load(PROJECTIONS, keys, shared=True).items()
        )
        missing = [
            new_row(str(shop), str(name), _first_version(transaction, projections[name], str(shop)))
            for shop, name in keys
            if (shop, name) not in found
        ]
        if missing:
            transaction.save(PROJECTIONS, missing)
            found |= {(row.shop, row.name): row for row in missing}
        for row in found.values():
            version = projections[row.name].version
            if max(row.version, row.building_version) > version:
                raise NewerVersion(row, version)
        return ProjectionWork(transaction, projections.values(), found, self.failed)


def _first_version(reading: Reading, projection: Projection, shop: str) -> int:
    for source in projection.sources:
        sql = f"SELECT 1 FROM {source.entities.table} WHERE shop = :shop LIMIT 1"
        packed = source.entities.packed
        if reading.query(sql, shop=shop) or (packed is not None and packed.counts(reading, shop)):
            return NEVER
    return projection.version


class ProjectionWork:
    """A batch's changes of projections, in its transaction."""

    def __init__(
        self,
        transaction: Transaction,
        projections: Collection[Projection],
        states: Mapping[Key, ProjectionRow],
        failed: set[str],
    ) -> None:
        self._transaction, self._projections = transaction, projections
        self._states, self._failed = dict(states), failed

    def apply(self, entities: Entities[Row], changes: Sequence[Change[Row]], now_ms: int) -> None:
        """Update the projections with changes of entities of one table.

        The first exception of a projection is raised: the batch is rolled back, and folded again.
        From then on a shop for which the projection raises is skipped: its numbers stay unchanged
        until a rebuild succeeds, and its entities are kept.
        """
        by_shop: dict[str, list[Change[Row]]] = {}
        for change in changes:
            old, new = change
            row: tuple[Any, ...] = new if new is not None else old  # type: ignore[assignment]
            by_shop.setdefault(row[0], []).append(change)
        for projection in self._projections:
            for index, source in enumerate(projection.sources):
                if source.entities.table == entities.table:
                    work: dict[Scope, Sequence[Change[Row]]] = {}
                    for shop in sorted(by_shop):
                        for scope in self._scopes(projection, shop):
                            if covered := _covered(scope, index, entities.key, by_shop[shop]):
                                work[scope] = covered
                    if work:
                        self._apply(projection, source, work, now_ms)

    def _apply(
        self,
        projection: Projection,
        source: Source,
        work: Mapping[Scope, Sequence[Change[Any]]],
        now_ms: int,
    ) -> None:
        if projection.name not in self._failed:
            try:
                return source.apply(self._transaction, work, now_ms)
            except NOT_THE_FORMULA_S:
                raise
            except Exception:
                self._failed.add(projection.name)
                raise
        for shop in sorted({scope.shop for scope in work}):
            its_work = {scope: changes for scope, changes in work.items() if scope.shop == shop}
            try:
                with self._transaction.savepoint():
                    source.apply(self._transaction, its_work, now_ms)
            except NOT_THE_FORMULA_S:
                raise
            except Exception as error:
                self._stop(projection, shop, error)
        return None

    def _stop(self, projection: Projection, shop: str, error: Exception) -> None:
        """Leave the shop's numbers as they are, to be rebuilt from the start."""
        log.error(
            "projection stopped for a shop",
            projection=projection.name,
            shop=shop,
            error=type(error).__name__,
            next_step="upgrade orderwire: the shop is then counted anew by itself",
        )
        row = self._states[shop, projection.name]._replace(
            version=NEVER, building_version=NEVER, stopped=type(error).__name__
        )
        self._states[shop, projection.name] = row
        self._transaction.save(PROJECTIONS, [row])

    def merged(self, shop: str, customers: Sequence[tuple[str, str]]) -> None:
        """Customers (gone, kept) of a shop were merged."""
        for projection in self._projections:
            if projection.merged is not None:
                for scope in self._scopes(projection, shop):
                    projection.merged(self._transaction, scope, customers)

    def _scopes(self, projection: Projection, shop: str) -> list[Scope]:
        return scopes(self._states[shop, projection.name], projection.version)


def _covered(
    scope: Scope, index: int, size: int, changes: Sequence[Change[Row]]
) -> Sequence[Change[Row]]:
    if scope.cursor is None:
        return changes
    return [change for change in changes if scope.covers(index, tuple(_row(change)[:size]))]


def _row(change: Change[Any]) -> Any:
    return change.new if change.new is not None else change.old


def live_key(reading: Reading, shop: str, name: str) -> str:
    """The key of the generation that answers read."""
    found = reading.query(
        "SELECT live FROM projection WHERE shop = :shop AND name = :name", shop=shop, name=name
    )
    return shop_key(shop, found[0][0]) if found else shop


def live_keys(reading: Reading, name: str, shops: Collection[str]) -> dict[str, str]:
    """Shop by the key of its live generation, of those of `shops` that a projection counts."""
    if not shops:
        return {}
    among, named = one_of("shop", sorted(shops))
    found = reading.query(
        f"SELECT shop, live FROM projection WHERE name = :name AND {among}", name=name, **named
    )
    return {shop_key(row.shop, row.live): row.shop for row in found}
