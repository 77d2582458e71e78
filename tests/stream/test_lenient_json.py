"""Odd JSON is made readable, and broken JSON stays broken."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.lenient_json import mended

ODDITIES = {
    "half of an emoji": b'{"id":5,"note":"thanks \\ud83d"}',
    "the other half": b'{"id":5,"note":"\\ude00 thanks"}',
    "half of an emoji in a name": b'{"id":5,"\\ud83d":1}',
    "half of an emoji in UTF-8": b'{"id":5,"note":"\xed\xa0\xbd"}',
    "Latin-1": b'{"id":5,"note":"caf\xe9"}',
    "a bare line break": b'{"id":5,"note":"a\nb"}',
    "a control character": b'{"id":5,"note":"a\x01b"}',
    "no number": b'{"id":5,"weight":NaN}',
    "infinity": b'{"id":5,"weight":-Infinity}',
    "a number beyond every float": b'{"id":5,"weight":1e999}',
    "a byte order mark": b'\xef\xbb\xbf{"id":5}',
    "an integer of 5,000 digits": b'{"weight":' + b"9" * 5_000 + b',"id":5}',
    "lists in lists": b'{"note":' + b"[" * 5_000 + b"]" * 5_000 + b',"id":5}',
    "objects in objects": b'{"note":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b',"id":5}',
    "brackets in deep text": b'{"a":' + b'[0,"[\\"]",' * 2_000 + b"1" + b"]" * 2_000 + b',"id":5}',
}


@pytest.mark.parametrize("body", ODDITIES.values(), ids=ODDITIES)
def test_an_oddity_costs_nothing_but_itself(body: bytes) -> None:
    assert msgspec.json.decode(mended(body))["id"] == 5


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"id":5} {}', b'{"id":5,}', b'{"id":' + b"[" * 100_000, b"\xff"]
)
def test_what_is_no_json_stays_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        mended(body)


def test_only_what_is_nested_deeply_is_lost() -> None:
    deep = b"[" * 2_000 + b"]" * 2_000
    found = msgspec.json.decode(mended(b'{"a":[1,' + deep + b',2],"b":' + deep + b',"c":{"d":3}}'))
    assert (found["a"][0], found["a"][2], found["c"]) == (1, 2, {"d": 3})


def test_an_id_and_an_amount_keep_all_their_digits() -> None:
    body = b'{"id":820982911946154508,"price":89.99,"note":"\\ud83d"}'
    assert mended(body) == b'{"id":820982911946154508,"price":89.99,"note":"?"}'


@given(st.dictionaries(st.text(), st.integers(-(2**63), 2**63 - 1) | st.text() | st.booleans()))
def test_good_json_means_the_same(value: dict[str, object]) -> None:
    assert msgspec.json.decode(mended(msgspec.json.encode(value))) == value
