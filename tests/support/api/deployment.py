"""The files of a container deployment, and what tests read in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from orderwire.settings.names import settings_of
from orderwire.settings.program import Settings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ASKED = re.compile(r"\$\{(\w+):\?([^}]+)\}")
"""What compose does not start without, and what it then says."""


def setting_names() -> set[str]:
    """Every variable that sets something."""
    return {each.variable for each in settings_of(Settings, "ORDERWIRE_")}


def scalars(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every (path, text) below `node`."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from scalars(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from scalars(value, path)
    elif node is not None:
        yield path, str(node)


def instructions() -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of the Dockerfile, lines that a backslash continues put together."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if not line.lstrip().startswith("#")
    ]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1])
        for line in whole.splitlines()
        if line.strip()
    ]


DOCKERFILE = instructions()
LAST_STAGE = DOCKERFILE[max(i for i, (word, _) in enumerate(DOCKERFILE) if word == "FROM") :]
