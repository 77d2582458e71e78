"""The processor of spend reports: record -> row -> campaign-days."""

from collections.abc import Collection, Sequence
from typing import Final

from aggregates.budget.fold.spend_record import SpendRow, decode_spend, newer
from processors.engine.processor import NO_TICKS
from processors.engine.projection import Change, Projection, Projector
from stream.record import Entry
from stream.store.contract import Entities, Key, Transaction

SPEND: Final = Entities("budget_spend", SpendRow, 4)


class SpendProcessor:
    """A `processors.engine.processor.Processor` of spend reports."""

    name = "budget_spend"
    topic = "spend"
    ticks = NO_TICKS

    def __init__(self, projections: Collection[Projection] = ()) -> None:
        self._projector = Projector(projections)

    def decode(self, entry: Entry) -> SpendRow:
        """A spend report. Raises Rejected."""
        return decode_spend(entry)

    def apply(self, transaction: Transaction, events: Sequence[SpendRow], now_ms: int) -> None:
        """Fold reports into rows, and the rows' changes into every aggregate."""
        work = self._projector.begin(transaction, {report.shop for report in events})
        by_key: dict[Key, list[SpendRow]] = {}
        for report in events:
            key: Key = (report.shop, report.day, report.channel, report.campaign)
            by_key.setdefault(key, []).append(report)
        before = transaction.load(SPEND, by_key)
        changes = []
        for place, reports in by_key.items():
            old = new = before.get(place)
            for report in reports:
                new = newer(new, report)
            if new is not None and new != old:
                changes.append(Change(old, new))
        transaction.save(SPEND, [new for _, new in changes if new is not None])
        work.apply(SPEND, changes, now_ms)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Nothing depends on time."""
