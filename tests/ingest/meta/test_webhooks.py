"""Meta's handshake and notices before any log."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ingest.meta import webhooks as meta
from ingest.meta.webhooks import MetaApp
from ingest.receiver.outcome import Outcome

APP = MetaApp(shop="example.myshopify.com", app_secret=b"app-secret", verify_token="the word")
OTHER = MetaApp(shop="other.myshopify.com", app_secret=b"other-secret", verify_token="another")
ASKED = {"hub.mode": "subscribe", "hub.verify_token": "the word", "hub.challenge": "1158201444"}


def sent(body: bytes, secret: bytes) -> CIMultiDict[str]:
    return CIMultiDict(
        {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}
    )


def test_a_handshake_with_our_token_is_answered_with_its_challenge() -> None:
    assert meta.challenge([OTHER, APP], ASKED) == "1158201444"


@pytest.mark.parametrize(
    "changed",
    [
        {"hub.verify_token": "guess"},
        {"hub.verify_token": ""},
        {"hub.mode": "unsubscribe"},
        {"hub.verify_token": "wörd\ud800"},
    ],
)
def test_any_other_handshake_is_not_answered(changed: dict[str, str]) -> None:
    assert meta.challenge([APP], {**ASKED, **changed}) is None
    assert meta.challenge([APP], {}) is None
    assert meta.challenge([], ASKED) is None


@given(body=st.binary(), secret=st.binary(min_size=1), text=st.text())
def test_a_notice_is_verified_by_its_secret_and_by_nothing_else(
    body: bytes, secret: bytes, text: str
) -> None:
    assert meta.verify([b"x" * 70, secret], sent(body, secret), body) == 1
    assert meta.verify([secret], sent(body + b".", secret), body) is None
    assert meta.verify([secret], CIMultiDict({"X-Hub-Signature-256": text}), body) is None
    assert meta.verify([secret], CIMultiDict(), body) is None


def test_shops_that_share_an_app_are_distinguished_by_their_ad_account() -> None:
    one, two = (
        MetaApp(f"{name}.myshopify.com", b"shared", "word", ad_account_id)
        for name, ad_account_id in (("one", "1"), ("two", "2"))
    )
    for account, shop in (("act_2", two.shop), ("2", two.shop), ("9", one.shop)):
        body = json.dumps({"object": "ad_account", "entry": [{"id": account}]}).encode()
        delivery = meta.identifier([one, two])(sent(body, b"shared"), body, 5)
        assert delivery is not None
        assert delivery.record.headers["shop"] == shop


def test_a_notice_goes_to_ads_for_the_shop_whose_app_signed_it() -> None:
    body = json.dumps({"object": "ad_account", "entry": [{"id": "act_1", "changes": []}]}).encode()
    delivery = meta.identifier([APP, OTHER])(sent(body, OTHER.app_secret), body, 5)
    assert delivery is not None
    assert delivery.outcome is Outcome.ACCEPTED
    record = delivery.record
    assert (record.topic, record.key, record.time_ms, record.body) == (
        "ads",
        "other.myshopify.com:act_1",
        5,
        body,
    )
    assert record.headers == {
        "source": "meta",
        "topic": "ad_account",
        "shop": "other.myshopify.com",
    }


def test_a_notice_signed_by_nobody_we_know_is_none() -> None:
    assert meta.identifier([APP])(sent(b"{}", b"guess"), b"{}", 0) is None


@pytest.mark.parametrize(
    ("body", "reason", "outcome"),
    [
        (b"", "empty_body", Outcome.UNDECODABLE),
        (b"{", "malformed_json", Outcome.UNDECODABLE),
        (b"[]", "not_an_object", Outcome.UNDECODABLE),
        (b'{"object":"page"}', "no_entry_id", Outcome.PARKED),
        (b'{"object":"page","entry":[]}', "no_entry_id", Outcome.PARKED),
        (b'{"object":"page","entry":[{"id":null}]}', "no_entry_id", Outcome.PARKED),
    ],
)
def test_a_signed_notice_that_cannot_be_placed_is_parked_with_its_reason(
    body: bytes, reason: str, outcome: Outcome
) -> None:
    delivery = meta.identify(APP.shop, body, 0)
    assert (delivery.record.topic, delivery.record.headers["parked_reason"], delivery.outcome) == (
        "parked",
        reason,
        outcome,
    )


@given(body=st.binary())
def test_any_bytes_make_a_delivery(body: bytes) -> None:
    assert meta.identify(APP.shop, body, 0).record.body == body


def test_an_app_shows_no_secret_and_needs_both() -> None:
    assert "secret" not in repr(APP)
    assert "word" not in repr(APP)
    with pytest.raises(ValueError, match="META_APP_SECRET"):
        MetaApp(shop="s", app_secret=b"", verify_token="t")
