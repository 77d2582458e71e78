"""What a long outage writes."""

import logging

from orderwire.logs import SELDOM_S, Seldom


def test_a_line_that_repeats_is_written_once_in_a_while_and_others_beside_it() -> None:
    now_s = 0.0
    seldom = Seldom(lambda: now_s)

    def written(name: str, message: str, value: int) -> bool:
        return seldom.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, (value,), None))

    assert [written("aiokafka", "no connection to node %s", value) for value in range(3)] == [True, False, False]
    assert written("aiokafka", "no metadata of %s", 1)
    assert written("aiokafka.consumer", "no connection to node %s", 1)
    now_s = SELDOM_S
    assert [written("aiokafka", "no connection to node %s", value) for value in range(2)] == [True, False]
