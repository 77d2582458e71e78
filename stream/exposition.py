"""Prometheus text of several processes as one: each process writes its own, with its labels `role`
and `instance`, and whoever is asked puts the texts together without parsing samples."""

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NAME = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?", re.MULTILINE)


def labelled(registry: CollectorRegistry, role: str, instance: str) -> bytes:
    """The text of one process; both labels are our own words, and hold nothing to escape."""
    labels = f'{{role="{role}",instance="{instance}"'.encode()

    def add(sample: re.Match[bytes]) -> bytes:
        return sample[1] + labels + (b"," if sample[2] else b"}")

    return _NAME.sub(add, generate_latest(registry))


def merged(texts: Iterable[bytes]) -> bytes:
    """Each family once, as the format requires, with the samples of every text."""
    families: dict[bytes, list[bytes]] = {}
    for text in texts:
        for block in text.split(b"# HELP ")[1:]:
            help_line, type_line, samples = block.split(b"\n", 2)
            name = help_line.partition(b" ")[0]
            head = b"# HELP " + help_line + b"\n" + type_line + b"\n"
            families.setdefault(name, [head]).append(samples)
    return b"".join(part for parts in families.values() for part in parts)
