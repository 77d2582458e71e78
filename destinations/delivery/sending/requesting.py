"""Makes one request of rows, and says what its answer means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from destinations.delivery.protocol import Destination
from destinations.delivery.results import Attempt, attempt
from destinations.delivery.rows import OutboxRow
from destinations.delivery.transport import Call, NoAnswer, NotPublic, NotSent
from destinations.delivery.verdict import ErrorClass, Verdict
from stream.metrics import DeliveryMetrics
from stream.tracing import Tracer

Rows = Sequence[OutboxRow]
NOT_PUBLIC = Verdict(
    ErrorClass.CONFIGURATION,
    code="not_public",
    message="the host has no public address, and only such are called: see its settings",
)


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one account, measured and traced."""

    destination: Destination
    call: Call
    timeout_s: float
    clock_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    metrics: DeliveryMetrics | None
    tracer: Tracer | None

    def cut(self, rows: Rows) -> list[Rows]:
        """Rows of requests within the byte limit, the first one last."""
        most = self.destination.limits.body_bytes
        if most is None:
            return [rows]
        batches = [list[OutboxRow]()]
        size = 0
        for row in rows:
            if batches[-1] and size + len(row.payload) > most:
                batches.append([])
                size = 0
            batches[-1].append(row)
            size += len(row.payload)
        return list(reversed(batches))

    async def send(self, batch: Rows) -> tuple[Verdict | Sequence[Verdict], list[Attempt]]:
        """The verdict on a batch, or on each of its rows, and the records of the attempt."""
        at_ms, began_ms = self.clock_ms(), self.steady_ms()
        judged: Verdict | Sequence[Verdict]
        try:
            answer = await self.call(
                *self.destination.request(batch, at_ms), timeout_s=self.timeout_s
            )
            judged = self.destination.judge(answer, batch)
        except NotPublic:
            judged = NOT_PUBLIC
        except NotSent as error:
            judged = Verdict(ErrorClass.TRANSIENT, message=f"no connection ({error})")
        except NoAnswer as error:
            judged = self.destination.judge(None, batch)
            if isinstance(judged, Verdict) and not judged.message:
                judged = replace(judged, message=f"no answer ({error})")
        took_ms = self.steady_ms() - began_ms
        verdicts = [judged] if isinstance(judged, Verdict) else judged
        made = [attempt(verdict, at_ms, took_ms) for verdict in verdicts]
        self._measure(batch, verdicts, made)
        return judged, made

    def _measure(self, batch: Rows, verdicts: Sequence[Verdict], made: Sequence[Attempt]) -> None:
        if self.tracer is not None:
            self._trace(self.tracer, batch, made)
        if self.metrics is None:
            return
        kind, whole = self.destination.kind, len(verdicts) == 1
        self.metrics.requested(
            kind, made[0].kind if whole else "each", len(batch), made[0].duration_ms / 1000
        )
        each = list(verdicts) * len(batch) if whole else verdicts
        self.metrics.delivered(
            kind,
            [
                (made[0].at_ms - row.received_ms) / 1000
                for row, verdict in zip(batch, each, strict=True)
                if verdict.kind is ErrorClass.SENT
            ],
        )

    def _trace(self, tracer: Tracer, batch: Rows, made: Sequence[Attempt]) -> None:
        each = list(made) * len(batch) if len(made) == 1 else made
        for row, attempt_ in zip(batch, each, strict=True):
            tracer.requested(
                row.shop,
                row.destination,
                row.digest,
                row.received_ms,
                attempt_.at_ms,
                attempt_.at_ms + attempt_.duration_ms,
                attempt_.kind,
            )
