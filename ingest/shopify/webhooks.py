"""Verifies Shopify deliveries and identifies shop, id and place in the log. The shop is the one
whose secret signed the body, since no header is signed (docs/facts/shopify.md, "HMAC"). The body
says whether it is one of Shopify Events: headers of both families may come at once ("Headers").
"""

import hmac
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from secrets import token_bytes

from multidict import istr

from ingest.receiver.delivery import Delivery, Headers, Identify, digest_id
from ingest.shopify.routing import outcome_of, route
from stream.record import Record

Spellings = tuple[istr, istr]
"""`X-Shopify-*`, `Shopify-*`: that of classic webhooks first."""


def _spellings(name: str) -> Spellings:
    return istr(f"X-Shopify-{name}"), istr(f"Shopify-{name}")


HMAC = _spellings("Hmac-Sha256")
SHOP = _spellings("Shop-Domain")
TOPIC = _spellings("Topic")
WEBHOOK_ID = _spellings("Webhook-Id")
EVENT_ID = _spellings("Event-Id")
KEPT = (
    ("triggered_at", _spellings("Triggered-At")),
    ("event_id", EVENT_ID),
    ("api_version", _spellings("API-Version")),
    ("test", _spellings("Test")),
)
"""Headers that a record keeps (stream/record.py), where they were sent."""


def header(headers: Headers, spellings: Spellings) -> str:
    """The header's value in either spelling, the first of `spellings` before the other, as storable
    text; empty if absent."""
    return _storable(headers.get(spellings[0]) or headers.get(spellings[1]) or "")


def values(headers: Headers, spellings: Spellings) -> list[str]:
    """The header's values in both spellings, each once."""
    found = (_storable(headers.get(spelling) or "") for spelling in spellings)
    return [value for value in dict.fromkeys(found) if value]


def _storable(value: str) -> str:
    # aiohttp keeps bytes that are no UTF-8 as lone surrogates, which no database takes.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def verify(secrets: Sequence[bytes], headers: Headers, body: bytes) -> int | None:
    """Index of the secret that signed `body`, or None. Compares in constant time."""
    signatures = [value.encode() for value in values(headers, HMAC)]
    if not signatures:
        return None
    for index, secret in enumerate(secrets):
        expected = b2a_base64(hmac.digest(secret, body, "sha256"), newline=False)
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return index
    return None


def identify(
    shop: str, headers: Headers, body: bytes, received_ms: int, secret_index: int = 0
) -> Delivery:
    """Topic, key and id of a delivery that `shop` has signed. Never fails: one without a place is
    parked."""
    topic = header(headers, TOPIC)
    routed = route(shop, topic, body)
    is_event = bool(routed.event_topic)
    topic = routed.event_topic or topic
    kept = {"source": "shopify", "topic": topic, "shop": shop}
    for name, spellings in KEPT:
        # Events have no event id since 16 September 2026; one beside them is a classic webhook's.
        if is_event and spellings is EVENT_ID:
            continue
        if value := header(headers, spellings[::-1] if is_event else spellings):
            kept[name] = value
    if routed.reason:
        kept["parked_reason"] = routed.reason
        kept["parked_from"] = "receiver"
    return Delivery(
        Record(
            topic=routed.topic,
            key=routed.key,
            id=header(headers, WEBHOOK_ID[::-1] if is_event else WEBHOOK_ID)
            or digest_id(topic, body),
            time_ms=received_ms,
            headers=kept,
            body=body,
        ),
        outcome=outcome_of(routed.reason),
        label=routed.label,
        secret_index=secret_index,
    )


def most_secrets(shops: Mapping[str, Sequence[bytes]]) -> int:
    """How often a body is hashed before its signature is found to be wrong."""
    return max((len(secrets) for secrets in shops.values()), default=1)


def identifier(shops: Mapping[str, Sequence[bytes]]) -> Identify:
    """Verifies and identifies for `shops`: domain to secrets, newest first (several during a
    rotation). Raises ValueError for a shop without a secret."""
    for shop, secrets in shops.items():
        if not secrets or not all(secrets):
            raise ValueError(
                f"shop {shop} has no webhook secret, or an empty one: set SHOPIFY_WEBHOOK_SECRET"
            )
    # A wrong signature is compared with as many secrets for every shop, configured or not, so that
    # the time until the 401 does not say which are. Nobody knows the secrets added for it.
    most = most_secrets(shops)
    nobody = tuple(token_bytes(32) for _ in range(most))
    known = {
        shop.lower(): (*secrets, *nobody[: most - len(secrets)]) for shop, secrets in shops.items()
    }

    def verified(headers: Headers, body: bytes, received_ms: int) -> Delivery | None:
        for shop in map(str.lower, values(headers, SHOP) or ("",)):
            index = verify(known.get(shop, nobody), headers, body)
            if index is not None and shop in known:
                return identify(shop, headers, body, received_ms, index)
        return None

    return verified
