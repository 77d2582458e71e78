"""GraphQL documents for Shopify's Admin API, one file each; their fragments are in
`fields.graphql`.

Documents are returned without fragments: Events and bulk operations take one plain query.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from typing import Final

PRODUCTS: Final = "read_products"
CUSTOMERS: Final = "read_customers"
PERSONAL: Final = "level 2"
"""Approval of protected customer data (docs/facts/shopify-admin.md, "Protected customer data")."""
_FRAGMENT = re.compile(r"^fragment (\w+) on \w+ \{(.*?)^\}", re.DOTALL | re.MULTILINE)
_SPREAD = re.compile(r"\.\.\.(\w+)")


@lru_cache(maxsize=64)
def document(name: str, without: Collection[str] = frozenset()) -> str:
    """The document in `name.graphql`.

    `without` (hashable) names scopes that the token lacks: fields that need them are left out.
    """
    return inlined(_read(name), without)


def inlined(text: str, without: Collection[str] = frozenset()) -> str:
    """`text` with each `...Fragment` replaced by its fields, without comments."""
    found = dict(_FRAGMENT.findall(_permitted(_read("fields"), without)))
    text = _permitted(text, without)
    while match := _SPREAD.search(text):
        fields = " ".join(found[match[1]].split())
        text = text[: match.start()] + fields + text[match.end() :]
    return text.strip()


def _permitted(text: str, without: Collection[str]) -> str:
    lines = []
    for line in text.splitlines():
        fields, _, comment = line.partition("#")
        if comment.strip() in without or (comment and not fields.strip()):
            continue
        lines.append(fields.rstrip())
    return "\n".join(lines)


def _read(name: str) -> str:
    return files(__name__).joinpath(f"{name}.graphql").read_text("utf-8")
