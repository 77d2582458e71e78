"""The state that one sender keeps of one account while it runs. Its times are of the sender's
`steady_ms`, except the one that is shown."""

import asyncio
from dataclasses import dataclass, field

from destinations.delivery.protocol import Destination, RequestLimits
from destinations.delivery.rows import AccountRow


@dataclass(slots=True)
class Lane:
    """One account, as one sender sees it."""

    destination: Destination
    limits: RequestLimits
    account: AccountRow
    slots: asyncio.Semaphore
    """Requests that may still be started."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    driver: asyncio.Task[None] | None = None
    again: bool = False
    """Somebody called while the driver was running."""
    emptied: bool = False
    """The last claim got less than it asked for: there is no more until somebody calls."""
    next_claim_ms: int | None = None
    in_flight: int = 0
    """Events in requests that are not answered yet."""
    failures: int = 0
    """In a row."""
    failing_since_ms: int = 0
    """The first of them, by the wall clock: it is shown."""
    first_failed_ms: int = 0
    """When its request began, by the steady clock."""
    backs_off_until_ms: int | None = None
    log_failure_ms: int | None = None
    """When the next line about failing requests may be logged."""

    @property
    def names(self) -> dict[str, str]:
        """The fields of a log line."""
        return {"shop": self.destination.shop, "destination": self.destination.name}
