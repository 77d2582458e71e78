"""The API paths answered from carts."""

from typing import Final

from aggregates.bad_parameter import BadParameter
from aggregates.carts.answer.histogram import BANDS, CUSTOMERS
from aggregates.carts.answer.open_carts import LIMIT, MOST, OPEN_STATES, open_carts
from aggregates.carts.answer.overview import carts
from aggregates.carts.answer.schema import CartsOverview, OpenCartPage
from aggregates.parameters import CURSOR, choice, whole
from aggregates.question import Answer, Question


def _open_carts(question: Question) -> OpenCartPage:
    values = dict(question.values)
    try:
        return open_carts(
            question.reading,
            question.shop,
            question.now_ms,
            settings=question.settings.carts,
            **values,
        )
    except ValueError as error:
        raise BadParameter(
            "cursor", str(error), "the next_cursor of the page before, or none"
        ) from None


ANSWERS: Final = (
    Answer(
        "/v1/carts",
        "Abandoned carts: states, rates by matured cohort, and what open carts are still worth",
        lambda question: carts(
            question.reading, question.shop, question.now_ms, question.settings.carts
        ),
        schema=CartsOverview,
    ),
    Answer(
        "/v1/carts/open",
        "Open carts by expected recoverable value, with recovery URL",
        _open_carts,
        parameters=(
            choice("state", "only carts in this state", OPEN_STATES),
            choice("value_band", "only carts of this third of values", BANDS),
            choice("customer", "only carts of new or of returning customers", CUSTOMERS),
            whole("limit", "items on a page", 1, MOST, LIMIT),
            CURSOR,
        ),
        schema=OpenCartPage,
    ),
)
