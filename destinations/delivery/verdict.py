"""What a vendor's answer says of the events that it was sent, in terms that fit every vendor.

| class | meaning | what the sender does |
|---|---|---|
| sent | taken | the row is settled |
| transient | the vendor's end, or the way there, failed | retry on the destination's schedule |
| transient_slow | the same, and the vendor asks for calm | retry on its slow schedule |
| throttle | too many requests | the account waits for `wait_ms` |
| configuration | token, grant, id or address refused | the account pauses and is probed |
| disabled | the receiver wants nothing more | the account pauses until a user asks for a retry |
| permanent | the event is refused as it is | halve the batch; a lone event is repaired or dead |
"""

from enum import StrEnum


class ErrorClass(StrEnum):
    """See the module."""

    SENT = "sent"
    TRANSIENT = "transient"
    TRANSIENT_SLOW = "transient_slow"
    THROTTLE = "throttle"
    CONFIGURATION = "configuration"
    DISABLED = "disabled"
    PERMANENT = "permanent"
