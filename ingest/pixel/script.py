"""Fills in the custom pixel that a merchant pastes into Shopify's admin."""

import re
from importlib import resources
from urllib.parse import urlsplit

PATH = "/pixel"
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")


def script(shop: str, url: str) -> str:
    """The pixel of `shop`, posting to the receiver at `url` (https://host[/pixel]).

    Raises ValueError for a URL that a shop's page cannot post to.
    """
    parts = urlsplit(url.strip())
    local = parts.hostname in ("localhost", "127.0.0.1")
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        raise ValueError("write the receiver's public address as https://host")
    if parts.path.rstrip("/") not in ("", PATH) or parts.query or parts.fragment:
        raise ValueError(f"write https://host or https://host{PATH}: no other path exists there")
    if re.search(r"[^A-Za-z0-9.:\[\]-]", parts.netloc):
        raise ValueError("the host holds characters that no host has")
    if not _SHOP.fullmatch(shop):
        raise ValueError(f"{shop!r} is no shop's domain: write name.myshopify.com")
    text = (resources.files("ingest.pixel") / "pixel.js").read_text(encoding="utf-8")
    endpoint = f"{parts.scheme}://{parts.netloc}{PATH}"
    return text.replace("__ORDERWIRE_ENDPOINT__", endpoint).replace("__ORDERWIRE_SHOP__", shop)
