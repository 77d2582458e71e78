"""What all destinations share knows no vendor, in its imports and in its words."""

import re
from pathlib import Path

from destinations import delivery
from destinations.registry import KINDS

SHARED = sorted(Path(delivery.__file__).parent.rglob("*.py"))
OF_A_VENDOR = re.compile(
    rf"destinations\.(?:{'|'.join(KINDS)})\b"  # An import of a kind.
    r"|\bMETA_\w+|\bMeta\b(?!\(|, Struct)"  # msgspec has a Meta of its own.
    r"|\bCAPI\b|\bConversions API\b|\bGraph API\b|\bfb\w+|[Ff]acebook|[Tt]ik[Tt]ok",
)


def test_delivery_names_no_vendor() -> None:
    assert SHARED
    found = [
        f"{path.name}: {match[0]}"
        for path in SHARED
        for match in OF_A_VENDOR.finditer(path.read_text())
    ]
    assert found == []
