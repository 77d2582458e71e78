"""A module says in a few plain lines what it decides; reasons stand beside the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WORDS = 60
"""Three or four sentences; the median is 18 words."""
MOST_OF_A_COMPARISON = 75
"""Programs that measure, and tests, also say what they compare with what."""
DRAWN = re.compile(r"^(\s{4}|\||[├└│])")
"""Lines of a diagram, a tree of exceptions or a table: these are no prose."""


def modules() -> Iterator[tuple[str, str]]:
    """Every module of ours, with its docstring."""
    for init in sorted(ROOT.glob("*/__init__.py")):
        for path in sorted(init.parent.rglob("*.py")):
            tree = ast.parse(beginning(path.read_text()))
            if tree.body:
                yield str(path.relative_to(ROOT)), ast.get_docstring(tree) or ""


def beginning(source: str) -> str:
    """The docstring alone, where the module begins with one: parsing it all takes 30 times as
    long."""
    mark = '"""'
    return mark.join(source.split(mark, 2)[:2]) + mark if source.startswith(mark) else source


def prose(docstring: str) -> str:
    """Without what is drawn."""
    return "\n".join(line for line in docstring.splitlines() if not DRAWN.match(line))


def test_every_module_says_what_it_is_for_and_in_a_few_lines() -> None:
    said = dict(modules())
    assert [path for path, text in said.items() if not text] == []
    words = {path: len(prose(text).split()) for path, text in said.items()}
    assert {path: count for path, count in words.items() if count > most(path)} == {}


def most(path: str) -> int:
    return MOST_OF_A_COMPARISON if path.startswith(("bench/", "tests/")) else MOST_WORDS
