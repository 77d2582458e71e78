"""Repairs JSON that strict decoders refuse because of an odd string or number.

A webhook's body never changes, so a refusal would be final. The stored record keeps the signed
body.
"""

import json
import math
import re
from typing import Any, Final

DEEPEST: Final = 100
"""Levels that are kept: Shopify's bodies have about ten, and decoders give up at about a
thousand."""
MOST_DIGITS: Final = 4_000
"""Of an integer; Python reads none of more than 4,300 (docs.python.org: "Integer string conversion
length limitation")."""
_structure: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{]+|[\]}]+', re.DOTALL)


def mended(body: bytes) -> bytes:
    """`body` as strict JSON in UTF-8. Raises ValueError if it is not JSON at all.

    Tolerated: a byte order mark, invalid UTF-8, lone surrogates, control characters in strings, NaN
    and infinities, integers beyond `MOST_DIGITS` and what is nested deeper than `DEEPEST` (they
    become null). Other integers keep all their digits.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        value = _loaded(text)
    except RecursionError:
        value = _loaded(_shallow(text))
    # "replace" makes lone surrogates question marks: UTF-8 has no form for them (RFC 3629, 3).
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _loaded(text: str) -> Any:
    return json.loads(
        text,
        strict=False,
        parse_constant=lambda _: None,
        parse_float=_finite,
        parse_int=lambda digits: int(digits) if len(digits) <= MOST_DIGITS else None,
    )


def _shallow(text: str) -> str:
    """`text` with null for each value that begins deeper than `DEEPEST`. Raises ValueError."""
    kept, depth, begin = [], 0, 0
    for found in _structure.finditer(text):
        brackets = found[0]
        if brackets[0] == '"':
            continue
        if brackets[0] in "[{":
            if depth <= DEEPEST < depth + len(brackets):
                kept.append(text[begin : found.start() + DEEPEST - depth])
            depth += len(brackets)
        else:
            if depth - len(brackets) <= DEEPEST < depth:
                begin = found.start() + depth - DEEPEST
            depth -= len(brackets)
    if depth:
        raise ValueError("brackets do not match")
    return "null".join((*kept, text[begin:]))


def _finite(digits: str) -> Any:
    number = float(digits)
    return number if math.isfinite(number) else None
