"""Settings of a receiver of Standard Webhooks. By default nothing personal is sent."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from destinations.delivery.account import SettingsError
from destinations.delivery.public_address import is_private_host
from destinations.webhook.signing import key_of

EventName = Literal["order.paid", "order.refunded", "order.cancelled"]
Personal = Literal["customer_id", "email", "phone", "name"]
HOUR_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """One receiver. URL and secrets are not in `repr`: many receivers have a token in the URL's
    path. Raises SettingsError."""

    shop: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    """`whsec_…`, comma-separated where several sign while they are rotated, the newest first."""
    events: tuple[EventName, ...] = ("order.paid", "order.refunded", "order.cancelled")
    include: tuple[Personal, ...] = ()
    """Personal data of the buyer that the receiver gets."""
    max_age_hours: int = 168
    """An event that is older when it is first seen is not sent: `too_old`. 1 to 2,160 (90 days)."""
    allow_private_addresses: bool = False
    """True: the receiver may be on this machine or network, and need not have TLS."""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise SettingsError("url is no address: write https://host/path") from None
        schemes = ("https", "http") if self.allow_private_addresses else ("https",)
        if parts.scheme not in schemes or not host:
            raise SettingsError(
                "url must begin with https:// (http:// with allow_private_addresses = true)"
            )
        if parts.username is not None or parts.password is not None:
            raise SettingsError("url holds a user name or password: webhooks are signed instead")
        if not self.allow_private_addresses and is_private_host(host):
            raise SettingsError(
                "url is a private address: set allow_private_addresses = true if that is meant"
            )
        for secret in self.secrets:
            if key_of(secret) is None:
                raise SettingsError("secret must be whsec_ and 24 to 64 bytes in base64")
        if not self.secrets:
            raise SettingsError("secret is empty: write whsec_ and 24 to 64 bytes in base64")
        if not self.events:
            raise SettingsError("events is empty, so nothing would be sent: leave it out for all")
        if not 1 <= self.max_age_hours <= 2_160:
            raise SettingsError(f"max_age_hours is {self.max_age_hours}: write 1 to 2160")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Newest first."""
        return tuple(part.strip() for part in self.secret.split(",") if part.strip())

    @property
    def host(self) -> str:
        """The receiver's host, without what may be secret in the URL."""
        return urlsplit(self.url).netloc
