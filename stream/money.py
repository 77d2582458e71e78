"""Money is an integer of the currency's minor units beside its ISO 4217 code.

The number of digits is the currency's own (ISO 4217): 2 for USD, 0 for JPY, 3 for KWD. Not CLDR's (babel's), which says how amounts are
commonly shown, and so drops the cents of RSD, ALL, LBP and twenty others that invoices and Shopify's own library have (Shopify/money:
config/currency_iso.json). Shopify sends decimal strings (sometimes JSON numbers) that may carry more digits than the currency has
("1200.00" JPY); they are rounded half to even.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, TypedDict

from babel.numbers import is_currency

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
"""Minor units where they are not 2 (ISO 4217, list one)."""

MOST_DIGITS = 15
"""Before the point. Sums of such amounts still are 64-bit integers."""


class MoneyJson(TypedDict):
    """Shopify's shape of money."""

    amount: str
    currency_code: str


@lru_cache(maxsize=512)
def digits(currency: str) -> int:
    """Digits after the point in amounts of `currency` (ISO 4217 code). Raises ValueError for a code that no currency has."""
    if not is_currency(currency):
        raise ValueError(f"{currency[:3]!r} is not an ISO 4217 currency code")
    return DIGITS.get(currency, 2)


@lru_cache(maxsize=512)
def _scale(currency: str) -> tuple[int, Decimal]:
    places = digits(currency)
    return places, Decimal(10) ** places


def minor(amount: str | int | float | Decimal, currency: str) -> int:
    """`amount` in minor units of `currency`: ("35.11", "USD") -> 3511. Raises ValueError for what is not a finite number."""
    places, scale = _scale(currency)
    if isinstance(amount, str):
        # The form in which nearly every amount arrives: digits, few enough, a point, exactly as many digits as the currency has.
        whole, point, fraction = amount.partition(".")
        if (
            point
            and len(fraction) == places
            and len(whole) <= MOST_DIGITS
            and whole.isascii()
            and fraction.isascii()
            and (whole + fraction).isdigit()
        ):
            return int(whole + fraction)
    try:
        value = Decimal(str(amount).strip())
    except InvalidOperation:
        raise ValueError("an amount of money is not a number") from None
    if not value.is_finite() or abs(value) >= 10**MOST_DIGITS:
        raise ValueError(f"an amount of money is not a finite number below 1e{MOST_DIGITS}")
    return int((value * scale).to_integral_value(ROUND_HALF_EVEN))


def amount(units: int, currency: str) -> str:
    """Decimal string of `units` minor units, with the currency's own number of digits: (3511, "USD") -> "35.11"."""
    places = digits(currency)
    if places == 0:
        return str(units)
    sign, absolute = ("-" if units < 0 else ""), abs(units)
    return f"{sign}{absolute // 10**places}.{absolute % 10**places:0{places}d}"


def money(units: int | float, currency: str) -> MoneyJson:
    """Shopify's shape of money; a float (a mean, an expectation) is rounded to whole minor units."""
    return {"amount": amount(round(units), currency), "currency_code": currency}
