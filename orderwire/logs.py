"""Logging: readable lines on a terminal, one JSON object a line elsewhere. Never a body, a key of a record, or a secret."""

import logging
import sys

import structlog


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
    if role:
        structlog.contextvars.bind_contextvars(role=role)
