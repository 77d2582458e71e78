"""A reason is told once in a while, others beside it."""

from stream.rate_limit import EVERY_S, Told


def test_each_reason_is_due_once_in_a_while() -> None:
    now_s = 0.0
    told = Told(lambda: now_s)
    assert [told.due("disk full"), told.due("disk full"), told.due("locked")] == [True, False, True]
    now_s = EVERY_S - 1
    assert not told.due("disk full")
    now_s = EVERY_S
    assert [told.due("disk full"), told.due("disk full")] == [True, False]
