"""Errors of the Admin API, named by what to do.

AdminError
├── AdminUnavailable   no connection, 5xx, throttled for too long: try again later
├── TokenRefused       the token, or what it is made from, is refused: configuration
├── AccessDenied       a scope or an approval is missing: configuration
├── QueryRefused       the query itself is wrong: a bug of ours
└── Stopped            stopped on request: the same call continues where it was
"""

import re
from collections.abc import Mapping
from typing import Any

_SCOPE = re.compile(r"\b(?:read|write)_[a-z_]+\b")
_APPROVAL = re.compile(r"not approved", re.IGNORECASE)
PROTECTED = "https://shopify.dev/docs/apps/launch/protected-customer-data"


class AdminError(Exception):
    """Base class of errors of the Admin API. Messages have codes and names of scopes, never a
    token, a body or a value."""


class AdminUnavailable(AdminError):
    """The Admin API cannot answer now; the same again later may work."""


class Stopped(AdminError):
    """Work ended because it was asked to."""

    def __init__(self) -> None:
        super().__init__("stopped; the same command goes on where it was")


class TokenRefused(AdminError):
    """Shopify does not take the token, or gives none for what is configured."""


class QueryRefused(AdminError):
    """Shopify will never answer this question; `code` is its own, such as MAX_COST_EXCEEDED."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"Shopify refuses the query ({code}): {detail}")
        self.code = code


class AccessDenied(AdminError):
    """The app may not read what was asked for.

    `scopes` are those of which one would do; none where an approval for protected customer data is
    missing. `data` is what the answer holds all the same, null where access was denied.
    """

    def __init__(self, field: str, scopes: tuple[str, ...], data: Mapping[str, Any] | None) -> None:
        needed = f"the scope {' or '.join(scopes)}" if scopes else f"an approval; see {PROTECTED}"
        super().__init__(f"Shopify denies access to {field or 'the query'}: the app needs {needed}")
        self.field, self.scopes, self.data = field, scopes, data


def access_denied(error: Mapping[str, Any], data: Mapping[str, Any] | None) -> AccessDenied:
    """From one of the answer's errors with code ACCESS_DENIED (docs/facts/shopify-admin.md)."""
    message = str(error.get("message", ""))
    extensions = error.get("extensions")
    required = extensions.get("requiredAccess") if isinstance(extensions, Mapping) else None
    approval = _APPROVAL.search(message) is not None
    scopes = () if approval else tuple(dict.fromkeys(_SCOPE.findall(str(required or message))))
    path = error.get("path")
    names = [part for part in path if isinstance(part, str)] if isinstance(path, list) else []
    return AccessDenied(".".join(names), scopes, data)
