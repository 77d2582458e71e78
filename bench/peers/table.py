"""Prints what was compared as README.md shows it: Markdown tables, the first column text and the
others figures."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one, with an empty line before it."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    print("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)
