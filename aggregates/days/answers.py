"""The API paths answered from days and cohorts."""

from datetime import date
from typing import Final

from aggregates.days.answer.cohorts import cohorts
from aggregates.days.answer.days import METRICS, days
from aggregates.days.answer.schema import Cohorts, Days
from aggregates.days.fold.cells import CAMPAIGN, CHANNEL, COUNTRY
from aggregates.paging import PAGING
from aggregates.parameters import Parameter, choice
from aggregates.question import Answer
from stream.times import EPOCH


def _day(name: str, about: str) -> Parameter:
    def read(text: str) -> int:
        try:
            found = date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{name} is no day") from None
        if len(text) != 10:
            raise ValueError(f"{name} is no day")
        return (found - EPOCH).days

    schema = {"type": "string", "format": "date", "description": "a day as 2026-11-26"}
    return Parameter(name, about, schema, read)


def _metrics() -> Parameter:
    def read(text: str) -> tuple[str, ...]:
        asked = tuple(part.strip() for part in text.split(",") if part.strip())
        if not asked or set(asked) - set(METRICS):
            raise ValueError("metrics is no list of the names allowed")
        return asked

    allowed = f"names with commas between: {', '.join(METRICS)}"
    return Parameter(
        "metrics",
        "only these members of each day",
        {"type": "string", "minLength": 1, "description": allowed},
        read,
    )


ANSWERS: Final[tuple[Answer, ...]] = (
    Answer(
        "/v1/days",
        "Shop-days: orders, revenue, new customers, carts and spend; by channel, country, campaign",
        days,
        parameters=(
            _day("from", "the first day; 29 days before `to` where not given"),
            _day("to", "the last day; today where not given"),
            _metrics(),
            choice("by", "split each day by this", (CHANNEL, COUNTRY, CAMPAIGN)),
            *PAGING,
        ),
        schema=Days,
    ),
    Answer(
        "/v1/rfm/cohorts",
        "Customers by the month of their first order: retention, revenue, and what they cost",
        cohorts,
        parameters=(
            choice(
                "by", "split each cohort by where the first order came from", (CHANNEL, CAMPAIGN)
            ),
            *PAGING,
        ),
        schema=Cohorts,
    ),
)
