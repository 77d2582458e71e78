"""Money is an integer of the currency's minor units beside the currency's code.

Digits follow ISO 4217 (2 for USD, 0 for JPY, 3 for KWD) plus three codes that only Shopify has.
Amounts with more digits are rounded half to even.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Final, NamedTuple, TypedDict

from babel.numbers import is_currency
from msgspec import Meta

_NO_DIGITS: Final = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
    *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
)
_THREE_DIGITS: Final = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
DIGITS: Final = {
    **dict.fromkeys(_NO_DIGITS, 0),
    **dict.fromkeys(_THREE_DIGITS, 3),
    "CLF": 4,
    "UYW": 4,
}
"""Minor units where they are not 2 (ISO 4217, list one).

Not CLDR's digits (babel's `get_currency_precision`): those say how amounts are commonly shown, and
drop the cents of RSD, ALL, LBP and twenty others, which invoices have (Shopify/money:
`config/currency_iso.json`).
"""
SHOPIFY_ONLY: Final = frozenset({"JEP", "KID", "USDC"})
"""Jersey pound, Kiribati dollar and USD Coin, each with 2 digits: in Shopify's `CurrencyCode`, but
not in ISO 4217 (shopify.dev: admin-graphql, CurrencyCode; Shopify/money: `config/
currency_non_iso.json`)."""

MOST_DIGITS = 15
"""Before the point, of an amount that can be read."""
MOST_UNITS: Final = 10**14
"""Minor units that one amount may count. 92,000 such amounts are a 64-bit integer, so sums stay
whole numbers; in the weakest currencies it is still a million dollars."""


class TooLarge(ValueError):
    """A number, and more of it than an amount may have."""


class Money(NamedTuple):
    """Minor units of `currency` (ISO 4217)."""

    units: int
    currency: str


class MoneyJson(TypedDict):
    """An amount of money, in Shopify's shape."""

    amount: Annotated[
        str,
        Meta(
            description="A decimal number with the currency's own number of digits.",
            examples=["35.11"],
        ),
    ]
    currency_code: Annotated[str, Meta(description="ISO 4217 code.", examples=["USD"])]


def is_iso_4217(currency: str) -> bool:
    """Whether ISO 4217 has the code (in capitals)."""
    # Senders write this text: what is no code by its length is not remembered.
    return len(currency) == 3 and _is_listed(currency)


@lru_cache(maxsize=512)
def _is_listed(currency: str) -> bool:
    return is_currency(currency)


def is_known(currency: str) -> bool:
    """Whether amounts of the currency (code in capitals) can be counted."""
    return currency in SHOPIFY_ONLY or is_iso_4217(currency)


@lru_cache(maxsize=512)
def digits(currency: str) -> int:
    """Digits after the point in amounts of `currency`. Raises ValueError for an unknown code."""
    if not is_known(currency):
        raise ValueError(f"{currency[:4]!r} is no currency code of ISO 4217 or Shopify's")
    return DIGITS.get(currency, 2)


@lru_cache(maxsize=512)
def _scale(currency: str) -> tuple[int, Decimal]:
    places = digits(currency)
    return places, Decimal(10) ** places


def minor(amount: str | int | float | Decimal, currency: str) -> int:
    """`amount` in minor units of `currency`: ("35.11", "USD") -> 3511.

    Raises ValueError for what is not a finite number, and for an unknown currency.
    """
    if isinstance(amount, str) and len(amount) <= LONGEST_REMEMBERED:
        return _remembered(amount, currency)
    return _minor(amount, currency)


LONGEST_REMEMBERED = 12
"""Characters of an amount: longer ones are read each time."""


# Of an order each amount is read several times, and prices are those of many orders.
@lru_cache(maxsize=4_096)
def _remembered(amount: str, currency: str) -> int:
    return _minor(amount, currency)


def _minor(amount: str | int | float | Decimal, currency: str) -> int:
    places, scale = _scale(currency)
    if isinstance(amount, str):
        # The form in which nearly every amount arrives: digits, few enough, a point, and exactly
        # as many digits as the currency has.
        whole, point, fraction = amount.partition(".")
        if point and len(fraction) == places and len(whole) <= MOST_DIGITS and amount.isascii():
            written = whole + fraction
            if written.isdigit():
                return int(written)
    try:
        value = Decimal(str(amount).strip())
    except InvalidOperation:
        raise ValueError("an amount of money is not a number") from None
    if not value.is_finite():
        raise ValueError("an amount of money is not a finite number")
    if abs(value) >= 10**MOST_DIGITS:
        raise TooLarge(f"an amount of money is not below 1e{MOST_DIGITS}")
    return int((value * scale).to_integral_value(ROUND_HALF_EVEN))


def amount(units: int, currency: str) -> str:
    """`units` minor units with the currency's own number of digits: (3511, "USD") -> "35.11"."""
    places = digits(currency)
    if places == 0:
        return str(units)
    sign, absolute = ("-" if units < 0 else ""), abs(units)
    return f"{sign}{absolute // 10**places}.{absolute % 10**places:0{places}d}"


def money(units: int | float, currency: str) -> MoneyJson:
    """Shopify's shape of money; a float (a mean, an expectation) is rounded to minor units."""
    return {"amount": amount(round(units), currency), "currency_code": currency}
