"""The answers that the manifests declare."""

from collections.abc import Iterator
from importlib import import_module

from aggregates.question import Answer
from aggregates.registry import AGGREGATES
from processors.engine.feed import Feed


def answers() -> Iterator[tuple[Answer, tuple[Feed, ...]]]:
    """Every answer of an aggregate, with the processors that it rests on."""
    for manifest in AGGREGATES:
        for answer in import_module(manifest.answers).ANSWERS:
            yield answer, manifest.feeds
