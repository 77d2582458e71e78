"""What a broker will never take: a record that is too large for its topic, a topic that we have no
right to write.

What was refused once is not asked again for a while, so that one such record, or a thousand, costs
the topic's other records next to nothing.
"""

from collections.abc import Callable, Sequence

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from stream.log.kafka.records import Message

UNAUTHORISED = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (*UNAUTHORISED, *TOO_LARGE, InvalidTopicError, PolicyViolationError)
ASK_AGAIN_S = 60.0
"""An operator may have mended it: a topic's limit, or a right."""


class RefusedMessages(Exception):
    """These messages of an append were refused; all others are acknowledged."""

    def __init__(self, reason: str, detail: str, messages: Sequence[Message]) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.messages = reason, detail, list(messages)

    def others(self, messages: Sequence[Message]) -> list[Message]:
        """Those of `messages` that were not refused."""
        refused = {id(message) for message in self.messages}
        return [message for message in messages if id(message) not in refused]

    def and_also(self, more: "RefusedMessages") -> "RefusedMessages":
        """Both as one."""
        return RefusedMessages(self.reason, self.detail, [*self.messages, *more.messages])


def is_refusal(error: BaseException) -> bool:
    """Whether sending the same again can never work."""
    return isinstance(error, REFUSALS)


def is_unauthorised(error: BaseException) -> bool:
    """Whether the whole topic is refused."""
    return isinstance(error, UNAUTHORISED)


def reason_of(error: BaseException) -> str:
    """A word for counts."""
    if is_unauthorised(error):
        return "not_authorised"
    return "too_large" if isinstance(error, TOO_LARGE) else "refused"


class Refusals:
    """What is known to be refused on one topic."""

    def __init__(self, topic: str, clock: Callable[[], float]) -> None:
        self._topic, self._clock = topic, clock
        self._all: tuple[str, str, float] | None = None
        self._size: tuple[int, str, float] | None = None

    def told(self, error: BaseException) -> str:
        """What was refused, for a person."""
        return f"Kafka takes nothing like it on {self._topic}: {type(error).__name__}"

    def unauthorised(self, error: BaseException) -> None:
        """Everything is refused."""
        self._all = (reason_of(error), self.told(error), self._clock() + ASK_AGAIN_S)

    def too_large(self, message: Message, error: BaseException) -> None:
        """So is all that is as large."""
        if isinstance(error, TOO_LARGE):
            size = min(message.size, self._size[0]) if self._size else message.size
            self._size = (size, self.told(error), self._clock() + ASK_AGAIN_S)

    def all_s(self) -> float:
        """For how long everything is still taken for refused, seconds."""
        return 0.0 if self._all is None else max(0.0, self._all[2] - self._clock())

    def known(self, messages: Sequence[Message]) -> RefusedMessages | None:
        """Those of `messages` that need not be tried; None where all may be."""
        if self._all is not None:
            reason, detail, until_s = self._all
            if self._clock() < until_s:
                return RefusedMessages(reason, detail, messages)
            self._all = None
        if self._size is not None:
            size, detail, until_s = self._size
            if self._clock() >= until_s:
                self._size = None
            elif large := [message for message in messages if message.size >= size]:
                return RefusedMessages("too_large", detail, large)
        return None
