"""What is mangled says how, and nothing genuine is lost."""

import base64
import hashlib
import hmac

import orjson
import pytest

from simulator.proof.oracle import expected_orders
from simulator.shop.mangle import PARKED, REFUSED, Mangling
from tests.support.shops.simulated_shop import SECRET, SHOP, mangle, shop, visits


def test_what_is_mangled_is_labelled_and_nothing_genuine_is_lost() -> None:
    deliveries = visits(shop(), 1500)
    arriving = mangle(deliveries, mangling=Mangling(broken=0.05))
    taken = {delivery.webhook_id for delivery in arriving if delivery.expected_status == 200}
    assert {delivery.webhook_id for delivery in deliveries} <= taken
    statuses: dict[str, set[int]] = {}
    for delivery in arriving:
        statuses.setdefault(delivery.kind, set()).add(delivery.expected_status)
    assert statuses == {
        "genuine": {200},
        "duplicate": {200},
        "retry": {200},
        "late": {200},
        "new_spelling": {200},
        "eighteen_digits": {200},
        "bad_signature": {401},
        "unknown_shop": {401},
        "malformed_json": {400},
        "unknown_topic": {200},
        "missing_id": {200},
        "malformed_timestamp": {200},
    }
    assert mangle(deliveries) == mangle(deliveries)


def test_broken_deliveries_are_broken_in_the_way_they_say() -> None:
    arriving = mangle(visits(shop(), 1500), mangling=Mangling(broken=0.1))
    for delivery in arriving:
        good = base64.b64encode(
            hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).digest()
        ).decode()
        prefix = (
            "Shopify-"
            if delivery.kind == "new_spelling" or "Shopify-Topic" in delivery.headers
            else "X-Shopify-"
        )
        assert (delivery.headers[f"{prefix}Hmac-Sha256"] == good) == (
            delivery.kind != "bad_signature"
        )
        assert (delivery.headers[f"{prefix}Shop-Domain"] == SHOP) == (
            delivery.kind != "unknown_shop"
        )
        if delivery.kind == "malformed_json":
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(delivery.body)
        if delivery.kind == "eighteen_digits":
            assert orjson.loads(delivery.body)["id"] > 1 << 53
    answer = expected_orders(arriving)
    assert any(len(order_id) == 18 for order_id in answer), "an order with a long id is an order"
    assert answer == expected_orders(
        delivery for delivery in arriving if delivery.kind not in PARKED | REFUSED
    )
