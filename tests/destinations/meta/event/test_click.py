"""fbc and fbp, against Meta's parameter builder where it has an opinion."""

import pytest
from capi_param_builder import ParamBuilder
from hypothesis import given
from hypothesis import strategies as st

from destinations.meta.event import click
from tests.support.delivery.capi_orders import FBCLID, NOW_MS
from tests.support.shopify.golden import vectors

MONTH_MS = 30 * click.DAY_MS
OTHER = "IwAR0otherClick_of-anotherDay"


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
        ("/?fbclid=undefined", None),
        (f"/?utm_source=a&amp;fbclid={FBCLID}", FBCLID),
        (f"/?utm_source=a?fbclid={FBCLID}", FBCLID),
        (f"/?fbclid=&fbclid={FBCLID}", FBCLID),
        (f"/?fbclid=a.b&fbclid={FBCLID}", FBCLID),
        (f"https://l.facebook.com/l.php?u=https%3A%2F%2Fa.b%2F%3Ffbclid%3D{FBCLID}&h=1", FBCLID),
        (f"/?fbclid={OTHER}&u=https%3A%2F%2Fa.b%2F%3Ffbclid%3D{FBCLID}", OTHER),
        (None, None),
    ],
)
def test_the_click_id_is_read_from_a_url_s_query_case_untouched(
    landing_site: str | None, expected: str | None
) -> None:
    assert click.fbclid(landing_site) == expected


NOON_MS = NOW_MS - 2 * 3_600_000
"""When the order's own click was first seen."""


def cookies(*values: str) -> list[click.Cookie]:
    found = [click.cookie(value) for value in values]
    assert None not in found
    return [each for each in found if each is not None]


def fbc_of(click_id: str | None, *values: str) -> str | None:
    return click.chosen(cookies(*values), click_id, NOON_MS, NOW_MS)


def at(days: float, click_id: str = FBCLID) -> str:
    """A cookie of some days before the order."""
    return click.built(click_id, NOON_MS - round(days * click.DAY_MS))


def test_the_newest_valid_click_wins() -> None:
    built = click.built(FBCLID, NOON_MS)
    assert fbc_of(FBCLID) == built
    assert fbc_of(FBCLID, at(30, OTHER)) == built
    assert fbc_of(FBCLID, at(100, OTHER)) == built
    assert fbc_of(FBCLID, at(0.01, OTHER)) == at(0.01, OTHER)
    assert fbc_of(None, at(30, OTHER), at(3)) == at(3)
    assert fbc_of(None, at(3), at(30, OTHER)) == at(3)
    assert fbc_of(None, at(100)) is None
    assert fbc_of(None) is None


def test_a_cookie_of_the_same_click_is_sent_as_it_is_with_its_own_time_and_appendix() -> None:
    assert fbc_of(FBCLID, at(3)) == at(3)
    assert fbc_of(FBCLID, at(3) + ".AQIBAQAB") == at(3) + ".AQIBAQAB"
    assert fbc_of(FBCLID, at(100)) is None, "it was clicked too long ago"


@pytest.mark.parametrize(
    "damaged",
    [
        at(3).lower(),
        at(3).upper(),
        at(3)[:-5],
        at(3)[:-5].lower(),
        at(3, FBCLID.swapcase()),
    ],
)
def test_a_cookie_damaged_in_case_or_cut_is_mended_from_the_url_s_click(damaged: str) -> None:
    assert fbc_of(FBCLID, damaged) == at(3)


def test_half_of_a_short_click_id_is_enough_to_know_it_by() -> None:
    assert fbc_of("IwARnewClick", at(3, "iwarnew")) == at(3, "IwARnewClick")


def test_a_url_that_was_cut_damages_no_cookie() -> None:
    assert fbc_of(FBCLID[:-5], at(3)) == at(3)


@pytest.mark.parametrize("days", [3, 0.01, -0.01])
def test_a_stub_of_a_click_id_gives_way_to_the_whole_one_of_the_url(days: float) -> None:
    assert fbc_of(FBCLID, at(days, FBCLID[:5])) == click.built(FBCLID, NOON_MS)
    assert fbc_of(FBCLID, at(days, FBCLID[:5].lower())) == click.built(FBCLID, NOON_MS)


def test_a_short_click_id_is_sent_where_no_url_has_a_longer_one() -> None:
    """Meta's own examples and its parameter builder have ids of three letters and fewer."""
    assert fbc_of(None, at(3, "abc")) == at(3, "abc")
    assert fbc_of(FBCLID, at(0.01, "abc")) == at(0.01, "abc"), "a later click of another kind"


def test_a_cookie_of_the_future_hides_no_click() -> None:
    assert fbc_of(FBCLID, at(-30, OTHER)) == click.built(FBCLID, NOON_MS)


def test_a_click_id_is_found_in_the_landing_page_the_referrer_or_a_cart_attribute() -> None:
    landing, referring = f"/?fbclid={FBCLID}", f"https://l.facebook.com/?fbclid={OTHER}"
    assert click.click_id((landing, referring), ()) == FBCLID
    assert click.click_id(("/", referring), ()) == OTHER
    assert click.click_id((None, None), (None, FBCLID)) == FBCLID
    assert click.click_id((None, None), (f"https://shop.example/?fbclid={FBCLID}",)) == FBCLID
    assert click.click_id(("/", "https://l.facebook.com/"), ("yes", at(3))) is None
    assert click.click_id((None,), ("IwARab1",)) == "IwARab1"
    assert click.click_id((None,), ("undefined", "NULL", "a b c d e f")) is None
    assert click.click_id((None,), (), ("IwARab1", FBCLID)) == FBCLID


@given(st.text(max_size=80))
def test_nothing_that_a_visitor_writes_raises(text: str) -> None:
    click.fbclid("/?fbclid=" + text)
    click.fbc(text, NOW_MS)
    click.fbp(text)
    found = click.cookie(text)
    click.chosen([] if found is None else [found], click.click_id((text,), (text,)), 0, NOW_MS)
