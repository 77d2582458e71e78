"""Which campaign a landing site names."""

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.budget.answer.campaigns import label
from aggregates.budget.fold.attribution import DIRECT, UNATTRIBUTED, Attribution, attribute, channel

META_UNASSIGNED = Attribution("meta", "", "")


@pytest.mark.parametrize(
    ("landing_site", "expected"),
    [
        # A campaign by id, by name, by both.
        ("/?utm_id=1200001&utm_source=facebook", Attribution("meta", "1200001", "")),
        ("/?utm_campaign=Summer&utm_source=ig", Attribution("meta", "", "summer")),
        (
            "/products/hat?utm_source=google&utm_medium=cpc&utm_campaign=Brand&utm_id=77",
            Attribution("google", "77", "brand"),
        ),
        (
            "https://shop.example/a?b=c&utm_campaign=x&utm_source=tiktok#top",
            Attribution("tiktok", "", "x"),
        ),
        ("shop.example?utm_campaign=x", Attribution("", "", "x")),
        # Encoding, case, spaces, HTML.
        (
            "/?utm_campaign=Summer+Sale%21%20%20now&utm_source=FB",
            Attribution("meta", "", "summer sale! now"),
        ),
        ("/?UTM_Campaign=SUMMER&Utm_Source=Facebook", Attribution("meta", "", "summer")),
        ("/?a=1&amp;utm_campaign=s&amp;utm_source=meta", Attribution("meta", "", "s")),
        ("/?utm_campaign=%C3%89t%C3%A9&utm_source=fb", Attribution("meta", "", "été")),
        ("/?utm_campaign=%ff%fe&utm_source=fb", Attribution("meta", "", "\ufffd\ufffd")),
        ("/?utm_campaign=a%00b%09c&utm_source=fb", Attribution("meta", "", "ab c")),
        ("/?utm_campaign=100%&utm_source=fb", Attribution("meta", "", "100%")),
        ("/?utm_campaign=&utm_campaign=second&utm_source=fb", Attribution("meta", "", "second")),
        (
            "/?ref=x?utm_campaign=after-two-marks&utm_source=fb",
            Attribution("meta", "", "after-two-marks"),
        ),
        # Click ids.
        ("/?fbclid=IwAR0", META_UNASSIGNED),
        ("/?FBCLID=IwAR0", META_UNASSIGNED),
        ("/?gclid=abc", Attribution("google", "", "")),
        ("/?gad_source=1&gclid=abc&gad_campaignid=22", Attribution("google", "22", "")),
        ("/?ttclid=abc", Attribution("tiktok", "", "")),
        ("/?utm_campaign=x&fbclid=abc", Attribution("meta", "", "x")),
        (
            "/?utm_source=summer_ads&utm_medium=paid_social&utm_campaign=x&fbclid=abc",
            Attribution("meta", "", "x"),
        ),
        (
            "/?utm_source=newsletter&utm_medium=email&utm_campaign=x&fbclid=abc",
            Attribution("newsletter", "", "x"),
        ),
        # What platforms left unfilled says nothing.
        ("/?utm_source=fb&utm_campaign={{campaign.name}}&utm_id={{campaign.id}}", META_UNASSIGNED),
        ("/?utm_source=tiktok&utm_campaign=__CAMPAIGN_NAME__", Attribution("tiktok", "", "")),
        ("/?utm_source=(direct)&utm_campaign=(not set)", DIRECT),
        # Nothing asked: direct. Nothing readable: unattributed.
        ("/", DIRECT),
        ("/collections/all?page=2", DIRECT),
        ("https://shop.example/", DIRECT),
        (None, UNATTRIBUTED),
        ("", UNATTRIBUTED),
        ("   ", UNATTRIBUTED),
        ("example string", UNATTRIBUTED),
        ("null", UNATTRIBUTED),
        ("http://[::1", UNATTRIBUTED),
        ("/wallets/checkouts.json", UNATTRIBUTED),
        ("https://shop.example/wallets/checkouts", UNATTRIBUTED),
        ("//wallets/checkouts.json", UNATTRIBUTED),
        ("/wallets-of-leather", DIRECT),
        ("x" * 1_000_000, UNATTRIBUTED),
        ("/?utm_source=fb&utm_campaign=" + "y" * 1_000_000, Attribution("meta", "", "y" * 400)),
    ],
)
def test_a_landing_site_names(landing_site: str | None, expected: Attribution) -> None:
    assert attribute(landing_site) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        *(
            (name, "meta")
            for name in (
                "fb",
                "Facebook",
                "facebook_ads",
                "FacebookAds",
                "m.facebook.com",
                "instagram",
                "an",
                "Meta Ads",
            )
        ),
        *(
            (name, "google")
            for name in ("google", "Google Ads", "adwords", "youtube.com", "google-shopping")
        ),
        *((name, "x") for name in ("twitter", "t.co", "X")),
        ("TikTok_Paid", "tiktok"),
        ("Klaviyo", "klaviyo"),
        ("ads", "ads"),
        ("", ""),
    ],
)
def test_a_channel_has_one_name(source: str, expected: str) -> None:
    assert channel(source) == expected


@given(
    st.one_of(
        st.text(),
        st.text().map(lambda text: f"/?utm_campaign={text}&utm_source={text}&utm_id={text}"),
    )
)
def test_no_landing_site_breaks_it_and_what_it_says_fits_a_database(landing_site: str) -> None:
    found = attribute(landing_site)
    assert tuple(found.subject().split("\t")) == found
    assert all(part.isprintable() and len(part) <= 1200 for part in found)
    assert found.subject().encode()


@pytest.mark.parametrize("name", ["Black  Friday", " \tSPRING | Straße ", "İstanbul", "plain"])
def test_a_campaigns_name_and_its_links_have_the_same_label(name: str) -> None:
    assert label(name) == attribute(f"/?utm_campaign={quote_plus(name)}").campaign
