"""Logging: readable lines on a terminal, one JSON object a line elsewhere. Never a body, a key of a record, or a secret."""

import logging
import sys
import time
from collections.abc import Callable

import structlog

SELDOM_S = 10.0


class Seldom(logging.Filter):
    """Passes each kind of line once in `SELDOM_S`. aiokafka says the same hundreds of times a second while a broker is away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last_s: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written; the kind is the logger with the message before its values."""
        kind, now_s = (record.name, record.msg), self._clock()
        if now_s - self._last_s.get(kind, -SELDOM_S) < SELDOM_S:
            return False
        self._last_s[kind] = now_s
        return True


def configure(role: str = "") -> None:
    """Set up structlog for this process; `role` goes into every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=shared + last,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak when something is wrong only; aiokafka's own lines name topics and brokers, nothing of what is in them.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    if role:
        structlog.contextvars.bind_contextvars(role=role)
