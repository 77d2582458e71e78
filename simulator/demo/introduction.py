"""What the demo prints once: where the dashboard is, and commands to try.

Narrow terminals get one command a line, so that none wraps in the middle of an address.
"""

import shlex
import sys
from pathlib import Path

from simulator.demo.stage import SHOP, Ports
from simulator.shop.delivery import Delivery

WIDE = 100
"""Columns from which two commands stand in one line."""


def introduction(
    ports: Ports, example: Delivery, body: Path, log: Path, width: int = WIDE
) -> list[str]:
    """Addresses, and commands to try; `example` is an order whose body is in the file `body`."""
    get = f"curl -s {ports.api_url}/v1"
    headers = {
        "X-Shopify-Topic": example.topic,
        "X-Shopify-Shop-Domain": SHOP,
        "X-Shopify-Webhook-Id": "my-first-order",
        "X-Shopify-Hmac-Sha256": example.headers["X-Shopify-Hmac-Sha256"],
    }
    shown = [f"-H '{name}: {value}'" for name, value in headers.items()]
    addresses = [
        f"Dashboard: {ports.api_url}/",
        f"API: {ports.api_url}/docs",
        "Try, in another terminal:",
    ]
    asked = [f"{get}/{path}" for path in ("rfm", "carts", "budget", "capi", "status")]
    post = [f"  curl -i {ports.webhooks}", *shown, f"--data-binary @{shlex.quote(str(body))}"]
    if width >= WIDE:
        addresses = ["   ".join(addresses)]
        asked = ["     ".join(asked[place : place + 2]) for place in range(0, len(asked), 2)]
        post = [f"{post[0]} {post[1]}", f"{post[2]} {post[3]}", post[4], post[5]]
    return [
        *addresses,
        *(f"  {line}" for line in asked),
        *" \\\n    ".join(post).split("\n"),
        f"  {get}/capi/orders/{example.key}   # what became of it",
        f"  cd {shlex.quote(str(log.parent))} && {shlex.quote(sys.executable)} -m orderwire doctor",
    ]
