"""Makes JSON readable that strict decoders refuse for an oddity in some string or number.

A webhook's body never changes, so a refusal is final: a lone surrogate in a field that nobody reads
must not cost the whole delivery. What is stored stays the body as it was signed.
"""

import json
import math
from typing import Any


def mended(body: bytes) -> bytes:
    """`body` as strict JSON in UTF-8. Raises ValueError where it is no JSON at all.

    Tolerated: a byte order mark, bytes that are no UTF-8, lone surrogates, control characters in
    strings, NaN and infinities (they become null). Integers keep all their digits.
    """
    text = body.decode("utf-8-sig", "replace")
    try:
        value = json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # "replace" makes lone surrogates question marks: UTF-8 has no form for them (RFC 3629, 3).
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _finite(digits: str) -> Any:
    number = float(digits)
    return number if math.isfinite(number) else None
