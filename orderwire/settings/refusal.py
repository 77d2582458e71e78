"""The one error that settings raise, and the search for the name that a misspelt one meant."""

import difflib
from collections.abc import Collection, Iterable


class ConfigurationError(Exception):
    """A setting is missing or cannot be meant; the message says which and what to write."""


def nearest(name: str, known: Collection[str]) -> str:
    """`: did you mean NAME?`, or nothing where no known name is like it."""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f": did you mean {near[0]}?" if near else ""


def refuse_unknown(where: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises ConfigurationError for a name, read at `where`, that no setting has."""
    for name in sorted(set(names) - set(known)):
        raise ConfigurationError(
            f"{where}: {name} is no setting{nearest(name, known)}; "
            f"there are: {', '.join(sorted(known))}"
        )
