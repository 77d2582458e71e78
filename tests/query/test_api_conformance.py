"""No request that the OpenAPI document allows, and none that it forbids, gets an answer that the
document does not describe, or a 5xx.

schemathesis makes the requests: 10 that are valid and 10 that are not for each operation, the same
ones in every run.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
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


def exercise(url: str) -> dict[str, int]:
    """Ask each operation; answers are by path."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    answers: dict[str, int] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        checks = CHECKS[1:] if operation.path in NOT_READY else CHECKS
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for known in [{}, *KNOWN.get(operation.path, [])]:
                answers[operation.path] = answers.get(operation.path, 0) + ask(
                    operation, url, mode, known, checks
                )
    return answers


def ask(
    operation: Any, url: str, mode: GenerationMode, known: Mapping[str, str], checks: list[Any]
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
        case.call_and_validate(base_url=url, checks=checks, timeout=30)

    with suppress(Unsatisfiable):  # What takes no parameter cannot be asked wrongly.
        holds()
    return asked


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("filled", [False, True], ids=["without data", "with data"])
async def test_every_answer_is_one_that_the_document_describes(
    store: SqlStore, log: SqliteLog, filled: bool
) -> None:
    if filled:
        fill(store)
    async with serving(store, log) as api:
        answers = await asyncio.to_thread(exercise, str(api.client.make_url("")).rstrip("/"))
    assert set(answers) >= {"/v1/rfm", "/v1/carts/open", "/v1/budget", "/v1/capi/retry"}
    assert all(answers.values())
