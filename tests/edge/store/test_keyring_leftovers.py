"""What a process that was killed left half written of a keyring holds wrapped data keys: it does not stay."""

import os
from pathlib import Path

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge.files import temporary_of
from keystrand.edge.store.keyring import FileKeyring
from keystrand.model.errors import StoreFailure

_MASTER, _STORE = bytes(range(32)), "5" * 32


def keyring(file: Path, *, new: bool = False) -> FileKeyring:
    """Open a keyring."""
    return FileKeyring(file, Secret(_MASTER), _STORE, new=new)


def test_leftovers_are_overwritten_and_removed(tmp_path: Path) -> None:
    """By whatever name they lie beside the keyring; other files stay, and so does what a link points at."""
    file, other = tmp_path / "kme-a.keyring", tmp_path / "kme-b.keyring"
    keyring(file, new=True).create(1)
    keyring(other, new=True)
    names = temporary_of(file), tmp_path / ".kme-a.keyring.x7k2p_1q"
    kept = []
    for name in names:
        name.write_bytes(file.read_bytes())
        kept.append(tmp_path / f"linked-{name.name}")
        os.link(name, kept[-1])  # shows what became of the bytes
    target, theirs = tmp_path / "target", temporary_of(other)
    target.write_bytes(b"stays")
    (tmp_path / ".kme-a.keyring.link").symlink_to(target)
    theirs.write_bytes(b"theirs")
    assert keyring(file).epochs() == (1,)
    assert not [name for name in names if name.exists()]
    assert all(set(one.read_bytes()) == {0} for one in kept)
    assert target.read_bytes() == b"stays"
    assert not (tmp_path / ".kme-a.keyring.link").is_symlink()
    assert theirs.read_bytes() == b"theirs"


def test_a_write_that_is_cut_off_leaves_one_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins with it."""
    file = tmp_path / "kme-a.keyring"
    ring = keyring(file, new=True)

    class Killed(BaseException):
        """The process is gone in the middle of a write."""

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            ring.create(1)
    assert temporary_of(file).exists()
    assert temporary_of(file).stat().st_mode & 0o077 == 0
    assert ring.epochs() == ()
    assert not temporary_of(file).exists()
    ring.create(1)
    assert ring.epochs() == (1,)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring is as before, and nothing lies beside it."""
    file = tmp_path / "kme-a.keyring"
    ring = keyring(file, new=True)
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreFailure, match="No space left"):
            ring.create(1)
    assert file.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kme-a.keyring", "kme-a.keyring.lock"]
