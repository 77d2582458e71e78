"""A role waits for its store, and stops waiting when it is asked to."""

import asyncio
import io

import pytest
import stamina
import structlog

from orderwire import logs
from orderwire.serve.start.connections import wait_for_store
from orderwire.serve.waiting import again, unless_stopped
from orderwire.settings.program import Settings
from simulator.servers.broker import free_port


async def test_what_is_there_is_had_and_what_fails_for_good_is_raised() -> None:
    async def there() -> int:
        return 7

    async def broken() -> int:
        raise LookupError("gone")

    stop = asyncio.Event()
    assert await unless_stopped(stop, there()) == 7
    with pytest.raises(LookupError, match="gone"):
        await unless_stopped(stop, broken())


async def test_a_stop_ends_the_wait_for_a_database_that_is_away() -> None:
    settings = Settings.load(
        {"ORDERWIRE_STORE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none"}
    )
    stop = asyncio.Event()
    waiting = asyncio.create_task(wait_for_store(settings, stop))
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    stop.set()
    assert await asyncio.wait_for(waiting, 10) is None


async def test_what_is_tried_again_and_again_is_said_once_for_each_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stderr, hooks = io.StringIO(), stamina.instrumentation.get_on_retry_hooks()
    monkeypatch.setattr("sys.stderr", stderr)
    config = structlog.get_config()
    reasons = iter(["away", "away", "away", "full"])

    async def failing() -> str:
        for reason in reasons:
            raise OSError(reason)
        return "had"

    try:
        logs.configure("process")
        assert await again(0.01)(OSError, failing) == "had"
    finally:
        stamina.instrumentation.set_on_retry_hooks(hooks)
        structlog.configure(**config)
    lines = stderr.getvalue().splitlines()
    assert [("OSError: away" in line, "OSError: full" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
