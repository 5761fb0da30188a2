"""The walker: every file below a target ends in one outcome, in bounded memory, and nothing outside is read."""

import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO, cast

import pytest
from msgspec.structs import replace

from keystrand.edge.chunks.pool import ProcessPool
from keystrand.edge.chunks.task import Inline
from keystrand.edge.probes import contents, tree, walk
from keystrand.edge.probes.readers import Readers
from keystrand.edge.probes.tree import TreeProbe
from keystrand.formats.documents import encode_record
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome, Record, Strength
from keystrand.model.reading import FileReader, Found, Reading, StreamReader

USE = AlgorithmUse(algorithm="RSA-2048", function=Function.SIGNATURE)


def scan(folder: Path, path: str, probe: TreeProbe | None = None) -> tuple[list[Record], Attempt]:
    """Return the records before the last, and the last, which is the attempt on the whole target."""
    target = Target(id="files", probe=ProbeKind.X509, system="web", path=path)
    *records, whole = (probe or TreeProbe(ProbeKind.X509)).read(target, folder)
    assert isinstance(whole, Attempt)
    return records, whole


def places(records: list[Record]) -> list[str]:
    """Return the places of the observations."""
    return [one.place for one in records if isinstance(one, Observation)]


def attempts(records: list[Record]) -> dict[str, tuple[Outcome, str]]:
    """Return outcome and reason of each file's own attempt."""
    return {one.place: (one.outcome, one.reason) for one in records if isinstance(one, Attempt)}


class Marks:
    """A reader that finds the word `mark`, and keeps the paths it was given."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def read(self, path: str, content: bytes) -> Reading:
        """Return one use where the content holds the word; it is broken where it says so."""
        self.paths.append(path)
        if content.startswith(b"broken"):
            raise KeyError(content)
        if b"mark" in content:
            return Reading((Found("#1", Strength.CONFIGURED, USE),), Outcome.SEEN)
        return Reading(outcome=Outcome.UNPARSABLE, reason="cut off") if b"cut" in content else Reading()


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Marks:
    """Have all files read by one reader of ours."""
    found = Marks()
    reader = FileReader("x509", lambda path, _: not path.endswith(".unwanted"), found.read)
    monkeypatch.setattr(tree, "readers_of", lambda *_: Readers(whole=(reader,)))
    return found


@pytest.mark.usefixtures("marks")
def test_every_file_ends_in_one_outcome_and_the_tally_adds_up(tmp_path: Path) -> None:
    """Seen, none, unparsable, a reader that fails, and special files: each is counted once, and each trouble told."""
    for name, text in {"a": "mark", "b": "nothing", "c": "cut", "d": "broken", "e.unwanted": "mark"}.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
    records, whole = scan(tmp_path, ".")
    assert places(records) == ["file:a#1"]
    assert attempts(records) == {
        "file:a": (Outcome.SEEN, ""),
        "file:c": (Outcome.UNPARSABLE, "cut off"),
        "file:d": (Outcome.UNPARSABLE, "the reader failed on what it found: KeyError"),
        "file:pipe": (Outcome.UNREADABLE, "not a regular file"),
        "file:socket": (Outcome.UNREADABLE, "not a regular file"),
    }
    assert dict(whole.counts) == {
        Outcome.SEEN: 1, Outcome.NONE: 2, Outcome.UNREADABLE: 2, Outcome.UNPARSABLE: 2,
    }  # fmt: skip
    assert whole.outcome is Outcome.SEEN
    assert "2 unparsable" in whole.reason


@pytest.mark.usefixtures("marks")
def test_an_absolute_path_is_its_own_border(tmp_path: Path) -> None:
    """What the estate names by an absolute path is read, shown by it, and links out of it are not followed."""
    there, estate = tmp_path / "there", tmp_path / "estate"
    there.mkdir()
    estate.mkdir()
    (there / "a.pem").write_text("mark")
    (estate / "own.pem").write_text("mark")
    (there / "out.pem").symlink_to(estate / "own.pem")
    records, whole = scan(estate, str(there))
    assert places(records) == [f"file:{there}/a.pem#1"]
    assert (whole.outcome, whole.place) == (Outcome.SEEN, f"file:{there}")
    assert "out.pem: a link that leads out of the folder that is read" in whole.reason
    assert places(scan(estate, str(there / "a.pem"))[0]) == [f"file:{there}/a.pem#1"]


def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path, marks: Marks) -> None:
    """Whoever may write into the folder puts a link there once its files are listed: what it leads to is not read."""
    (tmp_path / "named" / "sub").mkdir(parents=True)
    (tmp_path / "named" / "first").write_text("nothing")
    (tmp_path / "named" / "sub" / "key").write_text("nothing")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key").write_text("mark")

    def swapped(file: walk.File) -> None:
        if file.shown.endswith("first"):
            (tmp_path / "named" / "sub").rename(tmp_path / "away")
            (tmp_path / "named" / "sub").symlink_to(tmp_path / "elsewhere")

    records, whole = scan(tmp_path, "named", TreeProbe(ProbeKind.X509, seen=swapped))
    assert places(records) == []
    assert marks.paths == ["named/first"]
    assert dict(whole.counts)[Outcome.UNREADABLE] == 1
    assert "link" in whole.reason


def test_a_name_that_is_no_text_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source code may hold half a character of UTF-16: no document can, and the scan goes on without it."""
    odd = replace(USE, algorithm="\ud800")
    found = (Found(":1", Strength.REFERENCED, odd), Found(":2", Strength.REFERENCED, USE))
    reader = FileReader("x509", lambda *_: True, lambda *_: Reading(found, Outcome.SEEN, "\udc80"))
    monkeypatch.setattr(tree, "readers_of", lambda *_: Readers(whole=(reader,)))
    (tmp_path / "a.py").write_text("x")
    records, whole = scan(tmp_path, "a.py")
    assert places(records) == ["file:a.py:2"]
    assert "no text" in whole.reason
    assert all(encode_record(record) for record in (*records, whole))


def test_half_a_character_in_a_list_of_packages_stops_nothing(tmp_path: Path) -> None:
    """As anybody may write it in JSON, which Python reads into a text that UTF-8 cannot hold."""
    (tmp_path / "package-lock.json").write_text('{"packages": {"node_modules/node-forge": {"version": "\\ud800"}}}')
    target = Target(id="files", probe=ProbeKind.BINARY, system="web", path=".")
    assert all(encode_record(record) for record in TreeProbe(ProbeKind.BINARY).read(target, tmp_path))


def test_two_names_of_one_file_are_one_reading_and_two_places(tmp_path: Path, marks: Marks) -> None:
    """A hard link, and a link beside its target, are told at each name; the octets are read once."""
    (tmp_path / "a").write_text("mark")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("a")
    records, whole = scan(tmp_path, ".")
    assert places(records) == ["file:a#1", "file:b#1", "file:c#1"]
    assert marks.paths == ["a"]
    assert dict(whole.counts) == {Outcome.SEEN: 3}


@pytest.mark.usefixtures("marks")
def test_an_inode_that_is_used_again_is_another_file() -> None:
    """A file that went, and one that came in its place: what was found in the one is not in the other."""

    def identity(name: str, changed_ns: int) -> int:
        status = SimpleNamespace(st_dev=7, st_ino=1 << 63, st_ctime_ns=changed_ns)
        return walk.File(f"/{name}", name, cast("os.stat_result", status)).identity

    assert identity("a", 1_700_000_000_000_000_000) == identity("b", 1_700_000_000_000_000_000)
    assert identity("a", 1_700_000_000_000_000_000) != identity("b", 1_700_000_000_000_000_001)


def test_a_folder_with_names_without_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder no more names are held than files of a target are read; folders count too."""
    monkeypatch.setattr(walk, "MAX_FILES", 3)
    for name in "abcd":
        (tmp_path / name).mkdir()
    found = list(walk.walk(walk.Root(tmp_path, tmp_path, tmp_path)))
    assert [one.outcome for one in found if isinstance(one, walk.Missed)] == [Outcome.SKIPPED]


def test_loops_of_links_end(tmp_path: Path) -> None:
    """Links to a folder above, to each other and to themselves: the walk ends and tells them."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "up").symlink_to("..")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "lost").symlink_to("nowhere")
    _, whole = scan(tmp_path, ".")
    assert dict(whole.counts) == {Outcome.UNREADABLE: 3}
    assert "inner/up: a link to a folder, which is not followed" in whole.reason
    assert whole.outcome is Outcome.UNREADABLE


@pytest.mark.usefixtures("marks")
def test_the_cap_on_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files beyond the cap are not read, and the attempt says so."""
    monkeypatch.setattr(tree, "walk", lambda start: walk.walk(start, max_files=3))
    for number in range(5):
        (tmp_path / f"{number}").write_text("mark")
    records, whole = scan(tmp_path, ".")
    assert len(places(records)) == 3
    assert "more than 3 files; the rest was not read" in whole.reason


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the system refuses is unreadable; the others are read."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.pem").write_text("nothing")
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    records, whole = scan(tmp_path, ".")
    assert attempts(records) == {"file:closed": (Outcome.UNREADABLE, "permission denied")}
    assert whole.outcome is Outcome.UNREADABLE


def test_made_up_file_systems_are_left_out() -> None:
    """Nothing below /proc is a file that anyone keeps: it is skipped, with the reason."""
    if not Path("/proc/self/mounts").exists():
        pytest.skip("no proc(5) here")
    (found,) = walk.walk(walk.Root(Path("/proc"), Path("/proc"), None))
    assert isinstance(found, walk.Missed)
    assert found.reason == "a file system of the kernel's (proc)"


def test_known_files_are_not_read_and_all_are_told(tmp_path: Path, marks: Marks) -> None:
    """A store may give what it knows of a file, which then counts as read, and learns of each."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("mark")
    told: list[tuple[str, int]] = []
    probe = TreeProbe(
        ProbeKind.X509,
        earlier=lambda file: contents.Result(Outcome.NONE) if file.shown == "a" and file.status.st_size == 4 else None,
        seen=lambda file: told.append((file.shown, file.status.st_size)),
    )
    records, whole = scan(tmp_path, ".", probe)
    assert (marks.paths, places(records), told) == (["b"], ["file:b#1"], [("a", 4), ("b", 4)])
    assert whole.counts == ((Outcome.SEEN, 1), (Outcome.NONE, 1))


@pytest.mark.parametrize("engine", [Inline(), ProcessPool(2)])
def test_workers_change_nothing(tmp_path: Path, engine: Inline | ProcessPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree read in chunks by other processes gives the same records, names that are not UTF-8 included."""
    monkeypatch.setattr(tree, "FILES_PER_CHUNK", 2)
    block = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for name in (b"a", b"b.pem", b"caf\xe9.pem", b"d"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(block if b"pem" in name else b"x")
    alone = scan(tmp_path, ".")
    assert alone[1].outcome is Outcome.UNPARSABLE
    assert scan(tmp_path, ".", TreeProbe(ProbeKind.X509, engine=engine)) == alone


def _words(_: str, stream: BinaryIO) -> Iterator[Found | Reading]:
    while part := stream.read(1024**2):
        if b"mark" in part:
            yield Found("@0x0", Strength.NEGOTIATED, USE)
    yield Reading(reason="cut")


def test_a_large_file_goes_to_stream_readers_in_flat_memory(tmp_path: Path) -> None:
    """A sparse file of 1 GB is read in pieces: what stands at its end is found, and memory does not follow its size."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1024**3)
        file.seek(0, os.SEEK_END)
        file.write(b"mark")
    whole_reader = FileReader("x509", lambda *_: True, lambda *_: pytest.fail("read whole"))
    readers = Readers(whole=(whole_reader,), streams=(StreamReader("x509", lambda *_: True, _words),))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = contents.read_file(str(tmp_path / "large"), "large", readers)
    assert (result.outcome, result.reason) == (Outcome.SEEN, "cut")
    assert [one.where for _, one in result.found] == ["@0x0"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
