"""Whether `predicted_ltv` goes to Meta is a line of `orderwire doctor`."""

import pytest

from orderwire.doctor import Line
from orderwire.doctor.predictions import predicted_ltv_lines
from orderwire.settings.program import Settings
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.first_order_shop import all_orders, simulated_shop
from tests.support.shops.rfm_store import fold

ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def settings(monkeypatch: pytest.MonkeyPatch, *, wanted: bool = True) -> Settings:
    for name, value in {
        "SHOPIFY_SHOP": SHOP,
        "SHOPIFY_WEBHOOK_SECRET": "a secret",
        "META_PIXEL_ID": "1234567890",
        "META_ACCESS_TOKEN": "a token",
        "META_SEND_PREDICTED_LTV": "true" if wanted else "false",
    }.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def only(lines: list[Line]) -> tuple[str, str]:
    (line,) = lines
    return line.state, line.text


@ON_ONE_STORE
def test_each_shop_that_wants_it_is_a_line_with_the_reason_or_the_range(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(monkeypatch)
    found = only(predicted_ltv_lines(wanted, store))
    assert found == ("hint", f"{SHOP}: not sent: no order has been counted yet")
    processor = fold(store, [[order("1")]], DAY0 + 301)
    state, text = only(predicted_ltv_lines(wanted, store))
    assert state == "hint"
    assert text.startswith(f"{SHOP}: not sent: 1 customers placed their first order")
    fold(store, [all_orders(simulated_shop(1, 800))], DAY0 + 301, processor)
    state, text = only(predicted_ltv_lines(wanted, store))
    assert state == "ok"
    assert text.startswith(f"{SHOP}: sent with first orders, ")
    assert text.endswith(" USD over 180 days")
    assert predicted_ltv_lines(settings(monkeypatch, wanted=False), store) == []
