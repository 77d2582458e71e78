"""Raises the process's soft limit of open files, and says how many connections fit below it."""

import resource

ENOUGH = 65_536
KEPT_FREE = 128
"""Open files that are no connections: log, store, spool, sockets, libraries."""


def raise_limit() -> int:
    """Raise the soft limit as far as the hard one allows, `ENOUGH` at most; the limit now.

    1,024 is usual and is used up by as many half-sent requests.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS allows less than the hard limit that it names
        return soft
    return most


def connections(open_files: int, most: int) -> int:
    """How many connections fit into `open_files`, `most` at most."""
    return max(1, min(most, open_files - KEPT_FREE))
