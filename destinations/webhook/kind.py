"""Standard Webhooks as a kind of destination; functions import what they need."""

from collections.abc import Sequence
from typing import Any

from destinations.delivery.account import Account
from destinations.delivery.protocol import Context, Destination, Events, Kind


def _settings() -> type[Any]:
    from destinations.webhook.settings import WebhookSettings

    return WebhookSettings


def _events(accounts: Sequence[Account], context: Context) -> Events:
    from destinations.webhook.events import WebhookEvents

    return WebhookEvents(accounts)


def _destination(account: Account) -> Destination:
    from destinations.webhook.destination import WebhookDestination

    return WebhookDestination(account)


KIND = Kind(
    name="webhook",
    processor="webhook",
    settings=_settings,
    events=_events,
    destination=_destination,
    account_id=lambda settings: str(settings.host),
    max_age_s=lambda settings: int(settings.max_age_hours) * 3_600,
)
