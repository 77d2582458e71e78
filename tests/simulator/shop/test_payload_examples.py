"""The example payloads of `tests/golden` are what the simulated shop makes today."""

from tests.support.shopify import payload_examples
from tests.support.shopify.golden import payloads


def test_the_example_payloads_are_those_that_the_simulated_shop_makes() -> None:
    stored = {payload.name: payload.body for payload in payloads()}
    made = payload_examples.written()
    assert stored.keys() == made.keys()
    differing = [name for name in made if made[name] != stored[name]]
    assert not differing, "python -m tests.support.shopify.payload_examples writes them anew"
