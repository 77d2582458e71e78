"""Remembers what a broker refuses for good (a record too large for its topic, a topic without write
permission) and does not send the like again for a while, so that refusals cost other records next
to nothing."""

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
"""After this long a refused record is tried again: an operator may have changed the limit or the
permission."""


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
    """Whether a retry of the same records can never succeed."""
    return isinstance(error, REFUSALS)


def is_unauthorised(error: BaseException) -> bool:
    """Whether the whole topic is refused."""
    return isinstance(error, UNAUTHORISED)


def reason_of(error: BaseException) -> str:
    """The label of this refusal in metrics."""
    if is_unauthorised(error):
        return "not_authorised"
    return "too_large" if isinstance(error, TOO_LARGE) else "refused"


class RecordRefusals:
    """Known refusals of one topic."""

    def __init__(self, topic: str, clock: Callable[[], float]) -> None:
        self._topic, self._clock = topic, clock
        self._all: tuple[str, str, float] | None = None
        self._size: tuple[int, str, float] | None = None

    def description(self, error: BaseException) -> str:
        """What was refused, for an operator."""
        return f"Kafka takes nothing like it on {self._topic}: {type(error).__name__}"

    def unauthorised(self, error: BaseException) -> None:
        """Every record of the topic is refused."""
        self._all = (reason_of(error), self.description(error), self._clock() + ASK_AGAIN_S)

    def too_large(self, message: Message, error: BaseException) -> None:
        """Records at least as large as `message` are refused."""
        if isinstance(error, TOO_LARGE):
            size = min(message.size, self._size[0]) if self._size else message.size
            self._size = (size, self.description(error), self._clock() + ASK_AGAIN_S)

    def all_s(self) -> float:
        """Seconds for which the whole topic still counts as refused."""
        return 0.0 if self._all is None else max(0.0, self._all[2] - self._clock())

    def known(self, messages: Sequence[Message]) -> RefusedMessages | None:
        """Those of `messages` that need not be sent; None if all may be sent."""
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
