"""The order in which tests run."""

import pytest

from tests.conftest import kafka_group, spread


def test_tests_that_wait_are_spread_and_all_keep_their_order() -> None:
    items = [*(f"a{number}" for number in range(8)), "slow0", "slow1", "slow2"]
    order = spread(items, lambda item: item.startswith("slow"))
    assert order == ["slow0", "a0", "a1", "slow1", "a2", "a3", "slow2", "a4", "a5", "a6", "a7"]
    assert spread(["a", "b"], lambda _: False) == ["a", "b"]
    assert spread(["a", "b"], lambda _: True) == ["a", "b"]


def test_tests_of_the_broker_are_grouped_before_xdist_reads_the_groups(
    pytestconfig: pytest.Config,
) -> None:
    hook = pytestconfig.hook.pytest_collection_modifyitems
    called = [each.plugin for each in reversed(hook.get_hookimpls())]
    names = [getattr(each, "__name__", type(each).__name__) for each in called]
    assert "tests.conftest" in names
    assert "WorkerInteractor" not in names[: names.index("tests.conftest")]
    files = ("tests/system/test_kafka_postgres.py::test_a", "tests/stream/log/kafka/test_log.py")
    assert len({kafka_group(each) for each in files}) == 2
