"""When our own failures stop a shop, and when they stop a processor."""

from processors.engine.limits import Failures, ParkLimit, Passed


def passed_at(failures: Failures, records: list[tuple[str, bool]]) -> tuple[int, Passed] | None:
    """After how many records which limit is passed."""
    for number, (shop, failed) in enumerate(records, 1):
        if (passed := failures.note(shop, failed=failed)) is not None:
            return number, passed
    return None


def test_a_share_of_a_shops_records_above_the_ratio_stops_it_but_a_few_do_not() -> None:
    failures = Failures(ParkLimit(max_run=100, max_ratio=0.2, window=50))
    assert passed_at(failures, [("a", number % 6 == 0) for number in range(500)]) is None
    found = passed_at(failures, [("a", number % 3 == 0) for number in range(500)])
    assert found is not None
    assert found[1].shop == "a"


def test_failures_in_a_row_are_counted_by_shop_whatever_comes_between() -> None:
    failures = Failures(ParkLimit(max_run=10))
    mixed = [("a", True), ("b", False), ("b", False)] * 20
    found = passed_at(failures, mixed)
    assert found is not None
    assert (found[0], found[1].shop) == (28, "a")


def test_many_shops_that_fail_stop_the_processor_before_any_of_them_reaches_its_own_limit() -> None:
    failures = Failures(ParkLimit(max_run=100))
    found = passed_at(failures, [(f"shop{number % 50}", True) for number in range(1_000)])
    assert found is not None
    assert found == (
        200,
        Passed(None, "200 of the last 200 records failed, 200 in a row, of 50 shops"),
    )


def test_one_failure_of_another_shop_does_not_make_a_shops_poison_everybodys() -> None:
    failures = Failures(ParkLimit(max_run=10_000, max_ratio=0.2, window=1_000))
    poison = [("a", True), *[("a", False)] * 2, *[("b", False)] * 5]
    found = passed_at(failures, [("b", True), *poison * 2_000])
    assert found is not None
    assert found[1].shop == "a"


def test_a_shop_without_failures_is_not_remembered_and_one_that_recovered_is_forgotten() -> None:
    failures = Failures(ParkLimit(window=50))
    failures.note("a", failed=True)
    for _ in range(200):
        failures.note("a", failed=False)
        failures.note("b", failed=False)
    assert failures._shops == {}
    assert not failures._all.seen
