"""Properties that are tried on each database: with many examples on SQLite, with fewer on
PostgreSQL, where one costs several times as much and only the statements are others."""

from collections.abc import Callable
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy

from stream.store.sql.store import SqlStore


def on_each_store(
    *, sqlite: int, postgresql: int, **drawn: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[SqlStore], None]]:
    """The test for each example of `drawn`, at most so many on each database; for examples given
    with `@example` on SQLite only, since these are about what is computed."""
    every_phase = list(Phase)
    drawn_only = [phase for phase in every_phase if phase is not Phase.explicit]

    def decorate(test: Callable[..., None]) -> Callable[[SqlStore], None]:
        by_dialect = {
            dialect: settings(max_examples=examples, phases=phases)(given(**drawn)(test))
            for dialect, examples, phases in (
                ("sqlite", sqlite, every_phase),
                ("postgresql", postgresql, drawn_only),
            )
        }

        def test_on(store: SqlStore) -> None:
            by_dialect[store.dialect](store=store)

        # Not functools.wraps: pytest would then ask for what is drawn as for fixtures.
        test_on.__module__, test_on.__qualname__ = test.__module__, test.__qualname__
        test_on.__name__ = test.__name__
        return test_on

    return decorate
