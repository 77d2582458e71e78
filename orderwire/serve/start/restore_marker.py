"""The file that stands beside the store while `orderwire restore` replaces log and store."""

from pathlib import Path

from orderwire.settings.program import Settings

SUFFIX = ".restore"


def marker_of(settings: Settings) -> Path:
    """Beside the store, or the log where the store is no file."""
    place = settings.store_file or settings.log_file or settings.spool
    return place.with_name(place.name + SUFFIX)
