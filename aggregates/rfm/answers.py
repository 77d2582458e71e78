"""The API paths answered from customers; `query/endpoints/customers.py` answers them from cells in
memory."""

from typing import Final

from aggregates.paging import PAGING
from aggregates.parameters import CURSOR, choice, text, whole
from aggregates.question import Answer
from aggregates.rfm.answer.customer_rows import SORTS
from aggregates.rfm.answer.customers import LIMIT, MOST
from aggregates.rfm.answer.moves import Moves
from aggregates.rfm.answer.schema import RfmCustomer, RfmCustomers, RfmOverview
from aggregates.rfm.answer.segments import SEGMENTS

ANSWERS: Final = (
    Answer(
        "/v1/rfm",
        "Customers by recency, frequency and monetary; churn; lifetime value",
        None,
        schema=RfmOverview,
    ),
    Answer(
        "/v1/rfm/customers",
        "Customers with an order in the window, by segment, a page at a time; CSV of all pages"
        " with `Accept: text/csv`",
        None,
        parameters=(
            choice("segment", "only customers of this segment", SEGMENTS),
            whole("r", "only customers with this recency score; with `fm`", 1, 5),
            whole("fm", "only customers with this score of frequency and money; with `r`", 1, 5),
            choice("sort", "best first by this", SORTS, "recency"),
            whole("limit", "items on a page", 1, MOST, LIMIT),
            CURSOR,
            choice(
                "format",
                "`csv`: all pages with all columns; `meta`: hashed ids in the layout of Meta's"
                " customer lists",
                ("json", "csv", "meta"),
            ),
        ),
        schema=RfmCustomers,
        media_types=("application/json", "text/csv"),
    ),
    Answer(
        "/v1/rfm/customers/{id}",
        "One customer's scores, segment and predicted value",
        None,
        parameters=(
            text(
                "id",
                "Shopify's customer id, or `g:` and a hash for a guest",
                longest=64,
                where="path",
            ),
        ),
        schema=RfmCustomer,
    ),
    Answer(
        "/v1/rfm/moves",
        "Which segment customers were in some days ago, and which they are in today",
        None,
        parameters=(whole("days", "how many days ago", 1, 90, 7), *PAGING),
        schema=Moves,
    ),
)
