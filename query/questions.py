"""The answers that are one function of a snapshot, from the manifests."""

from collections.abc import Iterator
from importlib import import_module

from aggregates.question import Answer
from aggregates.registry import AGGREGATES
from processors.engine.feed import Feed


def answers() -> Iterator[tuple[Answer, tuple[Feed, ...]]]:
    """Every answer that is one function of a snapshot, with the processors that it rests on."""
    for manifest in AGGREGATES:
        if manifest.answers:
            for answer in import_module(manifest.answers).ANSWERS:
                yield answer, manifest.feeds
