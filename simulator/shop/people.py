"""Fictional customers: real places, invented names, mail at example domains (RFC 2606), and
phone numbers reserved for fiction (NANPA's 555-01xx, Ofcom's, ACMA's, Arcep's and
Bundesnetzagentur's)."""

from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

# fmt: off
FIRST_NAMES = (
    "Mary", "James", "Ana", "José", "Léa", "Hugo", "Jürgen", "Zoë", "Renée", "Søren",
    "Yuki", "Haruto", "Olivia", "Liam", "Noah", "Emma", "Chloé", "Mateo", "Ingrid", "Priya",
    "Wei", "Fatima", "Omar", "Siobhán", "Anaïs", "Björn", "Łucja", "Aarav", "Grace", "Henry",
)
LAST_NAMES = (
    "Smith", "García", "Müller", "Martin", "O'Brien", "Nguyen", "Tanaka", "Rossi", "Dubois",
    "Petit", "Schröder", "Weiß", "Jones", "Brown", "Taylor", "Wilson", "Lefèvre", "Moreau",
    "Suzuki", "Kowalski", "Ivanova", "Andersson", "Haddad", "Patel", "Chen", "López", "Fischer",
    "Bernard", "Walker", "Ålund",
)
# fmt: on
STREETS = (
    "Maple Street",
    "Station Road",
    "Rue des Lilas",
    "Lindenstraße",
    "High Street",
    "Avenue Victor",
    "King Street",
    "Elm Lane",
)


class Country(NamedTuple):
    code: str
    name: str
    weight: int
    places: tuple[tuple[str, str, str | None, str], ...]
    """(city, province, province code, zip)."""
    phone: str
    """A format for the digits; national or international, as buyers type them."""
    phone_range: range


COUNTRIES = (
    Country(
        "US",
        "United States",
        46,
        (
            ("Austin", "Texas", "TX", "78701"),
            ("St. Louis", "Missouri", "MO", "63101-1234"),
            ("San Francisco", "California", "CA", "94103"),
            ("New York", "New York", "NY", "10001"),
            ("Denver", "Colorado", "CO", "80202"),
        ),
        "({area}) 555-{n:04d}",
        range(100, 200),
    ),
    Country(
        "CA",
        "Canada",
        10,
        (("Montréal", "Quebec", "QC", "H2X 1Y4"), ("Toronto", "Ontario", "ON", "M5V 2T6")),
        "+1 {area}-555-{n:04d}",
        range(100, 200),
    ),
    Country(
        "GB",
        "United Kingdom",
        14,
        (("London", "England", "ENG", "SW1A 1AA"), ("Edinburgh", "Scotland", "SCT", "EH1 1YZ")),
        "020 7946 {n:04d}",
        range(1000),
    ),
    Country(
        "FR",
        "France",
        12,
        (
            ("Paris", "", None, "75011"),
            ("Saint-Étienne", "", None, "42000"),
            ("Lyon", "", None, "69003"),
        ),
        "01 99 00 {n:04d}",
        range(10_000),
    ),
    Country(
        "DE",
        "Germany",
        10,
        (
            ("Berlin", "", None, "10115"),
            ("München", "", None, "80331"),
            ("Köln", "", None, "50667"),
        ),
        "+49 30 23125 {n:03d}",
        range(1000),
    ),
    Country(
        "AU",
        "Australia",
        8,
        (("Sydney", "New South Wales", "NSW", "2000"), ("Melbourne", "Victoria", "VIC", "3000")),
        "0491 570 {n:03d}",
        range(156, 160),
    ),
)
_WEIGHTS = [country.weight for country in COUNTRIES]
_AREAS = {"US": ("512", "415", "212", "303"), "CA": ("514", "416")}
AGENTS = (
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Version/19.1 Mobile/15E148"
    ),
    (
        "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/143.0.0.0 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/143.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/143.0.0.0 Safari/537.36"
    ),
)


class Person(NamedTuple):
    """A customer: a pure function of (seed, number), so that a shop of any size needs no memory."""

    number: int
    customer_id: int
    first_name: str
    last_name: str
    email: str
    phone: str | None
    address: dict[str, Any]
    """Shopify's address object."""
    ip: str
    user_agent: str


@lru_cache(maxsize=4096)
def person(seed: int, number: int) -> Person:
    """The `number`-th customer of the shop that `seed` makes."""
    random = Random((seed << 40) ^ (number * 0x9E3779B97F4A7C15))
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    (country,) = random.choices(COUNTRIES, _WEIGHTS)
    city, province, province_code, code = random.choice(country.places)
    phone = None
    if random.random() < 0.65:
        phone = country.phone.format(
            n=random.choice(country.phone_range),
            area=random.choice(_AREAS.get(country.code, ("",))),
        )
    address = {
        "first_name": first,
        "address1": f"{random.randrange(1, 200)} {random.choice(STREETS)}",
        "phone": phone,
        "city": city,
        "zip": code,
        "province": province or None,
        "country": country.name,
        "last_name": last,
        "address2": None,
        "company": None,
        "latitude": None,
        "longitude": None,
        "name": f"{first} {last}",
        "country_code": country.code,
        "province_code": province_code,
    }
    low = random.randrange(1 << 16)
    # Documentation ranges: 2001:db8::/32 (RFC 3849) and 203.0.113.0/24 (RFC 5737).
    ip = (
        f"2001:db8:{low:x}::{number & 0xFFFF:x}"
        if random.random() < 0.4
        else f"203.0.113.{low % 254 + 1}"
    )
    return Person(
        number,
        7_000_000_000_000 + (seed % 1000) * 1_000_000_000 + number,
        first,
        last,
        f"customer.{number}@example.{random.choice(('com', 'org', 'net'))}",
        phone,
        address,
        ip,
        random.choice(AGENTS),
    )


class Habit(NamedTuple):
    """A customer's parameters."""

    per_day: float
    leaves: float
    """Chance to leave for good after an order."""
    units: float
    """Mean units in an order."""


@lru_cache(maxsize=4096)
def habit(seed: int, number: int) -> Habit:
    """BG/NBD parameters of the `number`-th customer: rate gamma(0.6) with mean 1 in 60 days,
    dropout beta(0.8, 3.2)."""
    random = Random((seed << 41) ^ (number * 0xD1B54A32D192ED03))
    return Habit(
        random.gammavariate(0.6, 1 / 36),
        random.betavariate(0.8, 3.2),
        1 + random.gammavariate(1.2, 0.9),
    )
