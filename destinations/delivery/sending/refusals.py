"""Decides whether events are refused for faults of their own, or the account is at fault."""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from destinations.delivery.results import Attempt
from destinations.delivery.rows import OutboxRow
from destinations.delivery.verdict import ErrorClass, Verdict

WHOLE: Final = 3
"""Events of a batch, or in a row, that are refused alike at least before the account is blamed."""
MANY: Final = 20
"""Events refused alike before any was accepted: the rest of the batch need not be tried."""


class Refusal(NamedTuple):
    """A row that was refused when it was sent by itself."""

    row: OutboxRow
    verdict: Verdict
    made: Attempt


def cause(verdict: Verdict) -> str:
    """What makes two refusals alike: `100/2804019`."""
    subcode = verdict.details.get("subcode")
    code = verdict.http_status if verdict.code is None else verdict.code
    return f"{code}/{subcode}" if subcode else str(code)


@dataclass(slots=True)
class Refusals:
    """The refusals of one claim. No row is dead until another one was accepted, refused for another
    cause, or too few are left to judge by."""

    paused_for: str = ""
    """The cause for which the account is paused, where this claim is its probe."""
    streak: bool = False
    """Events before this claim were refused alike, and none was accepted since."""
    accepted: bool = False
    found: list[Refusal] = field(default_factory=list)

    def blame_account(self, *, ended: bool) -> Verdict | None:
        """Why the account pauses; None while its events may be at fault. `ended`: nothing of the
        claim is left to send."""
        found = self.alike()
        if found is None:
            return None
        if found != self.paused_for and len(self.found) < (WHOLE if ended else MANY):
            return None
        return self.blamed()

    def alike(self) -> str | None:
        """The cause of every refusal so far; None if they differ, or an event was accepted."""
        causes = {cause(each.verdict) for each in self.found}
        return None if self.accepted or len(causes) != 1 else causes.pop()

    def blamed(self) -> Verdict:
        """The verdict that pauses the account for what was found."""
        last = self.found[-1].verdict
        message = f"every event is refused alike: {last.reason or last.message}"
        return replace(last, kind=ErrorClass.PERMANENT, code=cause(last), message=message)

    def taken(self) -> list[Refusal]:
        """Those found since the last time."""
        found, self.found = self.found, []
        return found
