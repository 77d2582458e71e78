"""`orderwire preview`: what would be sent of an order, and nothing personal that is not hashed."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from destinations.meta.event.identity import hashed
from orderwire.cli import app
from orderwire.operation.preview import HIDDEN
from tests.support.shopify.golden import GOLDEN
from tests.support.shopify.twin_orders import NOW, graphql, sale

runner = CliRunner()
PAID = GOLDEN / "payloads" / "orders.paid.json"
SHOP = "demo.myshopify.com"
RECEIVED = (NOW + timedelta(hours=2)).isoformat()
TOML = f"""
[shops."{SHOP}"]
webhook_secret = "secret"
pixel_id = "1234567890"
access_token = "token"

[shops."{SHOP}".destinations.erp]
kind = "webhook"
url = "https://erp.example/hook"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orderwire.toml").write_text(TOML)


def run(path: Path, *arguments: str, code: int = 0) -> str:
    done = runner.invoke(app, ["preview", str(path), *arguments])
    assert done.exit_code == code, done.output
    return done.output


def events(path: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    found = json.loads(run(path, "--json", *arguments))
    return {each["destination"]: each for each in found}


def written(tmp_path: Path, body: Any) -> Path:
    path = tmp_path / "order.json"
    path.write_text(json.dumps(body))
    return path


def paid(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(PAID.read_bytes())
    return {**body, **changes}


def recent(**changes: Any) -> dict[str, Any]:
    """The same, made at NOW."""
    at = NOW.isoformat()
    return paid(created_at=at, processed_at=at, updated_at=at, **changes)


def test_each_destination_shows_its_event_hashed_and_what_it_lacks(tmp_path: Path) -> None:
    body = recent(browser_ip="203.0.113.195:443")
    found = events(written(tmp_path, body), "--received", RECEIVED)
    assert set(found) == {"meta", "erp"}
    meta = found["meta"]
    assert (meta["event_name"], meta["outcome"]) == ("Purchase", "pending")
    user_data = meta["event"]["user_data"]
    assert user_data["em"] == [hashed("em", body["email"])]
    assert user_data["client_ip_address"] == HIDDEN
    assert "no click id" in meta["left_out"]["user_data.fbc"]
    assert found["erp"]["outcome"] == "pending"
    output = run(written(tmp_path, body), "--received", RECEIVED)
    raw = (body["email"], body["billing_address"]["first_name"], "203.0.113.195", "iPhone")
    assert [each for each in raw if each in output] == []
    assert "would be sent" in output
    assert "left out: user_data.fbp" in output


def test_a_body_of_events_and_the_answer_of_a_query_show_the_same_event(tmp_path: Path) -> None:
    event = graphql(sale(3)).event()
    of_event = events(written(tmp_path, event), "--received", RECEIVED)["meta"]
    of_query = events(written(tmp_path, {"data": event["data"]}), "--received", RECEIVED)["meta"]
    assert of_event == of_query
    assert (
        of_event["event_id"]
        == str(graphql(sale(3)).event()["query_variables"]["orderId"]).rsplit("/")[-1]
    )


def test_an_order_that_is_not_sent_says_why(tmp_path: Path) -> None:
    old = events(PAID, "--received", "2027-03-01T00:00:00Z")["meta"]
    assert (old["outcome"], old["event"]) == ("too_old", None)
    test_order = events(written(tmp_path, paid(test=True)))["meta"]
    assert (test_order["outcome"], test_order["reason"]) == ("skipped", "a test order")


def test_with_dry_run_it_says_that_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "orderwire.toml").write_text(TOML.replace('"token"', '"token"\ndry_run = true'))
    output = run(written(tmp_path, recent()), "--received", RECEIVED)
    assert "META_DRY_RUN is set" in output


EMPTY_EVENT = {
    "topic": "Order",
    "action": "update",
    "query_variables": {"orderId": "gid://shopify/Order/1"},
    "data": {},
}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not json", "no JSON"),
        ("[]", "no JSON object"),
        ('{"id": 1}', "it is no order"),
        ('{"order": {"id": 1, "created_at": "2026-11-20T10:00:00Z"}}', "cannot be understood"),
        (json.dumps(EMPTY_EVENT), "no whole order"),
    ],
)
def test_what_is_no_order_is_refused_with_a_reason(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "order.json"
    path.write_text(content)
    assert reason in run(path, code=1)
