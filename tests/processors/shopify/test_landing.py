"""What is kept of a landing site says as much as the whole."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregates.budget.fold.attribution import attribute
from processors.shopify.landing import CLICK_IDS, parameters, readable, reduced

NAMES = st.sampled_from(
    [*CLICK_IDS, "utm_id", "utm_campaign", "utm_source", "utm_medium", "gad_source", "other"]
)
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["fb", "{{campaign.id}}", "a%20b", "null", "IwAR0someone", "__CLICKID_URL__"]),
    st.sampled_from(["Sale?fbclid=IwAR0someone", "gclid=Cj0KCQjwsomebody", "x clid=IwAR0someone"]),
)
PAGES = st.one_of(
    st.sampled_from(
        ["/", "/products/hat", "https://shop.example/", "shop.example", "-", "foo bar"]
    ),
    st.just("/wallets/checkouts.json"),
    st.text(max_size=20),
)


@st.composite
def landing_sites(draw: st.DrawFn) -> str:
    pairs = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return draw(PAGES) + (f"?{query}" if pairs else "")


@given(landing_sites())
def test_the_reduced_landing_site_is_attributed_as_the_whole(landing_site: str) -> None:
    assert attribute(reduced(landing_site)) == attribute(landing_site)


@given(landing_sites())
@example("/?utm_id=0+\x1b 0")
def test_reducing_twice_is_reducing_once(landing_site: str) -> None:
    once = reduced(landing_site)
    assert reduced(once) == once
    assert once.isprintable()


@given(st.text(st.characters(max_codepoint=126), max_size=60))
def test_a_page_that_no_url_parser_takes_is_not_readable(page: str) -> None:
    try:
        urlsplit(page)
    except ValueError:
        assert not readable(page)


@pytest.mark.parametrize("name", sorted(CLICK_IDS))
def test_of_a_click_only_its_kind_is_kept(name: str) -> None:
    kept = reduced(f"/products/hat?{name}=IwAR0someone&utm_source=fb")
    assert "IwAR0someone" not in kept
    assert parameters(kept) == {name: "1", "utm_source": "fb"}


def test_a_label_that_reads_like_a_click_id_is_kept_whole() -> None:
    label = "myfbclid=IwAR0someone"
    assert parameters(reduced(f"/?utm_campaign={label}&fbclid=IwAR0else12345")) == {
        "utm_campaign": label,
        "fbclid": "1",
    }
