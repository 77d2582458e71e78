"""The meaning of a vendor's answer, in terms that fit every vendor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Detail = str | int | None


class ErrorClass(StrEnum):
    """| class | meaning | what the sender does |
    |---|---|---|
    | sent | accepted | the row is settled |
    | transient | the vendor, or the way there, failed | retry on the destination's schedule |
    | transient_slow | the same, and the vendor asks to slow down | retry on its slow waits |
    | throttle | too many requests | the account waits for `wait_ms` |
    | configuration | token, permission, id or address refused | the account pauses and is probed |
    | disabled | the receiver wants no more | the account pauses until a user asks for a retry |
    | permanent | the event is refused as it is | halve the batch; a single event is dead |
    """

    SENT = "sent"
    TRANSIENT = "transient"
    TRANSIENT_SLOW = "transient_slow"
    THROTTLE = "throttle"
    CONFIGURATION = "configuration"
    DISABLED = "disabled"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, understood. It never holds a secret or a buyer's data."""

    kind: ErrorClass
    http_status: int | None = None
    code: Detail = None
    """The vendor's error code, shown where the account is paused."""
    reason: str = ""
    """Why a row is dead, in our own words: a vendor's may quote what was sent."""
    message: str = ""
    """Why the account is paused or fails, for the user; may be the vendor's words."""
    ambiguous: bool = False
    """The events may have been taken all the same."""
    wait_ms: int | None = None
    """How long the vendor asks to wait; None where it does not say."""
    split: bool = False
    """Only some of the batch was taken, and not said which: send halves of it immediately."""
    details: Mapping[str, Detail] = field(default_factory=dict)
    """What else is kept with the attempt: codes and ids that the vendor's support asks for."""
