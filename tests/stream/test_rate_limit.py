"""A line is logged once in a while, others beside it."""

from stream.rate_limit import EVERY_S, FORGOTTEN_AFTER, RateLimit


def test_each_kind_is_due_once_in_a_while_with_how_many_were_left_out() -> None:
    now_s = 0.0
    limit = RateLimit(lambda: now_s)
    due = [limit.allows(kind) for kind in ("disk full", "disk full", "locked")]
    assert (due, limit.left_out) == ([True, False, True], 0)
    now_s = EVERY_S - 1
    assert not limit.allows("disk full")
    now_s = EVERY_S
    assert [limit.allows("disk full"), limit.allows("disk full")] == [True, False]
    assert limit.left_out == 2


def test_a_kind_that_is_not_met_again_is_forgotten() -> None:
    now_s = 0.0
    limit = RateLimit(lambda: now_s)
    for number in range(100):
        limit.allows(f"{number} bytes wait")
    now_s = FORGOTTEN_AFTER * EVERY_S
    limit.allows("disk full")
    assert len(limit._lines) == 1
