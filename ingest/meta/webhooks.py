"""Meta webhooks (Graph API: Webhooks, 'Getting started'): the handshake that proves the address is
ours, and signed notices."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web
from multidict import istr

from ingest.receiver.delivery import Delivery, Headers, Identify, digest_id
from ingest.shopify.routing import EMPTY, LONGEST_ID, MALFORMED, NOT_AN_OBJECT, outcome_of
from stream.record import Record

SIGNATURE = istr("X-Hub-Signature-256")


@dataclass(frozen=True, slots=True)
class MetaApp:
    """A Meta app that may send notices, and the shop whose advertising they concern."""

    shop: str
    app_secret: bytes
    verify_token: str
    ad_account_id: str = ""
    """Digits. Distinguishes shops that share an app, as an agency's do."""

    def __post_init__(self) -> None:
        if not self.app_secret or not self.verify_token:
            raise ValueError("Meta webhooks need both META_APP_SECRET and META_VERIFY_TOKEN")

    def __repr__(self) -> str:
        return f"MetaApp(shop={self.shop!r})"


def challenge(apps: Sequence[MetaApp], query: Mapping[str, str]) -> str | None:
    """The answer to a handshake with `query`, or None if it is no handshake or no app has its
    token.

    The handshake is `GET ?hub.mode=subscribe&hub.verify_token=...&hub.challenge=...`: the token is
    a word that the user chose, and the answer is the challenge.
    """
    if query.get("hub.mode") != "subscribe" or "hub.challenge" not in query:
        return None
    token = query.get("hub.verify_token", "").encode("utf-8", "replace")
    if any([hmac.compare_digest(token, app.verify_token.encode()) for app in apps]):  # noqa: C419 - no early end
        return query["hub.challenge"]
    return None


def has_signature(request: web.BaseRequest) -> bool:
    """Whether the headers hold a signature at all."""
    return SIGNATURE in request.headers


def verify(secrets: Sequence[bytes], headers: Headers, body: bytes) -> int | None:
    """Index of the app secret that signed `body`, or None. Compares in constant time.

    The signature is `X-Hub-Signature-256: sha256=<hex HMAC-SHA256(app secret, body)>`.
    """
    signature = headers.get(SIGNATURE, "").encode("utf-8", "replace")
    for index, secret in enumerate(secrets):
        expected = b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()
        if hmac.compare_digest(expected, signature):
            return index
    return None


class _Entry(msgspec.Struct, gc=False):
    id: int | str


class _Notice(msgspec.Struct, gc=False):
    object: str
    entry: list[_Entry]


_decoder = msgspec.json.Decoder(_Notice)


def identify(shop: str, body: bytes, received_ms: int) -> Delivery:
    """Topic, key and id of a signed notice. Never fails: a notice without a place is parked.

    The body is `{"object": ..., "entry": [{"id": ..., ...}, ...]}`. It goes to the topic `ads`, in
    order per object.
    """
    topic, key, reason = "", shop, ""
    try:
        notice = _decoder.decode(body)
        topic = notice.object[:LONGEST_ID]
        if notice.entry:
            key = f"{shop}:{notice.entry[0].id}"[:LONGEST_ID]
        else:
            reason = "no_entry_id"
    except msgspec.ValidationError:
        reason = _what_is_wrong(body)
    except (ValueError, RecursionError):
        reason = MALFORMED if body else EMPTY
    kept = {"source": "meta", "topic": topic, "shop": shop}
    if reason:
        kept["parked_reason"] = reason
        kept["parked_from"] = "receiver"
    return Delivery(
        Record(
            topic="parked" if reason else "ads",
            key=key,
            id=digest_id("meta", body),
            time_ms=received_ms,
            headers=kept,
            body=body,
        ),
        outcome=outcome_of(reason),
        label="ads",
        secret_index=0,
    )


def _what_is_wrong(body: bytes) -> str:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return MALFORMED
    return "no_entry_id" if isinstance(value, dict) else NOT_AN_OBJECT


def _shop_of(signed: Sequence[MetaApp], body: bytes) -> str:
    """Of the shops whose app signed a notice, the one whose ad account it is about."""
    if len(signed) > 1:
        try:
            entry = _decoder.decode(body).entry
        except (ValueError, RecursionError):
            entry = []
        account = str(entry[0].id).removeprefix("act_") if entry else ""
        for app in signed:
            if app.ad_account_id and app.ad_account_id == account:
                return app.shop
    return signed[0].shop


def identifier(apps: Sequence[MetaApp]) -> Identify:
    """Verifies and identifies for `apps`."""
    secrets = [app.app_secret for app in apps]

    def verified(headers: Headers, body: bytes, received_ms: int) -> Delivery | None:
        index = verify(secrets, headers, body)
        if index is None:
            return None
        signed = [app for app in apps if app.app_secret == apps[index].app_secret]
        return identify(_shop_of(signed, body), body, received_ms)

    return verified
