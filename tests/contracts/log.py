"""The contract suite of logs (`stream/log/contract.py`). A backend's test file subclasses
`LogContract` and supplies two fixtures:

- `open_log`: a function that opens the same log once more, as another process would;
- `forget`: makes the log lose records before given positions of a topic (retention, an admin call);

and, if topics must be created beforehand, `topic` and `second_topic`. The suite closes what it
opens, some of it twice.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from stream.log.contract import Log
from tests.contracts.log_appending import Appending
from tests.contracts.log_kit import Forget, OpenLog
from tests.contracts.log_reading import Reading


class LogFixtures:
    @pytest.fixture
    def open_log(self) -> OpenLog:
        raise NotImplementedError("supplied by the backend's tests")

    @pytest.fixture
    def forget(self) -> Forget:
        raise NotImplementedError("supplied by the backend's tests")

    @pytest.fixture
    async def topic(self) -> str:
        return f"topic-{uuid4().hex}"

    @pytest.fixture
    async def second_topic(self) -> str:
        return f"second-{uuid4().hex}"

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid4().hex}"

    @pytest.fixture
    async def log(self, open_log: OpenLog) -> AsyncIterator[Log]:
        log = await open_log()
        yield log
        await log.close()

    @pytest.fixture
    async def other(self, open_log: OpenLog) -> AsyncIterator[Log]:
        """The same log as another process has it open."""
        log = await open_log()
        yield log
        await log.close()


class LogContract(LogFixtures, Appending, Reading):
    """All of it."""


class ReaderContract(LogFixtures, Reading):
    """What concerns readers only."""
