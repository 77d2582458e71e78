"""A webhook can be followed from the receiver to Meta's answer: over real OTLP, in one trace."""

import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orderwire.serve.tracing import tracing
from orderwire.settings.program import ConfigurationError, Settings
from processors.shopify.version import version_of
from simulator.meta.graph import GraphStandIn
from stream.tracing import digest_of, trace_of
from tests.orderwire.alarms.deployment import PIXEL, SHOP, TOKEN, deployment
from tests.support.delivery import capi_orders


async def test_a_webhook_is_followed_to_the_answer_of_meta(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: list[Any] = []

    async def collect(request: web.Request) -> web.Response:
        found = ExportTraceServiceRequest.FromString(await request.read())
        for resource in found.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    async with TestServer(app) as collector, GraphStandIn(tokens={TOKEN: [PIXEL]}) as graph:
        port = int(graph.url.rpartition(":")[2].partition("/")[0])
        url = str(collector.make_url("/v1/traces"))
        more = {"ORDERWIRE_OTEL_URL": url}
        async with deployment(tmp_path, tmp_path, monkeypatch, port, more) as one:
            assert await one.sell(1) == 200
            await one.until("Meta has it", lambda: graph.account.received)
        # The roles have ended, and each has sent its last spans.
    by_name = {span.name: span for span in spans}
    first, wait, sent = (
        by_name[name] for name in ("receive orders/paid", "process and wait", "send to meta")
    )
    assert {span.trace_id for span in (first, wait, sent)} == {first.trace_id}
    assert wait.parent_span_id == sent.parent_span_id == first.span_id
    assert first.parent_span_id == b""
    assert (
        first.start_time_unix_nano
        <= first.end_time_unix_nano
        <= sent.start_time_unix_nano + 1_000_000
    )
    attributes = {each.key: each.value.string_value for each in sent.attributes}
    assert attributes == {"shop": SHOP, "destination": "meta", "answer": "sent"}
    assert "Zoe" not in str(spans)
    assert "Example.com" not in str(spans)


def test_the_digest_is_the_one_that_an_orders_version_ends_with() -> None:
    record = capi_orders.record(capi_orders.body(1))
    version = version_of(record, capi_orders.NOW, 1)
    assert version.digest.endswith(digest_of(record.body))
    assert trace_of("a", version.digest) == trace_of("a", digest_of(record.body))
    assert trace_of("a", "0" * 16) != trace_of("b", "0" * 16)


def test_without_a_url_nothing_is_loaded_and_without_the_extra_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = {"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": "hush"}
    with tracing(Settings.load(base), "receive") as tracer:
        assert tracer is None
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    settings = Settings.load({**base, "ORDERWIRE_OTEL_URL": "http://127.0.0.1:4318/v1/traces"})
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'orderwire\[otel\]'"),
        tracing(settings, "receive"),
    ):
        pass
