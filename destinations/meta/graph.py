"""Requests to Meta's Graph API. The token is in the Authorization header only, `appsecret_proof` in
the body (docs/facts/meta.md, "Request")."""

import hmac

import orjson

from destinations.meta.settings import CapiSettings


def appsecret_proof(app_secret: str, access_token: str) -> str:
    """Hex HMAC-SHA256 of the token under the app secret (facebook_business serverside/util.py)."""
    return hmac.digest(app_secret.encode(), access_token.encode(), "sha256").hex()


def headers(settings: CapiSettings) -> dict[str, str]:
    """The headers of every call."""
    return {"Authorization": f"Bearer {settings.access_token}", "Content-Type": "application/json"}


def events_url(settings: CapiSettings) -> str:
    """The URL for events."""
    return f"{settings.graph_url.rstrip('/')}/{settings.graph_version}/{settings.pixel_id}/events"


def events_body(settings: CapiSettings, payloads: list[bytes]) -> bytes:
    """A request's JSON from events that are JSON already, byte for byte."""
    rest: dict[str, str] = {"partner_agent": settings.partner_agent}
    if settings.test_event_code:
        rest["test_event_code"] = settings.test_event_code
    if settings.app_secret:
        rest["appsecret_proof"] = appsecret_proof(settings.app_secret, settings.access_token)
    return b'{"data":[' + b",".join(payloads) + b"]," + orjson.dumps(rest)[1:]
