"""Tokens and scopes of the stand-in's app: which token is good, and which tokens it gives out.

A refresh token that was used stays good until its successor is used first, as at Shopify since
28 August 2026 (docs/facts/shopify-admin.md, "Tokens").
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

ALL_SCOPES = frozenset({"read_orders", "read_all_orders", "read_customers", "read_products"})
CREDENTIALS_S, OFFLINE_S, REFRESH_S = 86_399, 3_600, 7_776_000


@dataclass(slots=True)
class Access:
    """The app's rights. `clock`: Unix seconds."""

    clock: Callable[[], float]
    static: Collection[str] = ("shpat_static",)
    client_id: str = "client-id"
    client_secret: str = "client-secret"  # noqa: S105 - the stand-in's own
    first_refresh: str = "refresh-0"
    scopes: frozenset[str] = ALL_SCOPES
    approved: bool = True
    """For protected customer data."""
    credentials_s: int = CREDENTIALS_S
    offline_s: int = OFFLINE_S
    asked: int = 0
    """Tokens given out."""
    _until: dict[str, float] = field(default_factory=dict)
    _refresh: dict[str, str] = field(default_factory=dict)
    """Refresh token -> the one that it followed."""
    _spent: set[str] = field(default_factory=set)

    def good(self, token: str) -> bool:
        """Whether a call with this token is answered."""
        return token in self.static or self._until.get(token, 0.0) > self.clock()

    def revoke(self) -> None:
        """No token that was given out is good any longer."""
        self._until.clear()

    def ask(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The token endpoint: status and answer."""
        if body.get("client_id") != self.client_id:
            return 400, {"error": "application_cannot_be_found"}
        if body.get("client_secret") != self.client_secret:
            return 400, {"error": "invalid_client"}
        grant = body.get("grant_type")
        if grant == "client_credentials":
            return 200, self._given(self.credentials_s)
        if grant == "refresh_token":
            return self._refreshed(str(body.get("refresh_token", "")))
        return 400, {"error": "unsupported_grant_type"}

    def _refreshed(self, token: str) -> tuple[int, dict[str, Any]]:
        known = token == self.first_refresh or token in self._refresh
        if not known or token in self._spent:
            return 400, {"error": "invalid_grant"}
        if (before := self._refresh.get(token)) is not None:
            self._spent.add(before)
        given = self._given(self.offline_s)
        following = f"refresh-{self.asked}"
        self._refresh[following] = token
        return 200, {
            **given,
            "refresh_token": following,
            "refresh_token_expires_in": REFRESH_S,
        }

    def _given(self, life_s: int) -> dict[str, Any]:
        self.asked += 1
        token = f"shpat_given_{self.asked}"
        self._until[token] = self.clock() + life_s
        return {
            "access_token": token,
            "scope": ",".join(sorted(self.scopes)),
            "expires_in": life_s,
        }
