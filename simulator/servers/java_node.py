"""Kafka in a Java process of our own. The jars folder in the user's cache also keeps what later
starts need not do again: a formatted data folder, and an archive of loaded classes."""

import base64
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from simulator.servers.commands import FETCH_S, START_S, run
from simulator.servers.node import PROPERTIES

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


class JavaNode:
    """One broker. It may be stopped and started again on its data."""

    def __init__(
        self,
        port: int,
        controller_port: int,
        jars: Path,
        directory: Path | None,
        advertised: str,
        users_port: int = 0,
        users: Mapping[str, str] | None = None,
    ) -> None:
        self._jars = jars
        self._temporary = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="orderwire-kafka-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config = self._directory / "server.properties"
        self._output = self._directory / "server.log"
        self._archive, self._new_archive = _archive(jars), jars / f"classes-{uuid.uuid4().hex}.new"
        self._process: subprocess.Popen[bytes] | None = None
        properties = PROPERTIES | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
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
        data = self._directory / "data"
        if not (data / "meta.properties").exists():
            format_data(self._jars, data)
        # With the classes of a run before it starts with half the CPU. Another Java, or other jars,
        # ignore the archive.
        if self._archive.exists():
            shared = f"-XX:SharedArchiveFile={self._archive}"
        else:
            shared = f"-XX:ArchiveClassesAtExit={self._new_archive}"
        with self._output.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal then reaches us, and the broker ends after
            # those who use it.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [
                    *_java(self._jars),
                    shared,
                    "-Xlog:cds=off",
                    "-Xlog:cds+dynamic=off",
                    "kafka.Kafka",
                    str(self._config),
                ],
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
        if self._new_archive.exists():
            self._new_archive.replace(self._archive)

    def remove(self) -> None:
        self._new_archive.unlink(missing_ok=True)
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
            self._new_archive.unlink(missing_ok=True)  # Perhaps half of it was written.
        self._process = None


def _java(jars: Path) -> list[str]:
    """The virtual machine, as one that lives for a minute wants it."""
    return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]


def _archive(jars: Path) -> Path:
    return jars / "classes.jsa"


def format_data(jars: Path, data: Path) -> None:
    """Make a data folder with a cluster id of its own. Kafka's own tool, which takes 2 s of CPU,
    makes the first one; the others are copies."""
    formatted = jars / "formatted"
    if not formatted.exists():
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix="formatting-") as work:
            config = Path(work, "server.properties")
            properties = PROPERTIES | {
                "controller.quorum.voters": "1@127.0.0.1:9093",
                "listeners": "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
                "log.dirs": f"{work}/data",
            }
            config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
            tool = ["kafka.tools.StorageTool", "format", "-t", _new_id(), "-c", str(config)]
            run([*_java(jars), *tool], START_S)
            _into_place(Path(work, "data"), formatted)
    shutil.copytree(formatted, data, dirs_exist_ok=True)
    identity = data / "meta.properties"
    lines = identity.read_text().splitlines()
    renewed = [
        f"{name}={_new_id()}" if name in ("cluster.id", "directory.id") else line
        for line in lines
        for name in [line.partition("=")[0]]
    ]
    identity.write_text("\n".join([*renewed, ""]))


def _new_id() -> str:
    """A random id as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


def jars_in(cache: Path, version: str) -> Path:
    """The folder for Kafka's jars, there or not."""
    return cache / f"kafka-{version}"


def jars_of(version: str, cache: Path) -> Path:
    """The folder with Kafka's jars, fetched if missing."""
    jars = jars_in(cache, version)
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as work:
        Path(work, "pom.xml").write_text(_POM.format(version=version))
        arguments = ["-DoutputDirectory=jars", "-DincludeScope=runtime", "-DskipTests"]
        run(
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
        _into_place(Path(work, "jars"), jars)
    return jars


def _into_place(made: Path, place: Path) -> None:
    """Of two that made it at one time the first to finish wins."""
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise
