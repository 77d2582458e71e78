"""What starts of a broker leave for later ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from simulator.servers.kafka_cache import classes_of, format_data

META = "#\nnode.id=1\ndirectory.id=of-the-first\nversion=1\ncluster.id=of-the-first\n"


def properties(folder: Path) -> dict[str, str]:
    """What `meta.properties` says, without its comments."""
    lines = (folder / "meta.properties").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def test_data_folders_are_copies_of_the_first_with_ids_of_their_own(tmp_path: Path) -> None:
    formatted = tmp_path / "formatted"
    formatted.mkdir()
    (formatted / "meta.properties").write_text(META)
    (formatted / "bootstrap.checkpoint").write_bytes(b"\0levels\xff")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        format_data(tmp_path, folder)
        assert (folder / "bootstrap.checkpoint").read_bytes() == b"\0levels\xff"
    found = [properties(folder) for folder in folders]
    assert all(one["node.id"] == "1" and one["version"] == "1" for one in found)
    ids = {one[name] for one in found for name in ("cluster.id", "directory.id")}
    assert len(ids) == 4
    assert "of-the-first" not in ids


def test_of_those_that_miss_the_archive_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    made, waited = list[Path](), Event()

    def make(file: Path) -> None:
        assert not waited.wait(0.2), "somebody went on without"
        made.append(file)
        file.write_bytes(b"classes")

    def one(_: int) -> bytes:
        found = classes_of(tmp_path, make).read_bytes()
        waited.set()
        return found

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(one, range(3))) == [b"classes"] * 3
    assert len(made) == 1


def test_a_java_without_archives_is_asked_for_one_once(tmp_path: Path) -> None:
    made = list[Path]()
    for _ in range(2):
        assert classes_of(tmp_path, made.append).read_bytes() == b""
    assert len(made) == 1
