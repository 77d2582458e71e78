"""What the simulated shop sells, and the campaigns that bring buyers to it."""

from random import Random
from typing import NamedTuple

from stream.money import digits


class Product(NamedTuple):
    product_id: int
    variant_id: int
    title: str
    sku: str
    price: int
    """Minor units of the shop's currency."""
    grams: int


class Campaign(NamedTuple):
    campaign_id: str
    name: str
    channel: str
    share: float
    """Of all visits."""
    roas: float
    """Revenue per unit of spend that its days average to."""


CAMPAIGNS = (
    Campaign("1200001", "Summer", "meta", 0.16, 2.6),
    Campaign("1200002", "Retargeting", "meta", 0.09, 4.1),
    Campaign("1200003", "Lookalike 2%", "meta", 0.07, 0.8),
    Campaign("3400001", "Brand search", "google", 0.11, 5.2),
    Campaign("5600001", "Creators", "tiktok", 0.05, 1.4),
)
_NAMES = (
    "Linen shirt|Canvas tote|Wool socks|Desk lamp|Ceramic mug|Rain jacket|Trail "
    "shoes|Notebook|Throw blanket|Water bottle|Cap|Belt"
)
_BASES = (49.0, 24.9, 12.5, 79.0, 18.0, 139.0, 119.0, 9.9, 64.5, 29.0, 22.0, 35.0)


def products(currency: str) -> tuple[Product, ...]:
    """Twelve products, priced in minor units: for a currency without digits a hundred of its units
    stand for one dollar."""
    places = digits(currency)
    scale = 100 if places == 0 else 10**places
    return tuple(
        Product(
            8_100_000_000_000 + n,
            44_200_000_000_000 + n,
            name,
            f"OW-{n:03d}",
            round(base * scale),
            150 + 50 * n,
        )
        for n, (name, base) in enumerate(zip(_NAMES.split("|"), _BASES, strict=True), 1)
    )


class Arrival(NamedTuple):
    """How a visit came to the shop."""

    campaign: Campaign | None
    landing_site: str | None
    referring_site: str | None
    fbc: str | None
    fbp: str | None


def click_id(random: Random) -> str:
    """A click id as Meta writes them: case matters, `-` and `_` occur."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "IwAR" + "".join(random.choices(alphabet, k=48))


def arrival(random: Random, at_ms: int) -> Arrival:
    """A visit's origin: the campaigns by their shares, then organic search, direct, wallet paths,
    and none readable.

    `at_ms`, Unix milliseconds, is when it came; `_fbc` and `_fbp` are what a theme's script would
    copy from the cookies.
    """
    drawn = random.random()
    fbp = (
        f"fb.1.{at_ms - random.randrange(20 * 86_400_000)}.{random.randrange(10**9, 10**10)}"
        if random.random() < 0.7
        else None
    )
    for campaign in CAMPAIGNS:
        if drawn < campaign.share:
            name = campaign.name.replace(" ", "+").replace("%", "%25")
            query = f"utm_source={campaign.channel}&utm_medium=cpc&utm_campaign={name}"
            if random.random() < 0.6:
                query += f"&utm_id={campaign.campaign_id}"
            fbc = None
            if campaign.channel == "meta" and random.random() < 0.85:
                fbclid = click_id(random)
                query += f"&fbclid={fbclid}"
                if fbp is not None and random.random() < 0.8:
                    fbc = f"fb.1.{at_ms}.{fbclid}"
            elif campaign.channel == "google":
                query += f"&gclid={click_id(random)[4:]}"
            return Arrival(
                campaign,
                f"/products/{random.randrange(1, 13)}?{query}",
                f"https://{campaign.channel}.example/",
                fbc,
                fbp,
            )
        drawn -= campaign.share
    if drawn < 0.04:  # a click whose campaign nobody named
        fbclid = click_id(random)
        return Arrival(
            None,
            f"/?fbclid={fbclid}",
            "https://meta.example/",
            f"fb.1.{at_ms}.{fbclid}" if fbp else None,
            fbp,
        )
    if drawn < 0.07:
        return Arrival(None, "/wallets/checkouts.json", None, None, fbp)
    if drawn < 0.10:
        return Arrival(None, None, None, None, fbp)
    if drawn < 0.25:
        return Arrival(None, "/collections/all", "https://search.example/", None, fbp)
    return Arrival(None, "/", None, None, fbp)
