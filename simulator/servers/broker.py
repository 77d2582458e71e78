"""A real Apache Kafka broker for the demo, the tests and the benchmarks: one KRaft node on
loopback."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from simulator.servers.commands import FETCH_S, START_S, answers, run
from simulator.servers.java_node import JavaNode
from simulator.servers.kafka_cache import classes_of, jars_in, jars_of
from simulator.servers.missing import Missing
from simulator.servers.node import PROPERTIES, BrokerNode

VERSION = "4.1.1"


class KafkaBroker:
    """`with KafkaBroker() as broker: broker.bootstrap`. Raises `Missing`. The methods block: call
    them in a thread from an event loop.

    The first source that works: a given address; Docker; Java 17 with Maven, which fetches Kafka's
    jars (45 files, 43 MB) once into the user's cache (docs/facts/streaming.md, "Kafka without
    Docker"). Acknowledged records survive `kill()` (-9), not a power cut.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        directory: Path | None = None,
        cache: Path | None = None,
        version: str = VERSION,
        advertised: str | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        """`address` (host:port[,host:port]) is used as it is, and never started or stopped.
        `directory` keeps data and server log, by default a temporary one; `cache` keeps the jars,
        by default ~/.cache/orderwire. `advertised` (host:port) is where clients are sent, for a
        proxy in front; `listens` is the broker's own address. `users`: name to password; they
        connect to `users_bootstrap` by SASL PLAIN, and need an ACL for whatever they do (with Java
        only)."""
        self.bootstrap = self.listens = address or ""
        self.users_bootstrap, self._users = "", dict(users or {})
        self._directory, self._cache, self._version = directory, cache, version
        self._advertised = advertised
        self._node: BrokerNode | None = None

    @property
    def owned(self) -> bool:
        """Whether this object started the broker, and may kill it."""
        return self._node is not None

    def start(self) -> None:
        """Start the broker, return once it accepts connections (2 s with Java). Nothing to do for a
        given address."""
        if self.bootstrap:
            return
        port = free_port()
        self.listens = f"127.0.0.1:{port}"
        self.bootstrap = self._advertised or self.listens
        self._node = self._choose(port)
        try:
            _up(self._node, self.listens)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """SIGKILL, as a machine's out-of-memory killer would; the data stays for `restart`."""
        self._own().kill()

    def restart(self) -> None:
        """Start again on the same data and the same port, after `kill` or instead of it."""
        node = self._own()
        node.stop()
        _up(node, self.listens)

    def pause(self, *, paused: bool) -> None:
        """Take no turn of the processor, or go on: a broker that nobody uses takes 2 % of a core.
        After 4 s its own node is new to it, and clients are told once that it leads nothing.
        Nothing changes for a broker that is not a Java process of ours."""
        if isinstance(self._node, JavaNode):
            self._node.pause(paused=paused)

    def stop(self) -> None:
        """End the broker and delete its files."""
        node, self._node = self._node, None
        if node is not None:
            node.stop()
            node.remove()
            self.bootstrap = self.listens = ""

    def _own(self) -> BrokerNode:
        if self._node is None:
            raise RuntimeError(
                "this broker was given by address; only one started here can be killed or restarted"
            )
        return self._node

    def _choose(self, port: int) -> BrokerNode:
        lacking = ["the address of a broker"]
        if not self._users and answers("docker", "info"):
            return DockerNode(port, self._version, self.bootstrap)
        lacking.append("Docker with a daemon that answers")
        cache = self._cache or Path.home() / ".cache" / "orderwire"
        needed = {"java": "-version", "mvn": "-v"}
        if jars_in(cache, self._version).is_dir():
            del needed["mvn"]  # To ask it takes 0.5 s of CPU.
        absent = [program for program, probe in needed.items() if not answers(program, probe)]
        if not absent:
            jars = jars_of(self._version, cache)
            users_port = free_port()
            self.users_bootstrap = f"127.0.0.1:{users_port}" if self._users else ""
            return JavaNode(
                port,
                free_port(),
                jars,
                self._directory,
                self.bootstrap,
                users_port,
                self._users,
                classes=classes_of(jars, lambda file: _write_classes(jars, file)),
            )
        lacking.append(f"Java 17 or later with Maven ({' and '.join(absent)} not found)")
        raise Missing("a Kafka broker", lacking)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _up(node: BrokerNode, listens: str) -> None:
    """Start it; return once it accepts connections."""
    node.start()
    host, port = listens.rsplit(":", 1)
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the Kafka broker did not answer within {START_S:.0f} s"
                ) from error
        time.sleep(0.1)
        if isinstance(node, JavaNode):
            node.check()


def _write_classes(jars: Path, file: Path) -> None:
    """A broker with users starts and ends, and writes to `file` which classes that took."""
    port = free_port()
    listens = f"127.0.0.1:{port}"
    users = {"somebody": "password"}
    node = JavaNode(
        port, free_port(), jars, None, listens, free_port(), users, classes=file, write_classes=True
    )
    try:
        _up(node, listens)
        node.stop()
    finally:
        node.kill()
        node.remove()


class DockerNode:
    """Kafka's official image. The port is the same inside and outside, since a broker advertises
    one address."""

    def __init__(self, port: int, version: str, advertised: str) -> None:
        self._name = f"orderwire-kafka-{os.getpid()}-{port}"
        properties = PROPERTIES | {
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": f"PLAINTEXT://:{port},CONTROLLER://localhost:9093",
            "advertised.listeners": f"PLAINTEXT://{advertised}",
        }
        settings = [
            f"--env=KAFKA_{name.upper().replace('.', '_')}={value}"
            for name, value in properties.items()
        ]
        publish = f"--publish=127.0.0.1:{port}:{port}"
        self._create = [
            "docker",
            "create",
            f"--name={self._name}",
            publish,
            *settings,
            f"apache/kafka:{version}",
        ]
        self._created = False

    def start(self) -> None:
        if not self._created:
            run(self._create, FETCH_S)
            self._created = True
        run(["docker", "start", self._name], START_S)

    def kill(self) -> None:
        run(["docker", "kill", "--signal=KILL", self._name], START_S)

    def stop(self) -> None:
        if self._created:
            run(["docker", "stop", "--time=20", self._name], START_S)

    def remove(self) -> None:
        if self._created:
            run(["docker", "rm", "--force", "--volumes", self._name], START_S)


def free_port() -> int:
    """A free TCP port on loopback that the system gives to nobody else for a minute.

    Its probe connection is closed by the listening side and stays in TIME_WAIT: the port is then in
    use for callers that ask for any port (this function included), and free for servers, which set
    SO_REUSEADDR.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        accepted, (_, _) = listener.accept()
        accepted.close()
        return int(listener.getsockname()[1])
