"""Only a clear yes is consent."""

from typing import Any

import pytest

from tests.support.delivery.capi_orders import (
    seen,
    settings,
)
from tests.support.delivery.purchase import decision


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "no_consent"),
        ({"note_attributes": [{"name": "marketing", "value": "granted"}]}, "pending"),
        ({"note_attributes": [{"name": "marketing", "value": True}]}, "pending"),
        ({"note_attributes": [{"name": "marketing", "value": "No"}]}, "no_consent"),
        ({"note_attributes": [{"name": "marketing", "value": ""}]}, "no_consent"),
        ({"customer": {"marketing": "yes"}}, "pending"),
        ({"customer": {"marketing": None}}, "no_consent"),
    ],
)
def test_consent_is_a_gate(changes: dict[str, Any], outcome: str) -> None:
    assert decision(seen(**changes), settings(consent="marketing")).outcome == outcome


def consented(answer: Any, **chosen: Any) -> str:
    return decision(
        seen(note_attributes=[{"name": "marketing", "value": answer}]),
        settings(consent="marketing", **chosen),
    ).outcome


NOES = ["n", "refused", "Rejected", "revoked", "withdrawn", "opted_out", "opt-out", "disabled"]


NO_CLEAR_YES = [
    "N/A",
    "undefined",
    "not_granted",
    "consent_denied",
    "opt out",
    "nein",
    "non",
    "no, thanks",
    "{}",
    "not yes",
    "0",
    0,
    False,
]


@pytest.mark.parametrize("answer", [*NOES, *NO_CLEAR_YES])
def test_what_is_not_a_clear_yes_is_no(answer: Any) -> None:
    assert consented(answer) == "no_consent"


@pytest.mark.parametrize(
    "answer", ["true", " YES ", "1", 1, "Opt-In", "opted in", "granted", "Accepted", "subscribed"]
)
def test_a_clear_yes_is_one_however_it_is_written(answer: Any) -> None:
    assert consented(answer) == "pending"


def test_what_says_yes_is_a_setting() -> None:
    assert [
        consented(answer, consent_values=("ja", "Alle Cookies"))
        for answer in ("JA", "alle-cookies", "yes")
    ] == [
        "pending",
        "pending",
        "no_consent",
    ]
    assert [
        consented(answer, consent_values=("*",)) for answer in ("2026-11-22T12:00:00Z", "", None)
    ] == [
        "pending",
        "no_consent",
        "no_consent",
    ]


@pytest.mark.parametrize("field", [{"ads": True}, ["yes"], [], {}, 1.5])
def test_what_is_no_single_word_is_no_consent(field: Any) -> None:
    assert decision(seen(marketing=field), settings(consent="marketing")).outcome == "no_consent"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("subscribed", "pending"), ("not_subscribed", "no_consent"), (None, "no_consent")],
)
def test_a_consent_object_of_shopifys_says_what_its_state_says(
    state: str | None, outcome: str
) -> None:
    consent = {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": None}
    chosen = settings(consent="email_marketing_consent")
    assert decision(seen(customer={"email_marketing_consent": consent}), chosen).outcome == outcome


def test_consent_may_stand_deep_in_the_order() -> None:
    chosen = settings(consent="customer.email_marketing_consent.state")
    for state, outcome in (
        ("subscribed", "pending"),
        ("not_subscribed", "no_consent"),
        ("pending", "no_consent"),
    ):
        assert (
            decision(seen(customer={"email_marketing_consent": {"state": state}}), chosen).outcome
            == outcome
        )
