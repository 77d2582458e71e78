"""fbc and fbp, against Meta's parameter builder where it has an opinion."""

import pytest
from capi_param_builder import ParamBuilder
from hypothesis import given
from hypothesis import strategies as st

from destinations.meta import click
from tests.support.capi_orders import FBCLID, NOW_MS
from tests.support.golden import vectors

MONTH_MS = 30 * click.DAY_MS


def test_a_click_id_becomes_the_fbc_that_metas_builder_makes_but_for_its_appendix() -> None:
    for vector in vectors("capi.json"):
        asked = vector["input"]
        if vector["field"] != "fbc" or asked["cookies"] or asked["referer"]:
            continue
        found = click.fbclid("/?fbclid=" + asked["query"]["fbclid"][0])
        assert found is not None
        assert click.built(found, asked["now_ms"]) == vector["normalised"]


def test_an_fbc_of_metas_builder_with_its_appendix_is_taken_as_it_is() -> None:
    builder = ParamBuilder(["example.com"])
    builder.process_request("shop.example.com", {"fbclid": [FBCLID]}, {}, None)
    fbc, fbp = builder.get_fbc(), builder.get_fbp()
    assert fbc is not None
    assert len(fbc.split(".")) == 5
    now_ms = int(fbc.split(".")[2])
    assert (click.fbc(fbc, now_ms), click.fbp(fbp)) == (fbc, fbp)


@pytest.mark.parametrize(
    "value",
    [
        "fb.1.1554763741205",
        "fb.1.{now}.a.b.c",
        "fb.1.{now}.abc.zz",
        "fb.1.1554763741.abc",
        "fb.x.{now}.abc",
        "{now}.abc",
        "fb.1.{now}.a b",
        "fb.1.{now}.",
        "",
        None,
    ],
)
def test_a_malformed_fbc_is_dropped(value: str | None) -> None:
    assert click.fbc(value.format(now=NOW_MS) if value else value, NOW_MS) is None


def test_an_fbc_of_more_than_90_days_or_of_the_future_is_dropped() -> None:
    young, old, future = (
        click.built(FBCLID, NOW_MS + shift)
        for shift in (-2 * MONTH_MS, -4 * MONTH_MS, click.DAY_MS)
    )
    assert [click.fbc(fbc, NOW_MS) for fbc in (young, old, future)] == [young, None, None]


@pytest.mark.parametrize(
    ("landing_site", "expected"),
    [
        (f"/?fbclid={FBCLID}", FBCLID),
        (f"https://shop.example.com/a?b=1&fbclid={FBCLID}#x", FBCLID),
        ("/?fbclid=aB%2DcD", "aB-cD"),
        ("/?FBCLID=abc", None),
        ("/?fbclid=", None),
        ("/?fbclid=a.b", None),
        ("/#?fbclid=abc", None),
        (None, None),
    ],
)
def test_the_click_id_is_read_from_the_landing_sites_query_case_untouched(
    landing_site: str | None, expected: str | None
) -> None:
    assert click.fbclid(landing_site) == expected


@given(st.text(max_size=80))
def test_nothing_that_a_visitor_writes_raises(text: str) -> None:
    click.fbclid("/?fbclid=" + text)
    click.fbc(text, NOW_MS)
    click.fbp(text)
