"""Authentication key that cannot be used twice, and keys that are written once, whole and for the owner only."""

import stat
from pathlib import Path

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge import qkd_key_files as files
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure
from keystrand.qkd.authentication import AuthenticationKeyExhausted

KEY = bytes(range(192))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with three portions of key."""
    made = tmp_path / "auth"
    made.write_bytes(KEY)
    made.chmod(0o600)
    return made


def test_what_was_taken_is_gone(path: Path) -> None:
    """The front leaves the file before anybody has it; then the rest; then there is none."""
    assert files.take_authentication(path, 64) == KEY[:64]
    assert path.read_bytes() == KEY[64:]
    assert files.take_authentication(path) == KEY[64:]
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["auth"]
    with pytest.raises(AuthenticationKeyExhausted):
        files.take_authentication(path)


def test_more_than_there_is(path: Path) -> None:
    """More key than the file holds is refused, and nothing is taken."""
    with pytest.raises(AuthenticationKeyExhausted, match="192 octets"):
        files.take_authentication(path, 256)
    with pytest.raises(InvalidInput, match="no multiple"):
        files.take_authentication(path, 100)
    assert path.read_bytes() == KEY


def test_a_crash_while_taking_loses_the_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rest cannot be written, nobody finds the key again under its name, nor does a second session begin."""

    def full(*_: object, **__: object) -> None:
        raise StoreFailure("the disk is full")

    monkeypatch.setattr(files, "write_atomic", full)
    with pytest.raises(StoreFailure):
        files.take_authentication(path)
    with pytest.raises(MissingInput):
        files.take_authentication(path)
    path.write_bytes(KEY)
    path.chmod(0o600)
    with pytest.raises(StoreFailure, match="killed"):
        files.take_authentication(path)


def test_key_comes_back_behind_what_is_there(path: Path) -> None:
    """Unused key and refill follow what the file still holds."""
    taken = files.take_authentication(path, 128)
    files.return_authentication(path, Secret(taken))
    assert path.read_bytes() == KEY[128:] + KEY[:128]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_read_is_no_secret(path: Path, mode: int) -> None:
    """Authentication key that others may read is refused."""
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="others"):
        files.take_authentication(path)


def test_files_that_hold_no_key(path: Path) -> None:
    """A missing file and one of half a portion are refused."""
    with pytest.raises(MissingInput):
        files.check_authentication(path.with_name("none"))
    path.write_bytes(KEY[:-1])
    with pytest.raises(InvalidInput, match="191 octets"):
        files.check_authentication(path)


def test_a_key_is_written_once(tmp_path: Path) -> None:
    """A new file, for the owner only, and never over another, be it a link that leads nowhere."""
    path = tmp_path / "new" / "key"
    files.check_new(path)
    files.write_new_key(path, Secret(b"one"))
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for there in (path, link):
        with pytest.raises(InvalidInput, match="never overwritten"):
            files.check_new(there)
        with pytest.raises(InvalidInput, match="never overwritten"):
            files.write_new_key(there, Secret(b"two"))
    assert path.read_bytes() == b"one"
    assert sorted(one.name for one in path.parent.iterdir()) == ["key"]


def test_a_key_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that is a file is a failure of the store."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailure):
        files.write_new_key(tmp_path / "file" / "key", Secret(b"one"))
