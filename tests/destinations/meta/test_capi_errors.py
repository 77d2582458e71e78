"""Answers of Graph's: every rule of the golden table, and what outranks what."""

import json
from typing import Any

import pytest

from destinations.delivery.verdict import ErrorClass
from destinations.meta.errors import Action, classify, scrubbed
from tests.support.delivery.capi_orders import TOKEN
from tests.support.shopify.golden import golden_json

CLASSES = {"config": "configuration"}


def answer(code: int, subcode: int | None = None, **error: Any) -> bytes:
    found = {"message": "Paramètre non valide", "code": code, "fbtrace_id": "Abc", **error}
    return json.dumps(
        {"error": found if subcode is None else {**found, "error_subcode": subcode}}
    ).encode()


def test_every_rule_of_the_table_gives_its_class() -> None:
    checked = 0
    for rule in golden_json("capi_errors.json")["rules"]:
        if "code" not in rule:
            continue
        codes = rule["code"] if isinstance(rule["code"], list) else [rule["code"]]
        codes = list(range(codes[0], codes[1] + 1)) if rule.get("range") else codes
        subcodes = rule.get("subcodes", [rule.get("subcode")])
        for code in codes:
            for subcode in subcodes:
                verdict = classify(
                    rule.get("http", 400),
                    {},
                    answer(code, subcode, **({"type": rule["type"]} if "type" in rule else {})),
                )
                assert verdict.kind == CLASSES.get(rule["class"], rule["class"]), rule
                assert (verdict.code, verdict.subcode, verdict.fbtrace_id) == (code, subcode, "Abc")
                checked += 1
    assert checked > 100


def test_is_transient_outranks_code_and_status() -> None:
    assert classify(400, {}, answer(190, is_transient=True)).action is Action.RETRY
    assert classify(400, {}, answer(100, 2804003, is_transient=True)).kind is ErrorClass.TRANSIENT


def test_codes_that_come_as_strings_mean_the_same() -> None:
    verdict = classify(
        400, {}, json.dumps({"error": {"code": "100", "error_subcode": "2804001"}}).encode()
    )
    assert (verdict.kind, verdict.action, verdict.code, verdict.subcode) == (
        ErrorClass.PERMANENT,
        Action.STRIP_FBC,
        100,
        2804001,
    )
    assert (
        classify(400, {}, json.dumps({"error": {"code": "190"}}).encode()).kind
        is ErrorClass.CONFIGURATION
    )
    assert (
        classify(
            400, {}, json.dumps({"error": {"code": 100, "is_transient": "true"}}).encode()
        ).kind
        is ErrorClass.TRANSIENT
    )
    assert classify(200, {}, b'{"events_received":"3"}').received == 3


@pytest.mark.parametrize("code", [4, 17, 32, 613, 80000, 80004, 80009, 80014, 80099])
@pytest.mark.parametrize("transient", [True, False, "true"])
def test_a_rate_limit_is_a_throttle_whatever_it_calls_itself(
    code: int, transient: bool | str
) -> None:
    usage = {
        "x-business-use-case-usage": json.dumps({"1": [{"estimated_time_to_regain_access": 2}]})
    }
    found = classify(400, usage, answer(code, is_transient=transient))
    assert (found.kind, found.action, found.wait_ms) == (ErrorClass.THROTTLE, Action.WAIT, 120_000)
    plain = classify(400, {}, answer(code, is_transient=transient))
    assert (plain.kind, plain.action, plain.wait_ms) == (ErrorClass.THROTTLE, Action.WAIT, None)


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"Retry-After": "30"}, 30_000),
        ({"retry-after": "30", "x-app-usage": '{"estimated_time_to_regain_access": 2}'}, 120_000),
        (
            {
                "Retry-After": "Fri, 27 Nov 2026 12:01:00 GMT",
                "Date": "Fri, 27 Nov 2026 12:00:00 GMT",
            },
            60_000,
        ),
        ({"Retry-After": "9" * 30}, 86_400_000),
        ({"Retry-After": "Fri, 27 Nov 2026 12:01:00 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_says_how_long_to_wait(headers: dict[str, str], wait_ms: int | None) -> None:
    assert classify(400, headers, answer(4)).wait_ms == wait_ms
    assert classify(429, headers, b"<html>").wait_ms == wait_ms
    busy = classify(503, headers, b"<html>")
    assert (busy.kind, busy.wait_ms) == (ErrorClass.TRANSIENT, wait_ms)
    assert busy.action is (Action.RETRY if wait_ms is None else Action.WAIT)


def test_a_success_that_took_nothing_is_none() -> None:
    verdict = classify(200, {}, b'{"events_received":0,"messages":["dropped"],"fbtrace_id":"x"}')
    assert (verdict.kind, verdict.action) == (ErrorClass.TRANSIENT, Action.RETRY)
    assert (verdict.ambiguous, verdict.fbtrace_id) == (False, "x")


def test_a_subcode_of_zero_is_none() -> None:
    assert (
        classify(400, {}, answer(100, 0, type="GraphMethodException")).kind
        is ErrorClass.CONFIGURATION
    )


def test_a_code_outranks_the_status() -> None:
    assert classify(500, {}, answer(190)).kind is ErrorClass.CONFIGURATION
    assert classify(400, {}, answer(1)).kind is ErrorClass.TRANSIENT


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE html><html>Sorry", b"", b"[]", b"null", b"{", b"{}", b'{"error":"bad request"}'],
)
@pytest.mark.parametrize("status", [500, 502, 503, 400])
def test_what_is_not_graphs_json_is_transient(status: int, body: bytes) -> None:
    verdict = classify(status, {}, body)
    assert verdict.kind is ErrorClass.TRANSIENT
    assert verdict.ambiguous is (status == 502)


def test_no_answer_and_code_2_may_have_been_applied() -> None:
    assert classify(None, {}, b"").ambiguous
    assert classify(500, {}, answer(2)).ambiguous
    assert not classify(500, {}, answer(1)).ambiguous


def test_a_200_without_messages_is_a_success() -> None:
    verdict = classify(200, {}, b'{"events_received":3,"fbtrace_id":"x"}')
    assert (verdict.action, verdict.received, verdict.fbtrace_id) == (Action.DONE, 3, "x")


def test_a_200_that_is_a_page_of_a_proxy_is_ambiguous() -> None:
    assert classify(200, {}, b"<html>").ambiguous


def test_a_bad_click_id_is_stripped_and_not_given_up() -> None:
    assert classify(400, {}, answer(100, 2804001)).action is Action.STRIP_FBC


def test_a_throttle_waits_for_the_longest_time_that_the_usage_header_shows_in_minutes() -> None:
    usage = {
        "1": [{"estimated_time_to_regain_access": 3}, {"estimated_time_to_regain_access": 7}],
        "2": [{}],
    }
    verdict = classify(400, {"x-business-use-case-usage": json.dumps(usage)}, answer(80004))
    assert (verdict.action, verdict.wait_ms) == (Action.WAIT, 7 * 60_000)


@pytest.mark.parametrize(
    ("found", "wait_ms"),
    [("2.5", 150_000), ('"2.5"', 150_000), ('"7"', 420_000), ("180", 180 * 60_000)],
)
def test_a_time_to_wait_may_be_a_fraction_or_a_string(found: str, wait_ms: int) -> None:
    header = f'{{"1": [{{"estimated_time_to_regain_access": {found}}}]}}'
    assert classify(400, {"X-Business-Use-Case-Usage": header}, answer(4)).wait_ms == wait_ms


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "[]",
        '{"1": 3}',
        '{"1": [{"estimated_time_to_regain_access": "soon"}]}',
        '{"1": [{"estimated_time_to_regain_access": "inf"}]}',
    ],
)
def test_a_usage_header_that_makes_no_sense_says_nothing(header: str) -> None:
    assert classify(400, {"X-Business-Use-Case-Usage": header}, answer(4)).wait_ms is None


@pytest.mark.parametrize("code", [101, 2500, 2635])
def test_an_app_a_version_or_a_path_that_graph_does_not_know_is_a_setting_and_no_events_fault(
    code: int,
) -> None:
    assert classify(400, {}, answer(code, type="OAuthException")).action is Action.PAUSE


@pytest.mark.parametrize("status", [401, 403])
def test_an_unknown_code_is_configuration_where_http_says_not_allowed(status: int) -> None:
    assert classify(status, {}, answer(99_999)).kind is ErrorClass.CONFIGURATION


def test_a_message_is_cleaned_of_tokens_before_anybody_sees_it() -> None:
    found = scrubbed(
        f"Malformed access token {TOKEN} and EAAabcdefghijkl1234 key s3cret", TOKEN, "s3cret", None
    )
    assert found == "Malformed access token [secret] and [token] key [secret]"
