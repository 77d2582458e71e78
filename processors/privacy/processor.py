"""The processor of privacy requests: notes each once. `orderwire/serve/upkeep/redacting.py` carries
them out."""

import secrets
from collections.abc import Callable, Sequence

from processors.engine.processor import NO_TICKS
from processors.privacy.request import PrivacyRequest, decode_request
from processors.privacy.rows import ASKED, REDACTIONS, RedactionRow
from processors.privacy.rows import SHOP as SHOP_KIND
from processors.privacy.subject import Subject, encode
from stream.record import Entry
from stream.store.contract import Key, Transaction


class Privacy:
    """A `processors.engine.processor.Processor`."""

    name = "privacy"
    topic = "privacy"
    ticks = NO_TICKS

    def __init__(self, new_key: Callable[[], str] = lambda: secrets.token_hex(16)) -> None:
        self._new_key = new_key

    def decode(self, entry: Entry) -> PrivacyRequest | None:
        """Raises Rejected."""
        return decode_request(entry)

    def apply(
        self, transaction: Transaction, events: Sequence[PrivacyRequest], now_ms: int
    ) -> None:
        """Note the requests that are not noted yet."""
        note(transaction, events, self._new_key)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Time changes nothing here."""


def note(
    transaction: Transaction, requests: Sequence[PrivacyRequest], new_key: Callable[[], str]
) -> list[RedactionRow]:
    """The rows of the requests; creates those that are missing."""
    by_key: dict[Key, PrivacyRequest] = {(each.shop, each.id): each for each in requests}
    found = transaction.load(REDACTIONS, by_key)
    new = [_row(each, new_key()) for key, each in by_key.items() if key not in found]
    if new:
        transaction.save(REDACTIONS, new)
    return [*found.values(), *new]


def subject_of_request(request: PrivacyRequest, key: str) -> Subject:
    """Whom a request is about."""
    return Subject(
        key,
        request.customers,
        request.emails,
        request.phones,
        request.orders,
        everybody=request.kind == SHOP_KIND,
    )


def _row(request: PrivacyRequest, key: str) -> RedactionRow:
    subject = encode(subject_of_request(request, key))
    return RedactionRow(request.shop, request.id, request.kind, request.asked_ms, ASKED, subject)
