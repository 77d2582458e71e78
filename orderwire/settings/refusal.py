"""The one error that settings raise, and suggestions for misspelt names."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Final

REPLACED: Final[Mapping[str, str]] = {
    "META_NET_REVENUE_MARGIN": "a constant share of the value is no information for Meta; set"
    " META_COST_PROPERTY to the line item property that holds what an item costs, and net_revenue"
    " is sent",
}
"""Settings of older versions by variable, and what to set instead. In a table a name has no prefix.
"""

NO_SHOP: Final = (
    "no shop is configured: set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET, or write orderwire.toml "
    "(see README.md); `orderwire demo` needs neither"
)


class ConfigurationError(Exception):
    """A setting is missing or makes no sense; the message says which and what to write."""


def nearest(name: str, known: Collection[str]) -> str:
    """`: did you mean NAME?`, or nothing if no known name is similar."""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f": did you mean {near[0]}?" if near else ""


def refuse_replaced(where: str, names: Iterable[str]) -> None:
    """Raises ConfigurationError for the name of a setting that is gone."""
    for name in sorted(names):
        for variable, instead in REPLACED.items():
            if name in (variable, variable.partition("_")[2].lower()):
                raise ConfigurationError(f"{where}{name} is no setting any more: {instead}")


def refuse_unknown(where: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises ConfigurationError for a name, read at `where`, that is no setting."""
    refuse_replaced(f"{where}: ", set(names) - set(known))
    for name in sorted(set(names) - set(known)):
        raise ConfigurationError(
            f"{where}: {name} is no setting{nearest(name, known)}; "
            f"there are: {', '.join(sorted(known))}"
        )
