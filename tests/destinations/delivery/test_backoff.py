"""Waits: of a row that failed, of a paused account's probes, of a schedule that ends."""

from destinations.delivery.backoff import GROWING, Schedule, doubling, probe_ms


def test_waits_grow_up_to_the_cap_and_are_spread_by_chance() -> None:
    assert [GROWING.retry_ms(tries, 0.5) for tries in (1, 2, 3, 4)] == [750, 1500, 3000, 6000]
    assert GROWING.retry_ms(50, 1.0) == 15 * 60_000
    assert {GROWING.retry_ms(1, 0.0), GROWING.retry_ms(1, 0.999)} == {500, 1000}
    assert [GROWING.retry_ms(tries, 1.0, slow=True) for tries in (1, 2, 9)] == [
        5 * 60_000,
        10 * 60_000,
        60 * 60_000,
    ]


def test_probes_of_a_paused_account_come_ever_more_seldom() -> None:
    assert [probe_ms(probes) for probes in (0, 1, 2, 30)] == [15_000, 30_000, 60_000, 300_000]


def test_a_schedule_that_ends_gives_up_after_its_last_wait() -> None:
    schedule = Schedule((5_000, 60_000), jitter=0.0, ends=True)
    assert [schedule.retry_ms(tries, 0.7) for tries in (1, 2, 3)] == [5_000, 60_000, None]


def test_doubling_waits_end_with_the_last() -> None:
    assert doubling(1_000, 5_000) == (1_000, 2_000, 4_000, 5_000)
