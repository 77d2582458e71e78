"""Where alarms go: URLs of the installation, which gets all, and of a shop, which gets those about
itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from destinations.delivery.public_address import is_private_host
from orderwire.settings.refusal import ConfigurationError

if TYPE_CHECKING:
    from orderwire.settings.program import Settings


class Target(NamedTuple):
    """Where notices are sent. Its URL is a secret: Slack's holds the right to post."""

    name: str
    """Of the setting, which is no secret."""
    shop: str
    """Whose alarms it gets; "" for all."""
    kind: Literal["webhook", "slack"]
    url: str


def targets(settings: "Settings") -> tuple[Target, ...]:
    """All of them. Raises ConfigurationError where a URL cannot be meant."""
    found = [
        *_of("", "ORDERWIRE_ALERT", settings.alert_webhook_url, settings.alert_slack_url),
        *(
            target
            for domain, shop in settings.shops.items()
            for target in _of(domain, "SHOPIFY_ALERT", shop.alert_webhook_url, shop.alert_slack_url)
        ),
    ]
    for target in found:
        where = f"{target.shop}: {target.name}" if target.shop else target.name
        _check(where, target.url, private=settings.alert_private_addresses)
    return tuple(found)


def _of(
    shop: str, prefix: str, webhook: SecretStr | None, slack: SecretStr | None
) -> Iterator[Target]:
    if webhook is not None and webhook.get_secret_value():
        yield Target(f"{prefix}_WEBHOOK_URL", shop, "webhook", webhook.get_secret_value())
    if slack is not None and slack.get_secret_value():
        yield Target(f"{prefix}_SLACK_URL", shop, "slack", slack.get_secret_value())


def _check(name: str, url: str, *, private: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError(f"{name} is no address: write https://host/path") from None
    if parts.scheme not in (("https", "http") if private else ("https",)) or not host:
        raise ConfigurationError(
            f"{name} must begin with https:// (http:// with ORDERWIRE_ALERT_PRIVATE_ADDRESSES=true)"
        )
    if not private and is_private_host(host):
        raise ConfigurationError(
            f"{name} is a private address: set ORDERWIRE_ALERT_PRIVATE_ADDRESSES=true if that is"
            " meant"
        )
