"""Repairs JSON that strict decoders refuse because of an odd string or number.

A webhook's body never changes, so a refusal would be final. The stored record keeps the signed
body.
"""

import json
import math
from typing import Any


def mended(body: bytes) -> bytes:
    """`body` as strict JSON in UTF-8. Raises ValueError if it is not JSON at all.

    Tolerated: a byte order mark, invalid UTF-8, lone surrogates, control characters in strings, NaN
    and infinities (they become null). Integers keep all their digits.
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
