"""The wall clock against a clock that never steps."""

from stream.clock import DOUBTED_MS, STEP_MS, WallClock, boot, steady_ms, wall_ms

DAY_MS = 86_400_000


class Clocks:
    """A wall clock and a steady one."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_795_348_800_000, 5_000
        self.clock = WallClock(lambda: self.wall, lambda: self.steady)

    def run(self, ms: int) -> None:
        self.wall += ms
        self.steady += ms


def test_time_that_passes_is_no_step() -> None:
    clocks = Clocks()
    clocks.run(DAY_MS)
    assert clocks.clock.careful_ms() == clocks.clock() == clocks.wall


def test_drift_is_followed() -> None:
    clocks = Clocks()
    for _ in range(10):
        clocks.run(1_000)
        clocks.wall += STEP_MS - 1
        assert clocks.clock.careful_ms() == clocks.wall


def test_a_step_forward_is_believed_once_it_has_lasted() -> None:
    clocks = Clocks()
    right = clocks.wall
    clocks.wall += DAY_MS
    assert clocks.clock.careful_ms() == right
    assert clocks.clock() == right + DAY_MS
    clocks.run(DOUBTED_MS - 1)
    assert clocks.clock.careful_ms() == right + DOUBTED_MS - 1
    clocks.run(1)
    assert clocks.clock.careful_ms() == clocks.wall


def test_a_step_back_takes_back_a_step_forward() -> None:
    clocks = Clocks()
    right = clocks.wall
    for by_ms in (DAY_MS, DAY_MS, -DAY_MS // 2, -DAY_MS // 2, -DAY_MS):
        clocks.wall += by_ms
        assert clocks.clock.careful_ms() == right
    clocks.wall -= DAY_MS
    assert clocks.clock.careful_ms() == right - DAY_MS


def test_a_process_that_is_stopped_between_both_clocks_sees_no_step() -> None:
    clocks = Clocks()
    pauses = [0, 0, 10_000, 0, 0]

    def wall() -> int:
        found = clocks.wall
        clocks.run(pauses.pop() if pauses else 0)
        return found

    clock = WallClock(wall, lambda: clocks.steady)
    for _ in range(5):
        assert clock.careful_ms() == clocks.wall


def test_a_step_before_the_process_began_is_doubted_too() -> None:
    clocks = Clocks()
    clocks.clock.doubt(DAY_MS)
    assert clocks.clock.careful_ms() == clocks.wall - DAY_MS


def test_the_machines_own_clocks_are_read() -> None:
    first = steady_ms()
    assert first <= steady_ms()
    assert wall_ms() > 1_700_000_000_000
    assert boot() == boot()
