"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from keystrand.edge.files import read_bytes, require_room, sha256_hex, write_atomic
from keystrand.model.errors import MissingInput, StoreFailure


def test_a_write_replaces_the_whole_content(tmp_path: Path) -> None:
    """The new content stands there with the mode asked for, and nothing is left beside it."""
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"first")
    write_atomic(path, b"second", mode=0o600)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_a_write_that_fails_leaves_the_earlier_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses to sync costs the new content only."""
    path = tmp_path / "file"
    write_atomic(path, b"first")

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreFailure, match="Input/output error"):
        write_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    """A path through a file is refused in words."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailure, match="could not be written"):
        write_atomic(tmp_path / "file" / "below", b"x")


def test_what_is_missing_is_named_with_the_next_step(tmp_path: Path) -> None:
    """A missing document says how to make it."""
    with pytest.raises(MissingInput, match=r"plan\.json does not exist") as caught:
        read_bytes(tmp_path / "plan.json", hint="make it first")
    assert caught.value.hint == "make it first"


def test_the_hash_is_sha256() -> None:
    """The empty input has the value that FIPS 180-4 gives it."""
    assert sha256_hex(b"").startswith("e3b0c44298fc1c14")


def test_room_is_sought_and_given_back(tmp_path: Path) -> None:
    """Where there is room nothing is left of the search; where there is none, or no folder, it is said."""
    require_room(tmp_path / "new", 2**20)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(StoreFailure, match="nothing can be written into"):
        require_room(tmp_path / "new", 2**62)
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailure, match="nothing can be written into"):
        require_room(tmp_path / "file", 1)
