"""Kafka in a Java process of our own."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from simulator.servers.kafka_cache import format_data, java
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
_SHARED = [
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:ArchiveRelocationMode=0",
    "-Xlog:cds=off",
    "-Xlog:cds+dynamic=off",
]
"""The archive of classes is mapped where it was written for: to move it takes 0.1 s of CPU."""


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
        *,
        classes: Path,
        write_classes: bool = False,
    ) -> None:
        """`classes` is the archive of loaded classes; with `write_classes` the node writes it when
        it is stopped, and starts without."""
        self._jars = jars
        self._temporary = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="orderwire-kafka-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config = self._directory / "server.properties"
        self._output = self._directory / "server.log"
        option = "ArchiveClassesAtExit" if write_classes else "SharedArchiveFile"
        self._archive = f"-XX:{option}={classes}"
        self._writes = classes if write_classes else None
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
        with self._output.open("ab") as output:
            # A session of its own: Ctrl-C in a terminal then reaches us, and the broker ends after
            # those who use it.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [
                    *java(self._jars),
                    *_SHARED,
                    self._archive,
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

    def pause(self, *, paused: bool) -> None:
        """Take no turn of the processor, or go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        self.pause(paused=False)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            if self._writes is not None:
                self._writes.unlink(missing_ok=True)  # Perhaps half of it was written.
        self._process = None
