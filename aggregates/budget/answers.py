"""The API path answered from campaign-days."""

from typing import Final

from aggregates.budget.answer.overview import budget
from aggregates.budget.answer.schema import Budget
from aggregates.parameters import whole
from aggregates.question import Answer, Question


def _budget(question: Question) -> Budget:
    return budget(
        question.reading,
        question.shop,
        question.today,
        question.settings.budget,
        question.values["days"],
    )


ANSWERS: Final = (
    Answer(
        "/v1/budget",
        "Ad campaigns: cost, earnings, Kelly fraction, and the daily budget each should get",
        _budget,
        parameters=(
            whole(
                "days",
                "days of money and orders to show; returns and advice keep to the setting, which"
                " is the default",
                7,
                366,
            ),
        ),
        schema=Budget,
    ),
)
