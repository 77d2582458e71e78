"""The systems that bring a webhook to Meta, each started whole: orderwire's `serve`, and a receiver
and a sender by hand."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.peers import environment
from bench.peers.receivers import create_topic
from bench.receiving._webhooks import SECRET, SHOP
from orderwire.settings.sources import child_environment
from simulator.servers.broker import free_port
from simulator.servers.serve import role_of

PIXEL = "1234567890"
PATIENCE_S = 90.0


class Installed(NamedTuple):
    """A system under test."""

    webhooks: str
    kill: Callable[[], None]
    """Kills its sender with -9 and sees to it that it starts again."""


@asynccontextmanager
async def orderwire(
    graph: str, folder: Path, variables: Mapping[str, str]
) -> AsyncIterator[Installed]:
    """`serve` with its defaults."""
    address = f"127.0.0.1:{free_port()}"
    lines = {
        "webhook_secret": SECRET.decode(),
        "pixel_id": PIXEL,
        "access_token": "token",
        "graph_url": graph,
    }
    text = "\n".join(f'{name} = "{value}"' for name, value in lines.items())
    (folder / "orderwire.toml").write_text(f'[shops."{SHOP}"]\n{text}\n')
    settings = {
        "ORDERWIRE_LOG_URL": f"sqlite:///{folder}/log.db",
        "ORDERWIRE_STORE_URL": f"sqlite:///{folder}/state.db",
        "ORDERWIRE_RECEIVER": address,
        "ORDERWIRE_CONFIG": f"{folder}/orderwire.toml",
        "ORDERWIRE_SPOOL": f"{folder}/spool.db",
        "PYTHONPATH": str(environment.ROOT),
        **variables,
    }
    command = [sys.executable, "-m", "orderwire", "serve", "--roles", "receive,process"]
    with _child(command, folder, child_environment(settings)) as serve:

        def kill() -> None:
            for pid in _role(serve.pid):
                os.kill(pid, signal.SIGKILL)  # the supervisor starts it again

        await _accepts(address)
        yield Installed(f"http://{address}/webhooks/shopify", kill)


@asynccontextmanager
async def by_hand(
    graph: str, folder: Path, bootstrap: str, peers: str, at_once: int
) -> AsyncIterator[Installed]:
    """FastAPI and aiokafka in front, and an aiokafka consumer that posts."""
    topic, variables = f"peers-sent-{at_once}-received", environment.variables()
    await create_topic(bootstrap, topic)
    where = ["--bootstrap", bootstrap, "--topic", topic]
    receive = [peers, "-m", "bench.peers.programs.receive_fastapi", *where]
    send = [peers, "-m", "bench.peers.programs.send_aiokafka", *where]
    send += ["--graph", f"{graph}/v24.0/{PIXEL}/events", "--at-once", str(at_once)]
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(_child(receive, folder, variables, stdin=subprocess.PIPE))
        assert receiver.stdout is not None
        port = int(await asyncio.to_thread(receiver.stdout.readline))
        sender = [stack.enter_context(_child(send, folder, variables))]

        def kill() -> None:
            sender.pop().kill()
            sender.append(stack.enter_context(_child(send, folder, variables)))

        yield Installed(f"http://127.0.0.1:{port}/webhooks/shopify", kill)


@contextmanager
def _child(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], stdin: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=stdin,
            stdout=subprocess.PIPE if stdin else errors,
            stderr=errors,
        )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _role(supervisor: int) -> Iterator[int]:
    """The processes that fold and send, of this supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for pid in map(int, children):
        if role_of(Path(f"/proc/{pid}")) == "process":
            yield pid


async def _accepts(address: str) -> None:
    host, port = address.split(":")
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
