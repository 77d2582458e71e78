"""GraphQL documents are whole, plain queries, and leave out what a token may not read."""

from importlib.resources import files

import pytest

from ingest.shopify.admin import documents
from ingest.shopify.admin.documents import CUSTOMERS, PERSONAL, PRODUCTS, document

NAMES = sorted(
    file.name.removesuffix(".graphql")
    for file in files(documents).iterdir()
    if file.name.endswith(".graphql") and file.name != "fields.graphql"
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("without", [frozenset[str](), frozenset({PRODUCTS, CUSTOMERS, PERSONAL})])
def test_every_document_is_plain_and_its_braces_close(name: str, without: frozenset[str]) -> None:
    text = document(name, without)
    assert "..." not in text
    assert "#" not in text
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    ("scope", "field"),
    [(PRODUCTS, "variant {"), (CUSTOMERS, "customer {"), (PERSONAL, "billingAddress")],
)
def test_what_a_token_may_not_read_is_left_out(scope: str, field: str) -> None:
    assert field in document("order_event")
    assert field not in document("order_event", frozenset({scope}))


def test_every_list_says_whether_it_was_cut_short() -> None:
    """A connection without `pageInfo` would lose what is behind its first page in silence."""
    for name in ("order_event", "order", "order_lines"):
        lines = document(name).partition("lineItems(")[2]
        assert "hasNextPage" in lines
    assert "hasNextPage" in document("refund_event").partition("refundLineItems(")[2]
