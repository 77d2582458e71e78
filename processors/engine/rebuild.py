"""Rebuilds a projection: fills a new generation from the entities while folding goes on.

request -> fill, page by page -> swap -> remove the old generation, page by page
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from processors.engine.projection import (
    NEVER,
    NONE,
    PROJECTIONS,
    Change,
    Projection,
    ProjectionRow,
    Scope,
    Source,
    cursor_of,
    new_row,
    shop_key,
)
from stream.store.contract import Key, Reading, Store, Transaction

PAGE: Final = 2_000
"""Entities that one step counts; a fold of the same shop waits for as long as that takes. With more
of them, pages of the store that many touch are written once: 1,000 at a time cost up to a fifth
more CPU, and twice the bytes."""
REMOVED: Final = 5_000
"""Rows of an old generation that one step removes."""


class Pending(NamedTuple):
    """A shop's projection with something left to do."""

    shop: str
    name: str


class RebuildWork(NamedTuple):
    """What is left to do for all projections, read together."""

    pending: list[Pending]
    uncounted: frozenset[Pending]
    """Shops that a projection does not count, since its formula failed."""


def pending(reading: Reading, projections: Collection[Projection]) -> list[Pending]:
    """Work for a rebuilder: other versions, rebuilds begun, old generations."""
    return look(reading, projections).pending


def look(reading: Reading, projections: Collection[Projection]) -> RebuildWork:
    """What is left to do, and what is not counted: in one pass, since each visits every shop."""
    versions = {each.name: each.version for each in projections}
    older = " ".join(f"WHEN '{name}' THEN {version:d}" for name, version in versions.items())
    rows = reading.query(
        "SELECT shop, name, version, building, stale, stopped FROM projection WHERE"
        " building <> :none OR stale <> :none OR stopped <> ''"
        # The first comparison is what a look costs where nothing is left to do.
        f" OR (version < :newest AND version < CASE name {older} ELSE :never END)",
        none=NONE,
        newest=max(versions.values()),
        never=NEVER,
    )
    left = [
        Pending(row.shop, row.name)
        for row in rows
        if row.name in versions
        and (row.building != NONE or row.stale != NONE or NEVER <= row.version < versions[row.name])
    ]
    return RebuildWork(
        sorted(left), frozenset(Pending(row.shop, row.name) for row in rows if row.stopped)
    )


def register(transaction: Transaction, projections: Iterable[Projection]) -> None:
    """Give every shop that has entities a state of every projection: a new projection fills itself
    this way."""
    for projection in projections:
        for source in projection.sources:
            table = source.entities.table
            shops = transaction.query(
                f"SELECT DISTINCT e.shop FROM {table} e WHERE NOT EXISTS"
                " (SELECT 1 FROM projection p WHERE p.shop = e.shop AND p.name = :name)"
                " ORDER BY e.shop",
                name=projection.name,
            )
            missing = [new_row(shop, projection.name, NEVER) for (shop,) in shops]
            transaction.save(PROJECTIONS, missing)
            if source.entities.packed is not None:
                packed = source.entities.packed.counts(transaction)
                keys: list[Key] = [(shop, projection.name) for shop in sorted(packed)]
                known = transaction.load(PROJECTIONS, keys)
                transaction.save(
                    PROJECTIONS,
                    [
                        new_row(str(key[0]), projection.name, NEVER)
                        for key in keys
                        if key not in known
                    ],
                )


def request(transaction: Transaction, projection: Projection, shop: str, now_ms: int) -> None:
    """Start to rebuild a shop's projection with this program's formula; restarts one already
    begun."""
    row = transaction.load(PROJECTIONS, [(shop, projection.name)]).get((shop, projection.name))
    row = row or new_row(shop, projection.name, NEVER)
    if row.building == NONE:
        row = _begun(row, projection, now_ms)
    transaction.save(PROJECTIONS, [row])


def _begun(row: ProjectionRow, projection: Projection, now_ms: int) -> ProjectionRow:
    return row._replace(
        building=max(row.live, row.stale) + 1,
        building_version=projection.version,
        cursor="",
        counted=0,
        started_ms=now_ms,
    )


def step(transaction: Transaction, projection: Projection, shop: str, now_ms: int) -> bool:
    """Do one step for a shop, in one transaction that locks the projection's state. False if
    nothing is left to do.

    A killed rebuild continues where it was, and several processes may step concurrently. A fold
    holds the same lock, shared: an entity is counted by the step that passes it, or by the fold
    that changes it later.
    """
    key = (shop, projection.name)
    row = transaction.load(PROJECTIONS, [key]).get(key)
    if row is None:
        return False
    if row.stale != NONE:
        if not _removed(transaction, projection, shop_key(shop, row.stale)):
            transaction.save(PROJECTIONS, [row._replace(stale=NONE)])
        return True
    if row.building == NONE:
        if row.version >= projection.version:
            return False
        transaction.save(PROJECTIONS, [_begun(row, projection, now_ms)])
        return True
    if row.building_version > projection.version:
        return False
    if row.building_version < projection.version:  # Begun by an older program: from the start.
        transaction.save(PROJECTIONS, [row._replace(building=NONE, stale=row.building)])
        return True
    transaction.save(PROJECTIONS, [_filled(transaction, projection, row, now_ms)])
    return True


def _filled(
    transaction: Transaction, projection: Projection, row: ProjectionRow, now_ms: int
) -> ProjectionRow:
    """One page more of the building generation, or the swap."""
    index, last = cursor_of(row)
    index = max(index, 0)
    while index < len(projection.sources):
        source = projection.sources[index]
        page = _page(transaction, source, row.shop, last)
        if page:
            key: Key = source.entities.key_of(page[-1])
            scope = Scope(row.shop, row.building, (index, key))
            changes = [Change(None, entity) for entity in page]
            source.apply(transaction, {scope: changes}, now_ms)
            cursor = json.dumps([index, key])
            return row._replace(cursor=cursor, counted=row.counted + len(page))
        index, last = index + 1, ()
    return row._replace(
        version=projection.version,
        live=row.building,
        building=NONE,
        building_version=0,
        cursor="",
        stale=row.live,
        stopped="",
    )


def _page(reading: Reading, source: Source, shop: str, last: Key) -> list[Any]:
    """The next entities by key. Text keys sort by code point on both databases (migration 0015)."""
    entities = source.entities
    if entities.packed is not None:
        return list(entities.packed.after(reading, shop, str(last[1]) if last else "", PAGE))
    fields = entities.row._fields
    order = ", ".join(fields[1 : entities.key])
    after, values = "", {}
    if last:
        names = [f"k{number}" for number in range(1, entities.key)]
        after = f" AND ({order}) > ({', '.join(f':{name}' for name in names)})"
        values = dict(zip(names, last[1:], strict=True))
    sql = (
        f"SELECT {', '.join(fields)} FROM {entities.table} WHERE shop = :shop{after}"
        f" ORDER BY {order} LIMIT {PAGE}"
    )
    return [entities.row._make(found) for found in reading.query(sql, shop=shop, **values)]


def _removed(transaction: Transaction, projection: Projection, key: str) -> bool:
    """Remove some rows of a generation. False if none was left."""
    return any(transaction.remove(table, key, REMOVED) for table in projection.tables)


def run(store: Store, projection: Projection, shop: str, now_ms: int) -> bool:
    """`step` in a transaction of its own. Blocks."""
    with store.begin() as transaction:
        return step(transaction, projection, shop, now_ms)


def note_failure(store: Store, each: Pending, error: Exception) -> None:
    """Note why a rebuild does not get on; it is tried again. Blocks."""
    with store.begin() as transaction:
        row = transaction.load(PROJECTIONS, [each]).get(each)
        reason = type(error).__name__
        if row is not None and row.stopped != reason:
            transaction.save(PROJECTIONS, [row._replace(stopped=reason)])


def request_all(
    store: Store, projections: Collection[Projection], shop: str, now_ms: int
) -> dict[Pending, int]:
    """`request` for every shop that has entities, or for `shop`. Returns the number of entities of
    each."""
    found: dict[Pending, int] = {}
    with store.begin() as transaction:
        register(transaction, projections)
        for projection in projections:
            for source in projection.sources:
                sql = f"SELECT shop, COUNT(*) FROM {source.entities.table} GROUP BY shop"
                packed = source.entities.packed
                counts: Counter[str] = Counter(dict(transaction.query(sql)))
                counts.update({} if packed is None else packed.counts(transaction))
                for name, entities in counts.items():
                    if shop in ("", name):
                        key = Pending(name, projection.name)
                        found[key] = found.get(key, 0) + entities
        for each in sorted(found):
            projection = next(one for one in projections if one.name == each.name)
            request(transaction, projection, each.shop, now_ms)
    return found


def counted(store: Store, each: Pending) -> int:
    """Entities that the building generation counts so far; 0 if none is building."""
    with store.snapshot() as snapshot:
        sql = "SELECT counted FROM projection WHERE shop = :shop AND name = :name AND building >= 0"
        rows = snapshot.query(sql, shop=each.shop, name=each.name)
    return int(rows[0][0]) if rows else 0
