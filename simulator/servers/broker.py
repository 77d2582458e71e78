"""A real Apache Kafka broker for the demo, the tests and the benchmarks: one KRaft node on
loopback."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from simulator.servers.missing import Missing

VERSION = "4.1.1"
START_S, FETCH_S = 60.0, 300.0

_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After `kill` the node cannot register again before its old session ends: 9 s by default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # No record of its own each half second: nothing waits for one, and an idle broker costs half.
    "metadata.max.idle.interval.ms": "0",
    "auto.create.topics.enable": "false",
}
_WITH_USERS = {
    "listener.security.protocol.map": (
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT"
    ),
    "inter.broker.listener.name": "PLAINTEXT",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "listener.name.users.sasl.enabled.mechanisms": "PLAIN",
}
"""A listener more, on which users name themselves and may do what ACLs say. Whoever comes by the
other one may do everything."""
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>orderwire</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency></dependencies>
</project>
"""


class _Node(Protocol):
    """A broker on this machine, however it is run."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def remove(self) -> None: ...


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
        self._node: _Node | None = None

    @property
    def owned(self) -> bool:
        """Whether this object started the broker, and may kill it."""
        return self._node is not None

    def start(self) -> None:
        """Start the broker, return once it accepts connections (3 s with Java). Nothing to do for a
        given address."""
        if self.bootstrap:
            return
        port = free_port()
        self.listens = f"127.0.0.1:{port}"
        self.bootstrap = self._advertised or self.listens
        self._node = self._choose(port)
        try:
            self._up(self._node)
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
        self._up(node)

    def stop(self) -> None:
        """End the broker and delete its files."""
        node, self._node = self._node, None
        if node is not None:
            node.stop()
            node.remove()
            self.bootstrap = self.listens = ""

    def _own(self) -> _Node:
        if self._node is None:
            raise RuntimeError(
                "this broker was given by address; only one started here can be killed or restarted"
            )
        return self._node

    def _up(self, node: _Node) -> None:
        node.start()
        host, port = self.listens.rsplit(":", 1)
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

    def _choose(self, port: int) -> _Node:
        lacking = ["the address of a broker"]
        if not self._users and _answers("docker", "info"):
            return DockerNode(port, self._version, self.bootstrap)
        lacking.append("Docker with a daemon that answers")
        absent = [
            program
            for program, probe in (("java", "-version"), ("mvn", "-v"))
            if not _answers(program, probe)
        ]
        if not absent:
            jars = jars_of(self._version, self._cache or Path.home() / ".cache" / "orderwire")
            users_port = free_port()
            self.users_bootstrap = f"127.0.0.1:{users_port}" if self._users else ""
            return JavaNode(port, jars, self._directory, self.bootstrap, users_port, self._users)
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


class JavaNode:
    """Kafka in a Java process of our own."""

    def __init__(
        self,
        port: int,
        jars: Path,
        directory: Path | None,
        advertised: str,
        users_port: int = 0,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="orderwire-kafka-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config = self._directory / "server.properties"
        self._output = self._directory / "server.log"
        self._java = [
            "java",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            f"{jars}/*",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        controller = free_port()
        properties = _PROPERTIES | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{advertised}",
            "log.dirs": str(self._directory / "data"),
        }
        if users:
            known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
            also = f",USERS://127.0.0.1:{users_port}"
            properties |= _WITH_USERS | {
                "listeners": properties["listeners"] + also,
                "advertised.listeners": properties["advertised.listeners"] + also,
                "listener.name.users.plain.sasl.jaas.config": (
                    f"org.apache.kafka.common.security.plain.PlainLoginModule required {known};"
                ),
            }
        self._config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    def start(self) -> None:
        if not (self._directory / "data" / "meta.properties").exists():
            cluster = (
                base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
            )
            _run(
                [
                    *self._java,
                    "kafka.tools.StorageTool",
                    "format",
                    "-t",
                    cluster,
                    "-c",
                    str(self._config),
                ],
                START_S,
            )
        with self._output.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal then reaches us, and the broker ends after
            # those who use it.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [*self._java, "kafka.Kafka", str(self._config)],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises RuntimeError with the end of its log where the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            tail = self._output.read_text(errors="replace").splitlines()[-5:]
            raise RuntimeError(
                f"the Kafka broker ended with code {self._process.returncode}: " + " | ".join(tail)
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class DockerNode:
    """Kafka's official image. The port is the same inside and outside, since a broker advertises
    one address."""

    def __init__(self, port: int, version: str, advertised: str) -> None:
        self._name = f"orderwire-kafka-{os.getpid()}-{port}"
        properties = _PROPERTIES | {
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
            _run(self._create, FETCH_S)
            self._created = True
        _run(["docker", "start", self._name], START_S)

    def kill(self) -> None:
        _run(["docker", "kill", "--signal=KILL", self._name], START_S)

    def stop(self) -> None:
        if self._created:
            _run(["docker", "stop", "--time=20", self._name], START_S)

    def remove(self) -> None:
        if self._created:
            _run(["docker", "rm", "--force", "--volumes", self._name], START_S)


def jars_of(version: str, cache: Path) -> Path:
    """The folder with Kafka's jars, fetched if missing. Of two concurrent fetches the first to
    finish wins."""
    jars = cache / f"kafka-{version}"
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as work:
        Path(work, "pom.xml").write_text(_POM.format(version=version))
        arguments = ["-DoutputDirectory=jars", "-DincludeScope=runtime", "-DskipTests"]
        _run(
            [
                "mvn",
                "-q",
                "-B",
                "-f",
                f"{work}/pom.xml",
                "dependency:copy-dependencies",
                *arguments,
            ],
            FETCH_S,
        )
        try:
            Path(work, "jars").rename(jars)
        except OSError:
            if not jars.is_dir():
                raise
    return jars


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


def _answers(program: str, probe: str) -> bool:
    if shutil.which(program) is None:
        return False
    try:
        command = [program, probe]
        asked = subprocess.run(command, capture_output=True, timeout=15, check=False)  # noqa: S603
        return asked.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run(command: Sequence[str], timeout_s: float) -> None:
    done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False, text=True)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError(
            f"`{' '.join(command[:4])} ...` failed with code {done.returncode}: "
            f"{(done.stderr or done.stdout)[-500:]}"
        )
