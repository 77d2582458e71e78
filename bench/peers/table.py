"""What was compared, as README.md shows it: Markdown tables, the first column text and the others
figures, between two comments."""

from collections.abc import Sequence
from pathlib import Path

BEGIN, END = "<!-- bench.peers -->", "<!-- /bench.peers -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One of them."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def quote(file: Path, parts: Sequence[str]) -> None:
    """Write the parts between the two comments of a file, instead of what is there."""
    before, _, rest = file.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{file} has no {BEGIN} with an {END}")
    body = "\n\n".join(parts)
    file.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")
