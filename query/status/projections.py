"""Reads the state of projections from the table `projection`, for `/v1/status`."""

from collections.abc import Collection, Iterable
from itertools import groupby

from processors.engine.projection import NEVER, NONE, ProjectionRow
from query.status.schema import ProjectionStatus, RebuildingShop, UncountedShop
from stream.store.contract import Snapshot
from stream.times import instant


def read_projections(snapshot: Snapshot, shops: Collection[str] | None) -> list[ProjectionStatus]:
    """One entry per projection, of these shops or of all."""
    columns = ", ".join(ProjectionRow._fields)
    rows = snapshot.query(f"SELECT {columns} FROM projection ORDER BY name, shop")
    within = (ProjectionRow(*row) for row in rows if shops is None or row.shop in shops)
    return [_projection(name, its) for name, its in groupby(within, lambda row: row.name)]


def _projection(name: str, rows: Iterable[ProjectionRow]) -> ProjectionStatus:
    its = list(rows)
    return ProjectionStatus(
        name=name,
        version=max(row.version for row in its) or None,
        shops=sum(row.version != NEVER for row in its),
        rebuilding=[_rebuilding(row) for row in its if _is_rebuilt(row)],
        stopped=[_stopped(row) for row in its if row.stopped],
    )


def _is_rebuilt(row: ProjectionRow) -> bool:
    """Whether it is rebuilt, or waits for that: nothing of the shop has ever been counted."""
    return not row.stopped and (row.building != NONE or row.version == NEVER)


def _rebuilding(row: ProjectionRow) -> RebuildingShop:
    begun = row.building != NONE
    return RebuildingShop(
        shop=row.shop,
        version=row.building_version if begun else None,
        entities=row.counted if begun else 0,
        since=instant(row.started_ms) if begun else None,
    )


def _stopped(row: ProjectionRow) -> UncountedShop:
    return UncountedShop(
        shop=row.shop,
        reason=f"its formula failed: {row.stopped}",
        go_on=(
            "upgrade orderwire: the shop is then counted anew by itself; to try at once, "
            f"`orderwire rebuild {row.name} --shop {row.shop}`"
        ),
    )
