"""Settings of a webhook account for tests."""

from base64 import b64encode
from typing import Any

from destinations.webhook.settings import WebhookSettings
from tests.support.delivery.capi_orders import SHOP

SECRET = "whsec_" + b64encode(b"thirty-two bytes of test secrets").decode()


def settings(url: str = "https://hooks.example.com/orders", **changes: Any) -> WebhookSettings:
    """A receiver on loopback where `url` says so."""
    private = url.startswith("http://")
    values = {"allow_private_addresses": private, "secret": SECRET, **changes}
    return WebhookSettings(shop=SHOP, url=url, **values)
