"""Traces by OpenTelemetry, where ORDERWIRE_OTEL_URL is set and the extra `orderwire[otel]` is
installed. Spans are sent in batches from a thread of their own, and dropped where nobody takes
them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from orderwire.settings.program import ConfigurationError, Settings
from stream.tracing import Tracer, digest_of, trace_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

MS: Final = 1_000_000
EXPORT_S: Final = 2
"""How long a collector may take; an end of the role waits for its last spans no longer."""


@contextmanager
def tracing(settings: Settings, role: str) -> Iterator[Tracer | None]:
    """The tracer while the block runs; None where none is set. Raises ConfigurationError."""
    if not settings.otel_url:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            "ORDERWIRE_OTEL_URL is set and OpenTelemetry is not installed: pip install"
            " 'orderwire[otel]'"
        ) from None
    provider = provider_of(role)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(settings.otel_url, timeout=EXPORT_S))
    )
    try:
        yield OtelTracer(provider)
    finally:
        provider.shutdown()


def provider_of(role: str) -> "TracerProvider":
    """A provider whose ids are those of `trace_of` where they are given."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    class Ids(RandomIdGenerator):
        given: tuple[int, int] | None = None

        def generate_trace_id(self) -> int:
            return self.given[0] if self.given else super().generate_trace_id()

        def generate_span_id(self) -> int:
            return self.given[1] if self.given else super().generate_span_id()

    return TracerProvider(
        sampler=ALWAYS_ON,
        id_generator=Ids(),
        resource=Resource({"service.name": "orderwire", "orderwire.role": role}),
    )


class OtelTracer:
    """`stream.tracing.Tracer`. Called on one event loop."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._ids, self._tracer = provider.id_generator, provider.get_tracer("orderwire")

    def received(self, shop: str, body: bytes, topic: str, outcome: str, began_ns: int) -> None:
        """The first span of a delivery's trace; one that is sent again has it once more."""
        ids = trace_of(shop, digest_of(body))
        self._ids.given = ids  # type: ignore[attr-defined]
        try:
            span = self._tracer.start_span(
                f"receive {topic}",
                context=_no_parent(),
                start_time=began_ns,
                attributes={"shop": shop, "topic": topic, "outcome": outcome},
            )
        finally:
            self._ids.given = None  # type: ignore[attr-defined]
        span.end(time.time_ns())

    def requested(
        self,
        shop: str,
        destination: str,
        digest: str,
        received_ms: int,
        began_ms: int,
        ended_ms: int,
        answer: str,
    ) -> None:
        """Two spans below the first: until the request, and the request."""
        parent = _parent(*trace_of(shop, digest))
        attributes = {"shop": shop, "destination": destination}
        self._tracer.start_span(
            "process and wait", parent, attributes=attributes, start_time=received_ms * MS
        ).end(max(received_ms, began_ms) * MS)
        self._tracer.start_span(
            f"send to {destination}",
            parent,
            attributes={**attributes, "answer": answer},
            start_time=began_ms * MS,
        ).end(ended_ms * MS)


def _no_parent() -> "Context":
    from opentelemetry.context import Context

    return Context()


def _parent(trace_id: int, span_id: int) -> "Context":
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    first = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(first), _no_parent())


if TYPE_CHECKING:
    from opentelemetry.context import Context
