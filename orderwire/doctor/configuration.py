"""Checks that the settings are complete and consistent. Makes no request."""

from destinations.meta.settings import shop_only
from orderwire.doctor import Line, fix, hint, ok
from orderwire.settings.destinations import META
from orderwire.settings.program import ConfigurationError, Settings, ShopSettings
from query.auth import Unprotected, check_bind, is_loopback, parse_tokens


def check(settings: Settings) -> list[Line]:
    """Every shop's settings, and the rule that an API beyond loopback has tokens."""
    lines = [line for shop in settings.shops.values() for line in shop_lines(shop)]
    if not lines:
        lines = [
            fix(
                "shops",
                "none is configured: set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET, or a table in "
                "orderwire.toml",
            )
        ]
    return [*lines, *event_id_lines(settings), api_line(settings)]


def event_id_lines(settings: Settings) -> list[Line]:
    """Shops that share a pixel and whose event ids could collide."""
    pixels: dict[str, list[str]] = {}
    for domain, shop in settings.shops.items():
        if shop.capi is not None and shop_only(shop.capi.event_id):
            pixels.setdefault(shop.capi.pixel_id, []).append(domain)
    return [
        fix(
            f"pixel {pixel_id}",
            f"{', '.join(shops)} send to it, and each numbers its own orders: Meta takes two sales"
            " with one event id for one; use {order_id} in META_EVENT_ID",
        )
        for pixel_id, shops in pixels.items()
        if len(shops) > 1
    ]


def shop_lines(shop: ShopSettings) -> list[Line]:
    """What is set for one shop, and what is missing without its settings."""
    secrets = len(shop.webhook_secrets)
    parts = [f"{secrets} webhook secret{'s, each of them accepted' if secrets > 1 else ''}"]
    found = []
    if not shop.domain.endswith(".myshopify.com"):
        found.append(
            hint(
                shop.domain,
                "Shopify signs with the name.myshopify.com domain; deliveries under another name "
                "are answered 401",
            )
        )
    if shop.zone is None:
        found.append(
            hint(
                shop.domain,
                "no time zone: its days follow the offset of its orders; set SHOPIFY_TIMEZONE, for "
                "example Europe/Paris",
            )
        )
    else:
        parts.append(str(shop.zone))
    if shop.capi is None:
        found.append(
            hint(
                shop.domain,
                "no pixel, so nothing is sent to Meta: set META_PIXEL_ID and META_ACCESS_TOKEN",
            )
        )
    else:
        parts.append(f"pixel {shop.capi.pixel_id}")
        if shop.capi.dry_run:
            found.append(
                hint(
                    shop.domain,
                    "META_DRY_RUN is set: events are built and kept, and none is sent (README.md,"
                    " 'Before you switch on')",
                )
            )
        if shop.capi.test_event_code:
            hours = shop.capi.test_hours
            found.append(
                hint(
                    shop.domain,
                    f"META_TEST_EVENT_CODE is set: events are tests, and after {hours} h sending "
                    "pauses; remove it",
                )
            )
    others = shop.destinations.keys() - {META}
    parts += [f"destination {name} ({shop.destinations[name].kind})" for name in sorted(others)]
    missing = [
        name
        for name, value in (("AD_BANKROLL", shop.ads.bankroll), ("AD_MARGIN", shop.ads.margin))
        if value is None
    ]
    if missing:
        found.append(
            hint(shop.domain, f"{' and '.join(missing)} not set, so no ad budgets are recommended")
        )
    return [ok(shop.domain, ", ".join(parts)), *found]


def api_line(settings: Settings) -> Line:
    """Who may reach the API."""
    try:
        tokens = parse_tokens(settings.api_tokens.get_secret_value())
        host = settings.api_address.host
        check_bind(host, tokens)
    except (ConfigurationError, Unprotected, ValueError) as error:
        return fix("api access", str(error))
    where = "this machine only" if is_loopback(host) else "the network"
    return ok(
        "api access",
        f"from {where}, {f'with one of {len(tokens)} tokens' if tokens else 'without a token'}",
    )
