"""What `serve` checks before it starts a role, so that a wrong configuration is reported once, and
the addresses that it reports."""

from collections.abc import Collection

from orderwire.serve.start.restore_marker import marker_of
from orderwire.settings.program import ConfigurationError, ListenAddress, Settings
from orderwire.settings.refusal import NO_SHOP
from orderwire.settings.sources import shop_domain
from query.auth import Reach, Unprotected, check_bind, parse_tokens


def check(settings: Settings, roles: Collection[str]) -> None:
    """Raises ConfigurationError for what would stop a role of `roles` for good."""
    marker = marker_of(settings)
    if marker.exists():
        raise ConfigurationError(
            f"{marker}: a restore was killed in the middle; run `orderwire restore` again"
        )
    if "receive" in roles and not settings.shops:
        raise ConfigurationError(NO_SHOP)
    if "query" in roles:
        reaches(settings)


def reaches(settings: Settings) -> dict[str, Reach]:
    """The API's tokens, and which shops each may see. Raises ConfigurationError, also where the
    API would be reachable from elsewhere without a token."""
    try:
        tokens = {
            token: Reach(None if reach.shops is None else frozenset(map(shop_domain, reach.shops)))
            for token, reach in parse_tokens(settings.api_tokens.get_secret_value()).items()
        }
        check_bind(settings.api_address.host, tokens)
    except Unprotected as error:
        raise ConfigurationError(str(error)) from None
    except ValueError as error:
        raise ConfigurationError(f"ORDERWIRE_API_TOKENS: {error}") from None
    return tokens


def addresses(settings: Settings, roles: Collection[str]) -> list[str]:
    """A line per listener."""
    lines = []
    if "receive" in roles:
        lines.append(f"webhooks at {_url(settings.receiver_address)}/webhooks/shopify")
    if "query" in roles:
        lines.append(f"dashboard and API at {_url(settings.api_address)}/")
    return lines


def next_steps(settings: Settings, roles: Collection[str]) -> list[str]:
    """What somebody at a terminal does now."""
    shop = "" if len(settings.shops) == 1 else " --shop NAME"
    steps = ["in another terminal: `orderwire doctor` checks every part, and says what to fix"]
    if "receive" in roles:
        steps.append(
            f"subscribe the shop once: `orderwire subscribe{shop} "
            "--url https://your-host/webhooks/shopify` (README.md, a TLS proxy in front)"
        )
    return steps


def _url(address: ListenAddress) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{address.port}"
