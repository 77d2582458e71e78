"""Metrics of all roles of one `serve` are given without the store, whichever role is asked."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from orderwire.serve.reporting import exposing as module
from orderwire.serve.reporting.exposing import exposing
from orderwire.serve.reporting.heartbeat import Identity
from orderwire.settings.program import ListenAddress
from simulator.servers.broker import free_port


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("orderwire_fenced", "Counted", registry=made)
    return made


def identity(role: str, folder: Path) -> Identity:
    return Identity(role, instance=f"here:{role}", metrics_folder=folder)


def roles(texts: list[bytes]) -> set[str]:
    return {text.partition(b'role="')[2].partition(b'"')[0].decode() for text in texts}


async def test_each_role_gives_the_metrics_of_all(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        every = [
            await stack.enter_async_context(exposing(registry(), identity(role, tmp_path), None))
            for role in ("receive", "process", "query")
        ]
        for texts in every:
            assert roles(await texts()) == {"receive", "process", "query"}
    assert os.listdir(tmp_path) == [], "an orderly end leaves nothing"


async def test_a_role_that_was_killed_or_hangs_is_left_out(tmp_path: Path) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    hanging = await asyncio.start_unix_server(hang, tmp_path / "process-1")
    killed = await asyncio.start_unix_server(hang, tmp_path / "receive-2")
    killed.close()
    (tmp_path / "receive-2").touch()
    patience_s, module.ANSWER_S = module.ANSWER_S, 0.05
    try:
        async with exposing(registry(), identity("query", tmp_path), None) as texts:
            assert roles(await texts()) == {"query"}
    finally:
        module.ANSWER_S = patience_s
        hanging.close()


async def test_another_role_takes_the_address_over_when_the_first_ends(tmp_path: Path) -> None:
    address = ListenAddress(f"127.0.0.1:{free_port()}", "ORDERWIRE_METRICS")
    pause_s, module.TAKE_OVER_S = module.TAKE_OVER_S, 0.01
    url = f"http://{address.host}:{address.port}/metrics"

    async def asked(session: aiohttp.ClientSession) -> set[str]:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with session.get(url) as response:
                        assert response.content_type == "text/plain"
                        return set((await response.text()).split('role="')[1:2][0].split('"')[:1])
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)

    try:
        async with aiohttp.ClientSession() as session:
            first = exposing(registry(), identity("receive", tmp_path), address)
            await first.__aenter__()
            assert await asked(session) == {"receive"}
            async with exposing(registry(), identity("process", tmp_path), address):
                assert await asked(session) == {"receive"}
                await first.__aexit__(None, None, None)
                assert await asked(session) == {"process"}
    finally:
        module.TAKE_OVER_S = pause_s
