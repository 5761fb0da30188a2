"""Blocks as files: taken whole, once, from files that nobody else can read; removed when they are durable."""

import logging
import os
import secrets
import uuid
from pathlib import Path

import pytest

from keystrand.edge.devices import files
from keystrand.edge.devices.files import MOST_OCTETS, KeyFolder
from keystrand.edge.kme.confirming import AT_ONCE

from .conftest import Duo, until

POLICY = """\
name = "couriered"
default = "allow"
default_profiles = ["qkd"]
[[profile]]
name = "qkd"
strands = [{ source = "qkd", strength = "information-theoretic" }]
result = "information-theoretic"
"""


def put(folder: Path, content: bytes, name: str = "") -> Path:
    """Put a file into `folder` as a careful sender does: private, and renamed into place."""
    target = folder / (name or f"{uuid.uuid4()}.key")
    temporary = folder / f".{target.name}"
    temporary.write_bytes(content)
    temporary.chmod(0o600)
    return temporary.rename(target)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder whose files count as settled as soon as they are seen twice."""
    monkeypatch.setattr(files, "SETTLED_S", 0.0)
    made = tmp_path / "in"
    made.mkdir(mode=0o700)
    return made


def test_a_file_that_still_changes_is_not_taken(tmp_path: Path) -> None:
    """A file counts from the moment it last changed; a temporary file of somebody's own does not count at all."""
    made = tmp_path / "in"
    made.mkdir(mode=0o700)
    file, room = put(made, bytes(100)), KeyFolder(made)
    (made / ".half").write_bytes(b"half")
    assert room.settled() == []
    with file.open("ab") as more:
        more.write(b"more")
    assert room.settled() == []
    until(room.settled)
    assert room.settled() == [file.name]


def test_what_is_read_is_what_is_removed(folder: Path) -> None:
    """The bytes come out whole; then the file is gone. One that has taken its place meanwhile stays."""
    content = secrets.token_bytes(100)
    file, room = put(folder, content), KeyFolder(folder)
    assert room.settled() == [file.name]
    read = room.read(file.name)
    assert read
    assert (read.block_id, read.content.reveal()) == (file.stem, content)
    room.remove(read)
    assert list(folder.iterdir()) == []
    room.remove(read)
    other = put(folder, bytes(100), file.name)
    room.remove(read)
    assert other.read_bytes() == bytes(100)


def test_the_bytes_are_overwritten_before_the_name_goes(folder: Path) -> None:
    """Another name of the same file shows nothing of the key afterwards."""
    file, room = put(folder, secrets.token_bytes(100)), KeyFolder(folder)
    os.link(file, folder / ".second")
    read = room.read(file.name)
    assert read
    room.remove(read)
    assert (folder / ".second").read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "octets", "mode", "why"),
    [
        ("", 63, 0o600, "63 bytes"),
        ("", MOST_OCTETS + 1, 0o600, "65537 bytes"),
        ("", 100, 0o640, "others may read it"),
        ("", 100, 0o604, "others may read it"),
        ("notes.txt", 100, 0o600, "<UUID>.key"),
        ("0B8F5A51-7C8E-4A39-9A25-1DF5CB3E1A10.key", 100, 0o600, "<UUID>.key"),
        ("0b8f5a51-7c8e-4a39-9a25-1df5cb3e1a10.key.part", 100, 0o600, "<UUID>.key"),
    ],
)
def test_what_is_not_taken_is_told_once_and_stays(
    folder: Path, name: str, octets: int, mode: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong name, mode or length costs one line in the log that says why; a file that changed is looked at anew."""
    file, room = put(folder, bytes(octets), name), KeyFolder(folder)
    file.chmod(mode)
    room.settled()
    assert room.settled() == [file.name]
    with caplog.at_level(logging.WARNING):
        assert room.read(file.name) is None
    assert why in caplog.text
    assert room.settled() == []
    assert file.exists()
    file.write_bytes(bytes(200))
    assert room.settled() == [file.name]


def test_links_and_pipes_are_not_followed(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A link to a file elsewhere is refused, and a pipe does not hold up the source."""
    put(tmp_path, bytes(100), "elsewhere")
    link, pipe = folder / f"{uuid.uuid4()}.key", folder / f"{uuid.uuid4()}.key"
    link.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(pipe, 0o600)
    room = KeyFolder(folder)
    room.settled()
    assert [room.read(link.name), room.read(pipe.name)] == [None, None]
    assert "cannot be opened" in caplog.text
    assert "no plain file" in caplog.text


@pytest.mark.system
def test_the_same_files_at_both_ends_become_keys(duo: Duo) -> None:
    """Files put at one end wait for those at the other; then they are keys, labelled as configured, and gone."""
    (duo.pair.folder / "policy.toml").write_text(POLICY)
    places = [duo.pair.folder / f"in-{at}" for at in (0, 1)]
    for at, place in enumerate(places):
        place.mkdir(mode=0o700)
        table = f"[[file_source]]\nlink = 'corridor'\nfolder = 'in-{at}'\nmaster_kme = 'kme-a'\nqber = 0.03\n"
        duo.configure(at, table, head="policy = 'policy.toml'")
    keys = {f"{uuid.uuid4()}.key": secrets.token_bytes(1024) for _ in range(3)}
    for name, content in keys.items():
        put(places[0], content, name)
    until(lambda: not list(places[0].iterdir()))
    assert duo.bits(0, "qkd") == 0
    lone = put(places[1], secrets.token_bytes(1024))
    for name, content in keys.items():
        put(places[1], content, name)
    until(lambda: duo.bits(0, "qkd") == 3 * 8 * (1024 - 32))
    assert (lone.exists(), list(places[1].iterdir())) == (False, [])
    for told in duo.deliver(number=10):
        assert (told["keystrand_label"], told["keystrand_qber_max"]) == ("information-theoretic", 0.03)
    # the master's end is the only one that cuts
    assert duo.bits(1, "qkd") == 0


@pytest.mark.system
def test_files_that_differ_are_keys_for_nobody(duo: Duo) -> None:
    """One byte of difference between the ends costs the block at both."""
    places = [duo.pair.folder / f"in-{at}" for at in (0, 1)]
    for at, place in enumerate(places):
        place.mkdir(mode=0o700)
        duo.configure(at, f"[[file_source]]\nlink = 'corridor'\nfolder = 'in-{at}'\nmaster_kme = 'kme-a'\n")
    name, content = f"{uuid.uuid4()}.key", secrets.token_bytes(1024)
    put(places[1], content, name)
    put(places[0], content[:-1] + bytes((content[-1] ^ 1,)), name)
    good = f"{uuid.uuid4()}.key"
    for place in places:
        put(place, content, good)
    audits = duo.pair.folder / "kme-a.audit"
    until(lambda: any("block_differs" in path.read_text() for path in audits.glob("*.jsonl")))
    until(lambda: duo.bits(0, "qkd"))
    assert duo.bits(0, "qkd") == 8 * (1024 - 32)


@pytest.mark.system
def test_a_folder_that_is_not_there_is_told_and_waited_for(duo: Duo) -> None:
    """The source says what is wrong and goes on when it is mended; the KME serves meanwhile."""
    duo.configure(0, "[[file_source]]\nlink = 'corridor'\nfolder = 'later'\nmaster_kme = 'kme-a'\n")
    until(lambda: "later cannot be read" in duo.log(0))
    assert duo.bits(0, "qkd") == 0
    (duo.pair.folder / "later").mkdir(mode=0o700)
    until(lambda: "files of link corridor: goes on" in duo.log(0))


@pytest.mark.system
def test_many_files_at_one_end_hold_up_no_others(duo: Duo) -> None:
    """However many blocks wait for the other end, one that both have is confirmed all the same."""
    places = [duo.pair.folder / f"in-{at}" for at in (0, 1)]
    for at, place in enumerate(places):
        place.mkdir(mode=0o700)
        duo.configure(at, f"[[file_source]]\nlink = 'corridor'\nfolder = 'in-{at}'\nmaster_kme = 'kme-a'\n")
    for _ in range(2 * AT_ONCE + 1):
        put(places[0], secrets.token_bytes(100))
    until(lambda: not list(places[0].iterdir()))
    content, name = secrets.token_bytes(1024), "ffffffff-ffff-4fff-bfff-ffffffffffff.key"
    for place in places:
        put(place, content, name)
    until(lambda: duo.bits(0, "qkd") == 8 * (1024 - 32))
