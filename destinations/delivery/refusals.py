"""Decides whether events are refused for faults of their own, or the account is at fault."""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from destinations.delivery.results import Attempt
from destinations.delivery.rows import OutboxRow
from destinations.delivery.verdict import ErrorClass, Verdict

WHOLE: Final = 3
"""Events of which a batch consists at least, to be judged as a whole."""
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
    accepted: bool = False
    found: list[Refusal] = field(default_factory=list)

    def blame_account(self, *, ended: bool) -> Verdict | None:
        """Why the account pauses; None while its events may be at fault. `ended`: nothing of the
        claim is left to send."""
        causes = {cause(each.verdict) for each in self.found}
        if self.accepted or len(causes) != 1:
            return None
        if causes != {self.paused_for} and len(self.found) < (WHOLE if ended else MANY):
            return None
        last = self.found[-1].verdict
        message = f"every event is refused alike: {last.reason or last.message}"
        return replace(last, kind=ErrorClass.PERMANENT, code=causes.pop(), message=message)

    def taken(self) -> list[Refusal]:
        """Those found since the last time."""
        found, self.found = self.found, []
        return found
