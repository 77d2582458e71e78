"""Sources of the Admin API's access token (shopify.dev, "Client credentials grant" and "Use
expiring offline access tokens").

    source             life     renewed
    static             for ever never
    client credentials 24 h     at 80 % of its life, and on 401; in memory only
    expiring offline   1 h      the same, by a refresh token, a new one each time (`token_pair.py`)
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from ingest.shopify.admin.errors import AdminUnavailable, TokenRefused
from ingest.shopify.admin.token_pair import PairStore, TokenPair

RENEW_AT = 0.8
TIMEOUT_S = (4.0, 15.0)
DAY_S = 86_399
"""What `expires_in` of client credentials says; also where an answer leaves it out."""
HOUR_S = 3_600


class Tokens(Protocol):
    """Gives a token for each call. Thread-safe."""

    def token(self) -> str:
        """One that is good now, as far as known. Raises TokenRefused, AdminUnavailable."""
        ...

    def renew(self, refused: str) -> bool:
        """Shopify has refused this token: whether `token` gives another one now."""
        ...


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token that the shop's admin shows once and that lives until the app is uninstalled."""

    value: str

    def token(self) -> str:
        """The token."""
        return self.value

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False

    def __repr__(self) -> str:
        return "StaticToken()"


@dataclass(frozen=True, slots=True)
class Grant:
    """Where tokens are asked for, and by which app."""

    url: str
    """`https://{shop}/admin/oauth/access_token`."""
    client_id: str
    client_secret: str

    def ask(self, **values: str) -> dict[str, Any]:
        """The answer of the token endpoint. Raises TokenRefused, AdminUnavailable."""
        body = {"client_id": self.client_id, "client_secret": self.client_secret, **values}
        try:
            answer = requests.post(
                self.url,
                json=body,
                headers={"Accept": "application/json"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AdminUnavailable(
                f"no token: {self.url} cannot be reached ({type(error).__name__})"
            ) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise AdminUnavailable(f"no token: Shopify answers HTTP {answer.status_code}")
        try:
            granted = answer.json()
        except ValueError:
            granted = {}
        if (
            answer.status_code != 200
            or not isinstance(granted, dict)
            or not granted.get("access_token")
        ):
            reason = str(granted.get("error", "")) if isinstance(granted, dict) else ""
            raise TokenRefused(
                f"Shopify gives no token (HTTP {answer.status_code} {reason[:60]}): check "
                "SHOPIFY_CLIENT_ID, SHOPIFY_CLIENT_SECRET, and that the app is installed"
            )
        return granted

    def __repr__(self) -> str:
        return f"Grant({self.url!r})"


class ClientCredentials:
    """Tokens of an app of the shop's own organisation, kept in memory."""

    def __init__(self, grant: Grant, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds from any moment on."""
        self._grant, self._clock = grant, clock
        self._lock = threading.Lock()
        self._token, self._renew_s = "", 0.0

    def token(self) -> str:
        """The token, a new one where 80 % of its life are over."""
        with self._lock:
            if not self._token or self._clock() >= self._renew_s:
                self._ask()
            return self._token

    def renew(self, refused: str) -> bool:
        """Ask for another one, unless another thread has."""
        with self._lock:
            if self._token == refused:
                self._ask()
            return True

    def _ask(self) -> None:
        asked_s = self._clock()
        granted = self._grant.ask(grant_type="client_credentials")
        life_s = float(granted.get("expires_in") or DAY_S)
        self._token, self._renew_s = str(granted["access_token"]), asked_s + RENEW_AT * life_s


class RefreshedToken:
    """Expiring offline tokens: each refresh brings a new pair, stored before it is used."""

    def __init__(
        self, grant: Grant, pairs: PairStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: Unix seconds."""
        self._grant, self._pairs, self._clock = grant, pairs, clock
        self._lock = threading.Lock()
        self._pair: TokenPair | None = None

    def token(self) -> str:
        """The access token of the stored pair, refreshed where 80 % of its life are over."""
        with self._lock:
            pair = self._pair
            if pair is None or self._clock() >= pair.renew_at_s:
                # Another process may have refreshed it.
                pair = self._pairs.load()
            if pair is None or self._clock() >= pair.renew_at_s:
                pair = self._pairs.replace(pair, self._refresh)
            self._pair = pair
            return pair.access_token

    def renew(self, refused: str) -> bool:
        """Refresh, unless the stored pair is another one already."""
        with self._lock:
            pair = self._pairs.load()
            if pair is None or pair.access_token == refused:
                pair = self._pairs.replace(pair, self._refresh)
            self._pair = pair
            return True

    def _refresh(self, refresh_token: str) -> TokenPair:
        granted = self._grant.ask(grant_type="refresh_token", refresh_token=refresh_token)
        life_s = float(granted.get("expires_in") or HOUR_S)
        return TokenPair(
            access_token=str(granted["access_token"]),
            # Without a new one the old one stays good.
            refresh_token=str(granted.get("refresh_token") or refresh_token),
            renew_at_s=int(self._clock() + RENEW_AT * life_s),
        )
