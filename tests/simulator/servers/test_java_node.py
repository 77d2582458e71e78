"""What starts of a broker leave for later ones."""

from pathlib import Path

from simulator.servers.java_node import format_data

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
