"""Until a 401 a body is hashed as often for a shop that is not configured as for one that is."""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingest.receiver import body as reading
from ingest.shopify import webhooks
from tests.support.api.receiving import ORDER, SHOP, immediate_log, running

LARGE = ORDER.ljust(3 << 20)
OTHER, NOBODY = "other.myshopify.com", "nobody.myshopify.com"
"""Configured with one secret, where `SHOP` has two; not configured."""


class Hashed:
    """Bytes that were hashed, by either of the receiver's two ways."""

    def __init__(self) -> None:
        self.size = 0

    def digest(self, key: bytes, message: bytes, name: str) -> bytes:
        self.size += len(message)
        return hmac.digest(key, message, name)

    def sha256(self) -> "Hashed":
        self._sha256 = hashlib.sha256()
        return self

    def update(self, part: bytes) -> None:
        self.size += len(part)
        self._sha256.update(part)


@contextmanager
def counted() -> Iterator[Hashed]:
    """The work of the receivers in the block."""
    found = Hashed()

    class Counting:
        compare_digest = staticmethod(hmac.compare_digest)
        digest = staticmethod(found.digest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webhooks, "hmac", Counting)
        patch.setattr(reading, "sha256", found.sha256)
        yield found


@pytest.mark.parametrize("body", [ORDER, LARGE], ids=["small", "large"])
async def test_a_401_costs_the_same_for_any_shop(body: bytes) -> None:
    sizes: dict[str, int] = {}
    async with running(immediate_log()) as receiver:
        for shop in (SHOP, OTHER, NOBODY):
            with counted() as found:
                assert await receiver.deliver(body, secret=b"wrong", shop=shop) == 401
            sizes[shop] = found.size
    assert sizes == dict.fromkeys((SHOP, OTHER, NOBODY), 2 * len(body))
