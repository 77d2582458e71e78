"""The order in which tests run."""

from tests.conftest import spread


def test_tests_that_wait_are_spread_and_all_keep_their_order() -> None:
    items = [*(f"a{number}" for number in range(8)), "slow0", "slow1", "slow2"]
    order = spread(items, lambda item: item.startswith("slow"))
    assert order == ["slow0", "a0", "a1", "slow1", "a2", "a3", "slow2", "a4", "a5", "a6", "a7"]
    assert spread(["a", "b"], lambda _: False) == ["a", "b"]
    assert spread(["a", "b"], lambda _: True) == ["a", "b"]
