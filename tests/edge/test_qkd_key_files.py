"""Authentication key that cannot be used twice, and keys that are written once, whole and for the owner only."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

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


def test_a_full_disk_takes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rest cannot be written, no key leaves the file, and it serves as before."""

    def full(*_: object, **__: object) -> None:
        raise StoreFailure("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomic", full)
        with pytest.raises(StoreFailure):
            files.take_authentication(path)
    assert [one.name for one in path.parent.iterdir()] == ["auth"]
    assert files.take_authentication(path) == KEY


STEPS = ["link", "fsync", "replace", "unlink", "pwrite"]
"""What taking asks of the file system, in `os` by these names or in `Path`."""


def killed_while_taking(path: Path, step: str, *, after: bool) -> bool:
    """Take key in a child that dies at `step`; return whether it came so far."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    where: Any = Path if step in {"replace", "unlink"} else os
    real = getattr(where, step)

    def dying(*given: Any, **named: Any) -> None:
        if after:
            real(*given, **named)
        os._exit(9)

    setattr(where, step, dying)
    files.take_authentication(path, 64)
    os._exit(0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_killed_while_taking(path: Path, step: str, after: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Killed at any step, nobody takes key until what is left is removed, and no octet that was taken comes again.

    The child may have used its key only where it came to return it, so where `auth` begins with the next portion.
    """
    assert killed_while_taking(path, step, after=after)
    claim = path.with_name(".auth.in-use")
    if claim.exists():
        with pytest.raises(StoreFailure, match="another session"):
            files.check_authentication(path)
        with pytest.raises(StoreFailure, match="another session"):
            files.take_authentication(path)
        claim.unlink()
    gone = path.read_bytes() == KEY[64:]
    assert gone or path.read_bytes() == KEY
    assert gone or (step, after) in {
        ("link", False),
        ("link", True),
        ("fsync", False),
        ("fsync", True),
        ("replace", False),
    }
    assert files.take_authentication(path) == (KEY[64:] if gone else KEY)


def test_key_that_stays_elsewhere_is_not_taken(path: Path) -> None:
    """A link to the key, or a second name of it, would keep what is used up here."""
    link, name = path.with_name("link"), path.with_name("name")
    link.symlink_to(path)
    with pytest.raises(InvalidInput, match="a link"):
        files.take_authentication(link)
    name.hardlink_to(path)
    for one in (path, name):
        with pytest.raises(InvalidInput, match="second name"):
            files.check_authentication(one)
        with pytest.raises(InvalidInput, match="second name"):
            files.take_authentication(one)
    name.unlink()
    assert sorted(one.name for one in path.parent.iterdir()) == ["auth", "link"]
    assert files.take_authentication(path) == KEY


def test_only_what_is_a_file_of_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a folder, zeros, and what another user owns hold no secret."""
    os.mkfifo(path.with_name("pipe"), 0o600)
    for other in (path.with_name("pipe"), path.parent):
        with pytest.raises((InvalidInput, StoreFailure)):
            files.take_authentication(other)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(InvalidInput, match="another user"):
            files.take_authentication(path)
    path.write_bytes(bytes(128))
    with pytest.raises(InvalidInput, match="zeros"):
        files.take_authentication(path)


def test_sessions_that_take_and_return_at_once(path: Path) -> None:
    """While one returns key another cannot take any, so none that was taken is written back; it waits for its turn."""
    with files._alone(path):
        with pytest.raises(StoreFailure, match="another session"):
            files.take_authentication(path)
        timer = threading.Thread(target=files.return_authentication, args=(path, Secret(KEY[:64])))
        timer.start()
    timer.join()
    assert path.read_bytes() == KEY + KEY[:64]
    taken = [bytes(files.take_authentication(path, 64)) for _ in range(4)]
    assert b"".join(taken) == KEY + KEY[:64]


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
    with pytest.raises(InvalidInput, match="nothing can be put into"):
        files.check_new(tmp_path / "file" / "key")
    with pytest.raises(StoreFailure):
        files.write_new_key(tmp_path / "file" / "key", Secret(b"one"))
