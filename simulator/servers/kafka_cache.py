"""What a broker in Java needs once per machine, kept in the user's cache: Kafka's jars, a formatted
data folder, and an archive of loaded classes. Of processes that miss a part at one time one makes
it, and the others wait."""

import base64
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock

from orderwire.settings.sources import child_environment
from simulator.servers.commands import FETCH_S, START_S, run
from simulator.servers.node import PROPERTIES

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>orderwire</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency></dependencies>
</project>
"""
_SHORT_LIVED = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
"""The virtual machine, as a program that lives for a minute wants it."""


def java(jars: Path) -> list[str]:
    """The command that runs a class of Kafka's."""
    return ["java", "-Xmx512m", *_SHORT_LIVED, "-cp", f"{jars}/*"]


def jars_in(cache: Path, version: str) -> Path:
    """The folder for Kafka's jars, there or not."""
    return cache / f"kafka-{version}"


def jars_of(version: str, cache: Path) -> Path:
    """The folder with Kafka's jars, fetched if missing."""
    jars = jars_in(cache, version)
    if jars.is_dir():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with _making(jars), tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as work:
        if jars.is_dir():
            return jars
        Path(work, "pom.xml").write_text(_POM.format(version=version))
        arguments = ["-DoutputDirectory=jars", "-DincludeScope=runtime", "-DskipTests"]
        maven = ["mvn", "-q", "-B", "-f", f"{work}/pom.xml", "dependency:copy-dependencies"]
        # 10 instead of 15 s of CPU.
        options = {"MAVEN_OPTS": " ".join(_SHORT_LIVED)} | child_environment({})
        run([*maven, *arguments], FETCH_S, options)
        Path(work, "jars").rename(jars)
    return jars


def format_data(jars: Path, data: Path) -> None:
    """Make a data folder with a cluster id of its own. Kafka's own tool, which takes 2 s of CPU,
    makes the first one; the others are copies."""
    formatted = jars / "formatted"
    if not formatted.exists():
        with _making(formatted):
            if not formatted.exists():
                _format(jars, formatted)
    shutil.copytree(formatted, data, dirs_exist_ok=True)
    identity = data / "meta.properties"
    lines = identity.read_text().splitlines()
    renewed = [
        f"{name}={_new_id()}" if name in ("cluster.id", "directory.id") else line
        for line in lines
        for name in [line.partition("=")[0]]
    ]
    identity.write_text("\n".join([*renewed, ""]))


def _format(jars: Path, formatted: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="formatting-") as work:
        config = Path(work, "server.properties")
        properties = PROPERTIES | {
            "controller.quorum.voters": "1@127.0.0.1:9093",
            "listeners": "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
            "log.dirs": f"{work}/data",
        }
        config.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        tool = ["kafka.tools.StorageTool", "format", "-t", _new_id(), "-c", str(config)]
        run([*java(jars), *tool], START_S)
        Path(work, "data").rename(formatted)


def classes_of(jars: Path, make: Callable[[Path], None]) -> Path:
    """The archive of classes, with which a broker starts with half the CPU. `make(file)` writes it
    (8 s of CPU), or nothing where this Java has none. Another Java, or other jars, ignore it."""
    archive = jars / "classes.jsa"
    if not archive.exists():
        with _making(archive):
            if not archive.exists():
                new = jars / "classes.new"
                new.unlink(missing_ok=True)
                make(new)
                new.touch()
                new.replace(archive)
    return archive


def _making(part: Path) -> AbstractContextManager[object]:
    """One at a time makes this part. Where the process dies the system lets go of it."""
    return FileLock(f"{part}.lock", timeout=FETCH_S + START_S)


def _new_id() -> str:
    """A random id as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
