"""Logging: readable lines on a terminal, one JSON object per line elsewhere, libraries' lines
included. No line contains a body, a record's key, a secret, or the message of a foreign
exception."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TextIO

import stamina
import structlog
from stamina.instrumentation import RetryDetails
from structlog.typing import EventDict, Processor, WrappedLogger

from stream.rate_limit import RateLimit

SELDOM_S = 10.0
_log = structlog.get_logger()


class Seldom(logging.Filter):
    """Passes each kind of line (logger and message template) once in `SELDOM_S`.

    aiokafka writes the same line hundreds of times a second while a broker is away.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._limit = RateLimit(clock, SELDOM_S)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        return self._limit.allows((record.name, str(record.msg).partition("\n")[0]))


def without_values(error: BaseException) -> str:
    """The traceback of an exception and its causes, without messages: aiohttp's quote what a
    stranger sent, a database's the values that it was given."""
    parts, follows = [], error
    while True:
        parts.append(
            "".join(traceback.format_tb(follows.__traceback__)) + type(follows).__qualname__
        )
        cause = follows.__cause__ or (None if follows.__suppress_context__ else follows.__context__)
        if cause is None:
            return "\ncaused by\n".join(parts)
        follows = cause


def _exceptions(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = without_values(error)
    return event


def _first_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # asyncio's message about an exception that nobody awaited has the exception's own words below.
    if event.get("exc_info"):
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _retried(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # aiokafka logs as errors what it tries again, such as a coordinator that is being elected.
    # What it gives up it raises, and we log that.
    if event["level"] == "error" and event["logger"].startswith("aiokafka"):
        event["level"] = "warning"
    return event


def processors(role: str) -> list[Processor]:
    """The structlog processors that every line passes before it is rendered."""

    def name_role(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**event, "role": role} if role else event

    return [
        structlog.contextvars.merge_contextvars,
        name_role,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions,
    ]


def renderer(stream: TextIO) -> Processor:
    """The renderer of lines on `stream`."""
    return (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )


def libraries_handler(role: str, stream: TextIO) -> logging.Handler:
    """Formats lines of the standard library's loggers like our own."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(Seldom())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer(stream),
            ],
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                _first_line,
                *processors(role),
                _retried,
            ],
            keep_exc_info=False,
        )
    )
    return handler


def configure(role: str = "") -> None:
    """Set up structlog for this process; `role` goes into every line."""
    structlog.configure(
        processors=[*processors(role), renderer(sys.stderr)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak when something is wrong only.
    logging.basicConfig(level=logging.WARNING, handlers=[libraries_handler(role, sys.stderr)])
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_ended
    stamina.instrumentation.set_on_retry_hooks([_Retries()])


class _Retries:
    """Logs why something is retried, each reason once a minute."""

    def __init__(self) -> None:
        self._limit = RateLimit(time.monotonic)

    def __call__(self, details: RetryDetails) -> None:
        reason = f"{type(details.caused_by).__name__}: {details.caused_by}"
        if self._limit.allows(reason):
            _log.warning("trying again", reason=reason)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        _log.error(
            "thread ended",
            thread=None if ended.thread is None else ended.thread.name,
            exc_info=ended.exc_value,
        )
