"""The project stands alone: whatever code and documents cite is in the project, or public."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
ROOMS: Final = (
    "ingest|stream|processors|aggregates|destinations|query|orderwire|simulator|bench|tests|docs"
)
MADE_BY_A_PAGE: Final = ("aggregates/country_days/", "versions/NNNN_", "/tally/")
"""Files that a reader of a page makes."""
NOT_OURS: Final = frozenset({"build", "data", "dist", "node_modules"})

document: Final = re.compile(
    r"(?<![\w/.:-])((?:[\w.-]+/)*[\w-]+\.md)(?:\)|`)?((?:(?:,| and) \"[^\"]+\")*)"
)
module: Final = re.compile(rf"(?<![\w/.:-])((?:{ROOMS})(?:/\w+)+\.py)\b")
outside: Final = re.compile(
    r"\bDESIGN\b|\bSTYLE\.md|(?<![\w/-])reference(?: page|/[a-z])"
    r"|\b(?:shopify|meta-capi|analytics|streaming|destinations)(?:\.md)? \d"
    r"|\bmeta\.md \d|\.\./shared\b"
)
"""Pages and folders that are not in the project, and sections by number, which no page has."""


def files(*suffixes: str) -> list[Path]:
    """The project's own files, this one left out: it names what must not be named."""

    def ours(path: Path) -> bool:
        parts = path.relative_to(ROOT).parts
        return not NOT_OURS.intersection(parts) and not any(part.startswith(".") for part in parts)

    found = (path for suffix in suffixes for path in ROOT.rglob(f"*{suffix}"))
    return sorted(path for path in found if ours(path) and path != Path(__file__))


def joined(text: str) -> str:
    """`text` on one line, so that a citation may be broken anywhere; comment marks go."""
    return re.sub(r"\s*\n\s*(?:# ?)?", " ", text)


def headings(path: Path) -> set[str]:
    return {
        line.strip().replace("`", "")
        for line in re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    }


def dangling(path: Path, text: str) -> Iterator[str]:
    """Documents, headings and modules cited in `text` that are not there; relative to the root, or
    to a page's folder."""
    folders = (path.parent, ROOT) if path.suffix == ".md" else (ROOT,)
    flat = joined(text)
    for name, quoted in document.findall(flat) if ".md" in flat else ():
        target = next((each for folder in folders if (each := folder / name).is_file()), None)
        if target is None:
            yield name
        else:
            yield from (
                f'{name}, "{heading}"'
                for heading in re.findall(r'"([^"]+)"', quoted)
                if heading not in headings(target)
            )
    for name in module.findall(flat) if ".py" in flat else ():
        if not (ROOT / name).is_file() and not any(part in name for part in MADE_BY_A_PAGE):
            yield name


def test_whatever_is_cited_is_in_the_project() -> None:
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in files(".py", ".md")
        if (wrong := list(dangling(path, path.read_text())))
    }
    assert found == {}


def test_nothing_cites_a_page_outside_or_a_section_by_number() -> None:
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in files(".py", ".md")
        if (wrong := outside.findall(joined(path.read_text())))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("docs/nowhere.md", ["docs/nowhere.md"]),
        ('(docs/facts/shopify.md, "Refunds")', []),
        ('docs/facts/shopify.md,\n    # "Secret rotation"', []),
        ('docs/facts/shopify.md, "Refunds" and "No"', ['docs/facts/shopify.md, "No"']),
        ('docs/facts/shopify.md, "Nowhere"', ['docs/facts/shopify.md, "Nowhere"']),
        ("api.md", ["api.md"]),
        ("`stream/nowhere.py`", ["stream/nowhere.py"]),
        ("arroyo/tests/nowhere.py of another project", []),
    ],
)
def test_a_citation_that_leads_nowhere_is_found(text: str, found: list[str]) -> None:
    assert list(dangling(ROOT / "ingest/any.py", text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "(DESIGN, 'Outside contract')",
        "reference/shopify.md 1.3",
        "(analytics 5.3)",
        "shopify 2.2",
        "meta.md 3",
        "`../shared/samples`",
    ],
)
def test_pages_outside_and_numbered_sections_are_found(text: str) -> None:
    assert outside.search(text)
