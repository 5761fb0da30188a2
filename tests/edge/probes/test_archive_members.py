"""Archives: members by their place, nested ones too, and no archive costs more than it may."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.edge.probes import archives, contents
from keystrand.edge.probes.archives import Budget, Member, TooMuchError, is_archive, members
from keystrand.edge.probes.contents import Result, read_file
from keystrand.edge.probes.readers import Readers
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Outcome, Strength
from keystrand.model.reading import FileReader, Found, Reading

MIB = 1024**2


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of `files`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of `files`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def listed(content: bytes, name: str = "file") -> list[tuple[str, bytes | str]]:
    """Return each member's name with its content, or why it was refused."""
    found = members(io.BytesIO(content), name, Budget(len(content)))
    return [(one.name, one.content if isinstance(one, Member) else one.reason) for one in found]


FILES = {"a.txt": b"one", "folder/b.txt": b"two" * 1000, "empty": b""}


@pytest.mark.parametrize(
    "pack",
    [zipped, tarred, lambda f: tarred(f, tarfile.GNU_FORMAT), lambda f: tarred(f, tarfile.USTAR_FORMAT),
     lambda f: gzip.compress(tarred(f)), lambda f: bz2.compress(tarred(f)), lambda f: lzma.compress(tarred(f)),
     lambda f: zipped(f, zipfile.ZIP_STORED), lambda f: zipped(f, zipfile.ZIP_LZMA)],
)  # fmt: skip
def test_every_member_comes_out_as_it_went_in(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    """Zip and tar, bare and compressed, in the forms that the standard library writes."""
    content = pack(FILES)
    assert is_archive(content[: archives.HEAD])
    assert dict(listed(content)) == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(form: int) -> None:
    """Paths beyond 100 octets, and letters beyond ASCII."""
    files = {"deep/" * 60 + "long.pem": b"x", "schlüssel/日本.pem": b"y", "after": b"z" * 513}
    assert dict(listed(tarred(files, form))) == files


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_its_own_member(compress: Callable[[bytes], bytes]) -> None:
    """What is compressed alone is told under the name that it would unfold to."""
    assert listed(compress(b"text"), "doc/notes.txt.gz") == [("notes.txt", b"text")]


def test_nested_archives_are_read_to_a_depth() -> None:
    """A jar in a layer in an image: each level has its place; one deeper is told and left."""
    jar = zipped({"META-INF/X.RSA": b"signature", "lib.jar": zipped({"deep.pem": b"too deep"})})
    image = tarred({"layer.tar": tarred({"opt/app.jar": jar})})
    found = dict(listed(image))
    assert found["layer.tar!opt/app.jar!META-INF/X.RSA"] == b"signature"
    assert found["layer.tar!opt/app.jar!lib.jar"] == "an archive more than 3 deep, which is not opened"
    assert not any("deep.pem" in name for name in found)


def test_an_archive_behind_a_compression_is_opened_or_told() -> None:
    """A zip that somebody compressed once more; and compressions without end, of which the rest is told."""
    inner = zipped({"key.pem": b"pem"})
    assert listed(gzip.compress(inner), "a.zip.gz") == [("a.zip", inner), ("a.zip!key.pem", b"pem")]
    content = b"pem"
    for _ in range(9):
        content = gzip.compress(content)
    assert "deep" in str(listed(content, "a.gz")[-1][1])


def test_a_large_layer_is_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member above the limit is not kept, but an archive in it is still read; another file is refused."""
    monkeypatch.setattr(archives, "MAX_MEMBER", 10_000)
    layer = tarred({"etc/web.pem": b"pem", "filler": bytes(20_000)})
    found = dict(listed(tarred({"layer.tar": layer, "big": b"x" * 20_000})))
    assert found["layer.tar!etc/web.pem"] == b"pem"
    assert found["layer.tar!filler"] == found["big"] == "larger than 10000 octets"


@pytest.mark.parametrize(
    "bomb",
    [
        zipped({f"{n}": bytes(30 * MIB) for n in range(5)}),
        gzip.compress(tarred({"a": bytes(60 * MIB), "b": bytes(60 * MIB)}), 1),
        zipped({"a.zip": zipped({f"{n}": bytes(40 * MIB) for n in range(4)})}),
    ],
    ids=["zip", "tar.gz", "nested"],
)
def test_a_bomb_is_stopped(bomb: bytes) -> None:
    """What unfolds to a thousand times its size is stopped before it is all read, nested or not."""
    with pytest.raises(TooMuchError, match="far more than it holds"):
        listed(bomb)


def test_a_long_file_behind_a_compression_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream is unfolded to the limit of a member and no further."""
    monkeypatch.setattr(archives, "MAX_MEMBER", 10_000)
    assert listed(gzip.compress(bytes(20_000)), "a.gz") == [("a", "larger than 10000 octets")]


def test_members_without_number_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of members is bounded, nested ones counted in; so is a zip's table of contents."""
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    with pytest.raises(TooMuchError, match="more than 10 members"):
        listed(tarred({"a.zip": zipped({f"{n}": b"" for n in range(10)})}))
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 100)
    with pytest.raises(TooMuchError, match="table of contents"):
        listed(zipped({f"{n}": b"" for n in range(10)}))


END = struct.Struct("<4s4H2LH")
END_64, LOCATOR = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")


@pytest.mark.parametrize("form", ["zip64", "a mark inside the end record"])
def test_a_table_of_contents_is_bounded_wherever_its_size_stands(tmp_path: Path, form: str) -> None:
    """A file of holes costs nothing to make; its table would be read whole into memory."""
    size, path = 64 * MIB, tmp_path / "a.zip"
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(size)
        file.seek(size)
        if form == "zip64":
            file.write(END_64.pack(b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size - 100, 100))
            file.write(LOCATOR.pack(b"PK\6\7", 0, size, 1) + END.pack(b"PK\5\6", 0, 0, 1, 1, 1000, 0, 0))
        else:
            mark = int.from_bytes(b"PK\5\6", "little")
            file.write(END.pack(b"PK\5\6", 0, 0, 1, 1, size - 100, mark, 0))
    with path.open("rb") as file, pytest.raises(TooMuchError, match="table of contents"):
        list(members(file, "a.zip", Budget(size)))


def test_an_endless_header_is_not_kept() -> None:
    """A pax header that says it has gigabytes is refused by its length alone."""
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 5 * 1024**3
    with pytest.raises(ValueError, match="longer than any"):
        listed(entry.tobuf(tarfile.USTAR_FORMAT) + bytes(10_000))


def _reading(_: str, content: bytes) -> Reading:
    use = AlgorithmUse(algorithm="RSA-2048", function=Function.SIGNATURE)
    return Reading((Found("#1", Strength.CONFIGURED, use),), Outcome.SEEN) if content == b"mark" else Reading()


def read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> Result:
    """Return what a reader that looks for `mark` makes of a file with `content`."""
    path = tmp_path_factory.mktemp("archive") / "app.jar"
    path.write_bytes(content)
    return read_file(str(path), "app.jar", Readers(whole=(FileReader("x509", lambda *_: True, _reading),)))


def test_places_inside_archives(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A fact in a member stands at the member's path, and what is refused is a reason beside it."""
    result = read(tmp_path_factory, zipped({"META-INF/X.RSA": b"mark", "inner.zip": zipped({"b\n": b"mark"})}))
    assert [one.where for _, one in result.found] == ["!META-INF/X.RSA#1", "!inner.zip!b\\x0a#1"]
    assert (result.outcome, result.reason) == (Outcome.SEEN, "")


def test_no_member_is_read_once_no_more_is_kept(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members full of findings cost most: a small archive of them would hold up a scan for hours."""
    monkeypatch.setattr(contents, "MAX_FOUND", 2)
    asked: list[str] = []

    def reading(path: str, content: bytes) -> Reading:
        asked.append(path)
        return _reading(path, content)

    path = tmp_path_factory.mktemp("archives") / "a.zip"
    path.write_bytes(zipped({f"{n}.pem": b"mark" for n in range(9)}))
    reader = FileReader("x509", lambda name, _: name.endswith(".pem"), reading)
    result = read_file(str(path), "a.zip", Readers(whole=(reader,)))
    assert len(result.found) == len(asked) == 2
    assert "2 facts only" in result.reason


def test_slow_readers_get_a_bounded_share_of_an_archive(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source code that unfolds from a small archive must not hold up a scan; other readers read on, nested or not."""
    monkeypatch.setattr(archives, "MAX_SLOW", 10)
    path = tmp_path_factory.mktemp("archives") / "a.zip"
    path.write_bytes(zipped({"a.py": b"mark", "in.zip": zipped({"b.py": b"mark"}), "c.py": b"mark", "d": b"mark"}))
    slow = FileReader("source", lambda name, _: name.endswith(".py"), _reading, slow=True)
    fast = FileReader("x509", lambda name, _: not name.endswith("zip"), _reading)
    result = read_file(str(path), "a.zip", Readers(whole=(slow, fast)))
    told = [(kind, one.where) for kind, one in result.found]
    assert [where for kind, where in told if kind == "source"] == ["!a.py#1", "!in.zip!b.py#1"]
    assert [where for kind, where in told if kind == "x509"] == ["!a.py#1", "!in.zip!b.py#1", "!c.py#1", "!d#1"]
    assert result.reason == "c.py: the archive holds more than 10 octets of source to read; this was left out"
    alone = read_file(str(path), "a.zip", Readers(whole=(slow._replace(read=lambda *_: Reading()),)))
    assert alone.outcome is Outcome.SKIPPED


def test_a_bomb_ends_as_skipped(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The file's outcome says that it is our policy, and its reason why."""
    result = read(tmp_path_factory, zipped({f"{n}": bytes(30 * MIB) for n in range(5)}))
    assert result.outcome is Outcome.SKIPPED
    assert "unfolds to far more than it holds" in result.reason


def test_what_was_seen_before_a_bomb_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Members before the end of our patience count, and the reason says that there are more."""
    result = read(tmp_path_factory, zipped({"a": b"mark"} | {f"{n}": bytes(30 * MIB) for n in range(5)}))
    assert result.outcome is Outcome.SEEN
    assert "not read to its end" in result.reason


def test_damaged_and_locked_archives_are_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cut archive is unparsable; an encrypted member is skipped, by its name."""
    cut = read(tmp_path_factory, zipped(FILES)[:200])
    assert cut.outcome is Outcome.UNPARSABLE
    assert "cannot be read to its end" in cut.reason
    locked = bytearray(zipped({"secret.pem": b"mark"}))
    for at in (6, locked.index(b"PK\x01\x02") + 8):
        locked[at] |= 1
    result = read(tmp_path_factory, bytes(locked))
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "secret.pem: encrypted")


SAMPLES = [zipped(FILES), tarred(FILES), gzip.compress(tarred(FILES)), tarred({"long" * 60: b"x"})]


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_archives_end(tmp_path_factory: pytest.TempPathFactory, content: bytes, choices: st.DataObject) -> None:
    """Octets changed and cut anywhere: the file ends in one outcome, with a reason where it is not read."""
    damaged = bytearray(content)
    for at, value in choices.draw(
        st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4)
    ).items():
        damaged[at] = value
    result = read(tmp_path_factory, bytes(damaged[: choices.draw(st.integers(1, len(content)))]))
    assert result.outcome in (Outcome.NONE, Outcome.SEEN) or result.reason


def test_a_debian_package_gives_its_members() -> None:
    """Control and data, each a compressed tar, and a signature beside them, at their places (deb(5))."""

    def entry(name: bytes, content: bytes) -> bytes:
        head = name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) + b"0".ljust(6) + b"100644".ljust(8)
        return head + str(len(content)).encode().ljust(10) + b"`\n" + content + b"\n" * (len(content) % 2)

    packed = lzma.compress(tarred({"./etc/web.pem": b"pem"}))
    made = b"!<arch>\n" + entry(b"debian-binary", b"2.0\n") + entry(b"data.tar.xz/", packed)
    made += entry(b"_gpgorigin", b"signed!")
    found = dict(listed(made))
    assert found["data.tar.xz!./etc/web.pem"] == b"pem"
    assert found["_gpgorigin"] == b"signed!"
    assert not is_archive(b"!<arch>\nlib.o/")


def test_tars_of_every_age_are_read() -> None:
    """From before the mark of 1988, and GNU's sparse files, whose parts are read as they are stored."""
    old = bytearray(tarred({"old.pem": b"pem"}, tarfile.USTAR_FORMAT))
    old[257:265] = bytes(8)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old[:512])
    assert is_archive(bytes(old[:512]))
    assert listed(bytes(old)) == [("old.pem", b"pem")]
    sparse = tarfile.TarInfo("sparse.pem")
    sparse.size, sparse.type = 3, tarfile.GNUTYPE_SPARSE
    head = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    head[482] = 1  # the map goes on in another block
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    assert listed(bytes(head) + bytes(512) + b"pem".ljust(512, b"\0")) == [("sparse.pem", b"pem")]


def test_zip64_is_judged_by_its_own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the table of contents stands in the 64-bit record where the short one says so."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    content = zipped({"a": b"1", "b": b"2"})
    assert b"PK\x06\x06" in content
    assert dict(listed(content)) == {"a": b"1", "b": b"2"}
    wide = content[:-10] + b"\xff\xff\xff\xff" + content[-6:]
    assert dict(listed(wide)) == {"a": b"1", "b": b"2"}
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 10)
    with pytest.raises(TooMuchError, match="table of contents"):
        listed(wide)
