"""Requests that schemathesis makes of the OpenAPI document, each judged by what the document says
of the answer. It takes a second to import, so the one test that needs it does so by itself."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

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
