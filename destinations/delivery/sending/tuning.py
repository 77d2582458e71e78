"""Intervals and time limits of a sender."""

from dataclasses import dataclass

from destinations.delivery.protocol import RequestLimits


@dataclass(frozen=True, slots=True)
class Tuning:
    """Intervals and time limits of the sender; a destination's own limits if nothing else is
    set."""

    batch: int | None = None
    """Events per request, at most the destination's."""
    in_flight: int | None = None
    spacing_ms: int | None = None
    timeout_s: float | None = None
    poll_s: float = 1.0
    lease_ms: int = 30_000
    """No request starts after half of it, and none lasts longer than its time-out: it is over
    before the lease is."""
    hold_after: int = 3
    """Failures in a row after which the lane backs off, and the account is said to be failing."""
    hold_cap_ms: int = 30_000
    failing_ms: int = 10_000
    """An account is also said to be failing once nothing but failures ended for so long: three
    requests that all run into their time-out would take longer than 30 s."""

    def limits(self, of: RequestLimits) -> RequestLimits:
        """A destination's limits with the overrides of this tuning."""
        return of._replace(
            events=of.events if self.batch is None else min(self.batch, of.events),
            in_flight=of.in_flight if self.in_flight is None else self.in_flight,
            spacing_ms=of.spacing_ms if self.spacing_ms is None else self.spacing_ms,
            timeout_s=of.timeout_s if self.timeout_s is None else self.timeout_s,
        )
