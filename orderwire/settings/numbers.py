"""AD_*, ORDERWIRE_LTV_* and ORDERWIRE_CHURN_*: a merchant's decisions about ads and customer value.
Defaults are from docs/facts/analytics.md."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

POSITIVE = "a positive number"
FRACTION = "a fraction of revenue, for example 0.4"


def parse_rates(text: str) -> dict[str, Decimal]:
    """`USD=0.92,GBP=1.17`: how much one of each is in the shop's currency. Raises ValueError."""
    # It brings babel, and processes that convert no money do without.
    from stream.money import is_known

    found: dict[str, Decimal] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        code, _, rate = part.partition("=")
        code = code.strip().upper()
        try:
            value = Decimal(rate.strip())
        except ArithmeticError:
            value = Decimal(0)
        if not is_known(code) or not value.is_finite() or value <= 0:
            raise ValueError(f"{part!r} is no rate: write it as USD=0.92")
        found[code] = value
    return found


def _rates_text(value: object) -> object:
    if isinstance(value, Mapping):  # a table of orderwire.toml
        return ",".join(f"{code}={rate}" for code, rate in value.items())
    return value


def _good_rates(text: str) -> str:
    parse_rates(text)
    return text


class AdNumbers(BaseModel):
    """Amounts are per day, in the shop's currency. A field's description says what to write."""

    model_config = ConfigDict(frozen=True)

    bankroll: Decimal | None = Field(None, gt=0, description=POSITIVE)
    margin: float | None = Field(None, gt=0, le=1, description=FRACTION)
    """Contribution margin."""
    seed: Decimal | None = Field(None, gt=0, description=POSITIVE)
    """Where a campaign without a budget starts; a hundredth of the bankroll where not set."""
    max_change: float = Field(
        0.3, gt=0, le=1, description="a fraction of today's budget, for example 0.3"
    )
    returns_days: int = Field(30, ge=7, le=366, description="a whole number of days from 7 to 366")
    immature_days: int = Field(3, ge=0, le=30, description="a whole number of days from 0 to 30")
    kelly: float = Field(
        0.5, gt=0, lt=1, description="a fraction below 1, for example 0.5: half of Kelly's"
    )
    prior_days: float = Field(10, ge=0, le=366, description="a number of days from 0 to 366")
    """kappa: for how many days the account's own win rate counts in a campaign's."""
    prior_sd: float = Field(0.2, gt=0, le=5, description="a positive number, for example 0.2")
    """tau: how far campaigns' true mean daily returns lie apart."""
    horizon_days: int = Field(30, ge=1, le=366, description="a whole number of days from 1 to 366")
    """The bankroll of so many days is what risk is measured against."""
    cut_probability: float = Field(
        0.75, ge=0.5, lt=1, description="a probability from 0.5 up to below 1, for example 0.75"
    )
    """P(mean return < 0) from which a campaign's budget is cut."""
    rates: Annotated[str, BeforeValidator(_rates_text), AfterValidator(_good_rates)] = Field(
        "", description="rates such as USD=0.92,GBP=1.17"
    )
    """What one unit of an ad account's currency is in the shop's; spend in any other currency
    stays as it is, and out of the totals."""

    @property
    def conversion(self) -> dict[str, Decimal]:
        """`rates` by currency."""
        return parse_rates(self.rates)


class CustomerNumbers(BaseModel):
    """Also in a shop's table, for that shop."""

    model_config = ConfigDict(frozen=True)

    churn_after_days: int = Field(
        180, ge=1, le=3650, description="a whole number of days from 1 to 3650"
    )
    ltv_horizon_days: int = Field(
        365, ge=1, le=3650, description="a whole number of days from 1 to 3650"
    )
    ltv_margin: float = Field(1.0, gt=0, le=1, description=FRACTION)
    """What part of predicted revenue is counted as value; 1 is revenue itself."""
    ltv_min_repeaters: int = Field(500, ge=1, description="a whole number of customers")
    """Customers who ordered again, below which nothing is predicted."""
