"""Data keys: durable before use, gone when destroyed, useless in the wrong place; and the master key's sources."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.crypto.labels import STORE_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store import keyring as keyring_module
from keystrand.edge.store.keyring import FileKeyring, Keyring, Sealer
from keystrand.edge.store.master_key import (
    MasterKeySource,
    SecretSource,
    TokenSource,
    faults,
    open_keyring,
    read_secret,
)
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, StoreFailure

MASTER = bytes(range(32))
PLACE = bound(STORE_KEY, "store-1", "key-1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the keyring is."""
    return tmp_path / "keyring" / "kme.keyring"


def opened(file: Path, *, master: bytes = MASTER, store: str = "store-1", new: bool = False) -> FileKeyring:
    """Return the keyring in `file`."""
    return FileKeyring(file, Secret(master), store, new=new)


# -- the keyring


def test_a_data_key_is_durable_before_it_is_returned(file: Path) -> None:
    """What `create` returned another process can open, and no two epochs share a key."""
    keyring: Keyring = opened(file, new=True)
    keys = {epoch: keyring.create(epoch) for epoch in (1, 2, 7)}
    assert keyring.store_id == "store-1"
    assert len({key.reveal() for key in keys.values()}) == 3
    assert {len(key) for key in keys.values()} == {32}
    again = opened(file)
    assert again.epochs() == (1, 2, 7)
    assert all(again.open(epoch) == key for epoch, key in keys.items())
    keyring.close()


def test_no_data_key_stands_in_the_file_in_the_clear(file: Path) -> None:
    """The file is its owner's alone and holds nothing of a key."""
    key = opened(file, new=True).create(1)
    assert key.reveal() not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_epoch_is_never_given_a_second_key(file: Path) -> None:
    """A key that rows may be sealed under is not replaced."""
    keyring = opened(file, new=True)
    key = keyring.create(1)
    with pytest.raises(StoreFailure, match="never replaced"):
        keyring.create(1)
    assert keyring.open(1) == key


def test_a_destroyed_key_is_gone(file: Path) -> None:
    """It opens no more, here and after a restart, the others do, and destroying it again is no fault."""
    keyring = opened(file, new=True)
    keyring.create(1)
    other = keyring.create(2)
    keyring.destroy(1)
    keyring.destroy(1)
    for one in (keyring, opened(file)):
        assert one.epochs() == (2,)
        assert one.open(2) == other
        with pytest.raises(StoreFailure, match="destroyed") as caught:
            one.open(1)
        assert "copy" in caught.value.hint


def test_what_the_file_held_is_overwritten(file: Path) -> None:
    """The blocks of the earlier content, seen here by a second name of it, hold zeros once a key is destroyed."""
    keyring = opened(file, new=True)
    keyring.create(1)
    earlier = file.with_suffix(".earlier")
    os.link(file, earlier)
    size = earlier.stat().st_size
    keyring.destroy(1)
    assert earlier.read_bytes() == bytes(size)


@pytest.mark.system
def test_threads_and_processes_lose_no_key(file: Path) -> None:
    """Keys that are created at the same time all stay."""
    opened(file, new=True)
    code = (
        "import sys; from pathlib import Path; from keystrand.edge.store.keyring import FileKeyring;"
        "from keystrand.crypto.secret import Secret;"
        f"k = FileKeyring(Path(sys.argv[1]), Secret({MASTER!r}), 'store-1');"
        "[k.create(n) for n in range(100, 110)]"
    )

    def create(first: int) -> None:
        for epoch in range(first, first + 10):
            opened(file).create(epoch)

    threads = [threading.Thread(target=create, args=(10 * n,)) for n in range(3)]
    with subprocess.Popen([sys.executable, "-c", code, str(file)]) as other:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert other.wait(60) == 0
    assert opened(file).epochs() == (*range(30), *range(100, 110))


# -- what is refused


def test_a_keyring_that_is_not_there_is_made_only_for_a_new_store(file: Path) -> None:
    """A store that has lost its keyring gets no empty one."""
    with pytest.raises(MissingInput, match="does not exist"):
        opened(file)
    opened(file, new=True).create(1)
    assert opened(file, new=True).epochs() == (1,)


def test_a_keyring_that_others_can_reach_is_refused(file: Path) -> None:
    """Whoever else can read or write it must be shut out first."""
    opened(file, new=True)
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(InvalidInput, match="others") as caught:
            opened(file)
        assert "chmod 600" in caught.value.hint


def test_the_keyring_of_another_store_or_master_is_refused(file: Path) -> None:
    """Store, master key and keyring belong together."""
    opened(file, new=True).create(1)
    with pytest.raises(StoreFailure, match="keyring of store store-1"):
        opened(file, store="store-2")
    with pytest.raises(StoreFailure, match="altered, or the master key"):
        opened(file, master=bytes(32))
    file.write_bytes(file.read_bytes().replace(b'"store-1"', b'"store-2"'))
    with pytest.raises(StoreFailure, match="altered"):
        opened(file, store="store-2")


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(deadline=None)
def test_an_altered_keyring_is_refused(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """Whichever bit of the file is flipped, it is refused, and left as it is."""
    file = tmp_path_factory.mktemp("altered") / "kme.keyring"
    keyring = opened(file, new=True)
    keyring.create(1)
    keyring.create(2)
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= 1 << bit
    file.write_bytes(content)
    with pytest.raises(StoreFailure):
        opened(file)
    assert file.read_bytes() == content


def test_keys_taken_out_put_in_or_moved_are_noticed(file: Path) -> None:
    """The file is one whole: an entry that is missing, doubled or under another epoch is no valid keyring."""
    keyring = opened(file, new=True)
    keyring.create(1)
    keyring.create(2)
    content = file.read_bytes()
    entries = re.findall(rb'\{"epoch":\d,"key":"[^"]+"\}', content)
    for changed in (
        content.replace(entries[0] + b",", b""),
        content.replace(entries[1], entries[1] + b"," + entries[1]),
        content.replace(b'"epoch":2', b'"epoch":3'),
        content.replace(b'"format":1', b'"format":2'),
        content.replace(b"master-key", b"pkcs11"),
        b"",
        b"\xff",
    ):
        assert changed != content
        file.write_bytes(changed)
        with pytest.raises(StoreFailure):
            opened(file)


def test_a_folder_that_cannot_hold_it_is_named(tmp_path: Path) -> None:
    """A path below a file cannot be a keyring."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailure, match="cannot hold a keyring"):
        opened(tmp_path / "file" / "keyring", new=True)


# -- the sealer


@pytest.fixture
def sealer(file: Path) -> Iterator[Sealer]:
    """Return a sealer with the epochs 1 and 2."""
    keyring = opened(file, new=True)
    keyring.create(1)
    keyring.create(2)
    yield Sealer(keyring)
    keyring.close()


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_what_is_sealed_opens_in_its_place(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """The content comes back; sealed twice it is never the same; the sealed form is 28 bytes longer."""
    keyring = opened(tmp_path_factory.mktemp("ring") / "ring", new=True)
    keyring.create(1)
    sealer = Sealer(keyring)
    sealed, again = sealer.seal(1, content, PLACE), sealer.seal(1, Secret(content).view(), PLACE)
    assert sealed != again
    assert len(sealed) == len(content) + 28
    assert sealer.open(1, sealed, PLACE) == Secret(content) == Sealer(keyring).open(1, again, PLACE)


def test_a_row_altered_moved_or_of_another_epoch_does_not_open(sealer: Sealer) -> None:
    """Place and epoch are part of the seal, and so is every bit."""
    sealed = sealer.seal(1, b"key material", PLACE)
    moved = bound(STORE_KEY, "store-1", "key-2")
    flipped = [sealed[:n] + bytes((sealed[n] ^ 1,)) + sealed[n + 1 :] for n in range(len(sealed))]
    attempts = [
        (1, sealed, moved),
        (2, sealed, PLACE),
        (1, b"", PLACE),
        (1, sealed[:20], PLACE),
        (1, sealed[:-1], PLACE),
    ]
    for epoch, content, place in attempts + [(1, one, PLACE) for one in flipped]:
        with pytest.raises(StoreFailure, match="does not open"):
            sealer.open(epoch, content, place)


def test_an_old_copy_of_the_store_does_not_open(file: Path, sealer: Sealer) -> None:
    """Once the epoch is destroyed and forgotten, nothing that was sealed under it opens, in any process."""
    copy = sealer.seal(1, b"key material", PLACE)
    opened(file).destroy(1)
    sealer.forget(1)
    for one in (sealer, Sealer(opened(file))):
        with pytest.raises(StoreFailure, match="destroyed"):
            one.open(1, copy, PLACE)
    sealer.forget(1)


def test_a_key_seals_no_more_than_it_may(sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound for random nonces sealing is refused; another epoch goes on, and opening too."""
    monkeypatch.setattr(keyring_module, "_SEALS_PER_KEY", 3)
    sealed = [sealer.seal(1, b"x", PLACE) for _ in range(3)]
    with pytest.raises(StoreFailure, match="sealed 3 times"):
        sealer.seal(1, b"x", PLACE)
    sealer.seal(2, b"x", PLACE)
    assert sealer.open(1, sealed[0], PLACE) == Secret(b"x")
    sealer.forget(1)
    with pytest.raises(StoreFailure, match="sealed 3 times"):
        sealer.seal(1, b"x", PLACE)


# -- where the master key comes from


def test_a_master_key_file_is_made_for_a_new_store_only(tmp_path: Path) -> None:
    """It is made of mode 0600, with the keyring; a store that has lost it does not start."""
    source, file = MasterKeySource(file="kme.master"), tmp_path / "ring"
    with open_keyring(source, file, "s", home=tmp_path, new=True).create(1) as key:
        assert (tmp_path / "kme.master").stat().st_mode & 0o777 == 0o600
        assert open_keyring(source, file, "s", home=tmp_path, new=False).open(1) == key
    (tmp_path / "kme.master").unlink()
    with pytest.raises(MissingInput, match=r"kme\.master") as caught:
        open_keyring(source, file, "s", home=tmp_path, new=False)
    assert "never made anew" in caught.value.hint


def test_a_master_key_comes_from_a_credential_or_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A systemd credential by its name, or what a program prints, as bytes or as hexadecimal digits: one keyring."""
    file = tmp_path / "ring"
    opened(file, store="s", new=True).create(1)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "kme-master").write_bytes(MASTER)
    sources = (
        MasterKeySource(credential="kme-master"),
        MasterKeySource(command=("cat", str(tmp_path / "kme-master"))),
        MasterKeySource(command=("echo", MASTER.hex())),
    )
    for source in sources:
        assert open_keyring(source, file, "s", home=tmp_path, new=False).epochs() == (1,)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (MasterKeySource(), "exactly one of file, credential, command, pkcs11"),
        (MasterKeySource(file="a", credential="b"), "exactly one"),
        (
            MasterKeySource(pkcs11=TokenSource(module="m", token="t", pin=SecretSource())),  # noqa: S106  # a label
            "exactly one of file, credential, command",
        ),
        (MasterKeySource(file="open"), "others"),
        (MasterKeySource(file="short"), "holds 5 bytes"),
        (MasterKeySource(credential="absent"), "does not exist"),
        (MasterKeySource(command=("false",)), "exit code 1"),
        (MasterKeySource(command=("true",)), "no secret"),
        (MasterKeySource(command=("/nowhere/at/all",)), "FileNotFoundError"),
    ],
)
def test_a_source_that_gives_no_master_key_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: MasterKeySource, said: str
) -> None:
    """What is wrong, with nothing of a secret in it, and no keyring is made."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "open").write_bytes(MASTER)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "short").write_bytes(b"short")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(KeystrandError, match=said):
        open_keyring(source, tmp_path / "ring", "s", home=tmp_path, new=True)
    assert not (tmp_path / "ring").exists()


def test_without_a_unit_there_are_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the line that the unit lacks."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(MissingInput) as caught:
        read_secret(SecretSource(credential="pin"), tmp_path)
    assert "LoadCredential=pin:" in caught.value.hint
    assert list(faults(SecretSource(credential="pin"))) == []
