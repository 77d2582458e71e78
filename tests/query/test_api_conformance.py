"""No request that the OpenAPI document allows, and none that it forbids, gets an answer that the
document does not describe, or a 5xx.

schemathesis makes the requests: 10 that are valid and 10 that are not for each operation, the same
ones in every run. Making them takes most of the CPU, so each is sent to two shops: one without data
and one with some of everything.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import serving
from tests.support.api.api_shop import fill
from tests.support.servers.migrated_store import write_migrated

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
LONGEST = 8_000
"""Characters of a request; aiohttp refuses a longer URL before the application sees it."""
KNOWN: Mapping[str, list[Mapping[str, str]]] = {
    "/v1/rfm/customers/{id}": [{"id": "7"}],
    "/v1/capi/orders/{order_id}": [{"order_id": "1001"}],
}
"""Path parameters of what the shop has."""
ENDLESS = {"/v1/events"}
"""A stream does not end; tests/query/test_live.py reads it."""
NOT_READY = {"/readyz"}
"""Answers 503 where it is not ready, and says so in the document."""


@pytest.fixture
def two_stores(tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two empty stores on SQLite: the document is one for every database."""
    with (
        closing(SqlStore.open(write_migrated(tmp_path / "one.db"))) as one,
        closing(SqlStore.open(write_migrated(tmp_path / "two.db"))) as two,
    ):
        yield one, two


def exercise(urls: Sequence[str]) -> dict[str, int]:
    """Ask each operation of each server, which have one document; requests are by path."""
    schema = schemathesis.openapi.from_url(f"{urls[0]}/openapi.json")
    answers: dict[str, int] = {}
    session = requests.Session()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        checks = CHECKS[1:] if operation.path in NOT_READY else CHECKS
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for known in [{}, *KNOWN.get(operation.path, [])]:
                answers[operation.path] = answers.get(operation.path, 0) + ask(
                    operation, urls, mode, known, checks, session
                )
    return answers


def ask(
    operation: Any,
    urls: Sequence[str],
    mode: GenerationMode,
    known: Mapping[str, str],
    checks: list[Any],
    session: requests.Session,
) -> int:
    asked = 0

    @given(case=operation.as_strategy(mode, path_parameters=dict(known) or None))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Any) -> None:
        nonlocal asked
        assume(len(case.as_curl_command()) < LONGEST)
        asked += 1
        for url in urls:
            case.call_and_validate(base_url=url, checks=checks, timeout=30, session=session)

    with suppress(Unsatisfiable):  # What takes no parameter cannot be asked wrongly.
        holds()
    return asked


async def test_every_answer_is_one_that_the_document_describes(
    log: SqliteLog, two_stores: tuple[SqlStore, SqlStore]
) -> None:
    without_data, with_data = two_stores
    fill(with_data)
    async with serving(without_data, log) as empty, serving(with_data, log) as filled:
        urls = [str(api.client.make_url("")).rstrip("/") for api in (empty, filled)]
        asked = await asyncio.to_thread(exercise, urls)
    assert set(asked) >= {"/v1/rfm", "/v1/carts/open", "/v1/budget", "/v1/capi/retry"}
    assert all(asked.values())
