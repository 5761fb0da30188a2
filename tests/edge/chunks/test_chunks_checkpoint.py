"""A sweep that ends early goes on where it was, and a checkpoint of another sweep is left alone."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.chunks import sweeps

from keystrand.edge.chunks.checkpoint import MANIFEST
from keystrand.edge.chunks.sweep import Part, map_chunks
from keystrand.edge.chunks.task import ChunkFailed, Engine, Function, Inline, Outcome, Task, compute, kinds
from keystrand.model.errors import DocumentMismatch, InvalidInput, StoreFailure, UnsupportedFormat

ROOT = Path(__file__).parents[3]
SEED = 99
NUMBERS = [3, 1, 4, 1, 5, 9, 2, 6]


def draw(number: int, seed: np.random.SeedSequence) -> tuple[float, ...]:
    """Draw `number` numbers; below zero there are none."""
    if number < 0:
        raise ValueError("none")
    return tuple(np.random.default_rng(seed).random(number).tolist())


def other(number: int, seed: np.random.SeedSequence) -> tuple[float, ...]:
    """Draw them in another function."""
    return draw(number, seed)


class Counting:
    """Engine: inline, and says which chunks it was given; `most` is how many it does before it is interrupted."""

    def __init__(self, most: int = 1000) -> None:
        self.done: list[int] = []
        self._most = most

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield what came of each task."""
        for task in tasks:
            if len(self.done) == self._most:
                raise KeyboardInterrupt
            self.done.append(task.chunk)
            yield [compute(function, task)]


def sweep(folder: Path | None, engine: Engine | None = None, **changes: Any) -> list[tuple[float, ...]]:
    """Run the sweep of these tests, with changes."""
    told: dict[str, Any] = {"function": draw, "chunks": NUMBERS, "seed": SEED} | changes
    return map_chunks(told.pop("function"), told.pop("chunks"), engine=engine or Inline(), checkpoint=folder, **told)


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def chunk_file(folder: Path, chunk: int) -> Path:
    """Return the file of one chunk."""
    (path,) = folder.glob(f"chunk-{chunk:06d}-*")
    return path


WHOLE = sweep(None)


@given(st.lists(st.integers(0, 9), max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_sweep_goes_on_where_it_was(tmp_path_factory: pytest.TempPathFactory, stops: list[int]) -> None:
    """However often it is interrupted, each chunk is done once and the results are those of an unbroken sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    done: list[int] = []
    for most in stops:
        engine = Counting(most)
        with suppress(KeyboardInterrupt):
            sweep(folder, engine)
        done += engine.done
    last = Counting()
    assert sweep(folder, last) == WHOLE
    assert sorted(done + last.done) == list(range(len(NUMBERS)))


def test_a_finished_sweep_runs_nothing_and_tells_its_progress(tmp_path: Path) -> None:
    """The second time all is there, and the files stay as they are."""
    sweep(tmp_path / "new" / "folder")
    before, again, told = content(tmp_path / "new" / "folder"), Counting(), []
    assert sweep(tmp_path / "new" / "folder", again, progress=lambda *done: told.append(done)) == WHOLE
    assert (again.done, told) == ([], [(8, 8)])
    assert content(tmp_path / "new" / "folder") == before


def test_parts_done_on_two_machines_complete_a_sweep_in_one_folder(tmp_path: Path) -> None:
    """Files copied together are the whole; what is missing of it is done."""
    here, there = tmp_path / "here", tmp_path / "there"
    sweep(here, part=Part(1, 2))
    sweep(there, part=Part(2, 2))
    for path in there.iterdir():
        (here / path.name).write_bytes(path.read_bytes())
    engine = Counting()
    assert sweep(here, engine) == WHOLE
    assert engine.done == []
    chunk_file(there, 3).unlink()
    assert sweep(there, engine) == WHOLE
    assert engine.done == [0, 2, 3, 4, 6]


def test_a_failure_keeps_what_was_finished(tmp_path: Path) -> None:
    """What came with the failure in one batch, or before it, is there the next time."""

    class Batch(Counting):
        def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
            yield [outcome for batch in super().run(function, tasks) for outcome in batch]

    chunks = [2, -1, 3]
    with pytest.raises(ChunkFailed, match="chunk 1 of 3, -1, failed: ValueError: none"):
        sweep(tmp_path, Batch(), chunks=chunks)
    engine = Counting()
    with pytest.raises(ChunkFailed, match="chunk 1 of 3"):
        sweep(tmp_path, engine, chunks=chunks)
    assert engine.done == [1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": SEED + 1}, "seed is 99, not 100"),
        ({"chunks": [*NUMBERS[:-1], 7]}, "arguments_sha256 is"),
        ({"chunks": NUMBERS[:-1]}, "chunks is 8, not 7"),
        ({"function": other}, r"function is .*draw, not .*other"),
        ({"version": 2}, "version is 1, not 2"),
    ],
)
def test_a_checkpoint_of_another_sweep_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """The error says what differs; nothing runs and nothing is written."""
    sweep(tmp_path, part=Part(1, 2))
    before, engine = content(tmp_path), Counting()
    with pytest.raises(DocumentMismatch, match=said):
        sweep(tmp_path, engine, **changes)
    assert engine.done == []
    assert content(tmp_path) == before


@pytest.mark.parametrize("field", ["keystrand", "numpy"])
def test_a_checkpoint_of_another_release_is_refused(tmp_path: Path, field: str) -> None:
    """Another release of ours or of NumPy may draw other numbers."""
    sweep(tmp_path)
    manifest = msgspec.json.decode((tmp_path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode(manifest | {field: "0.0.1"}))
    with pytest.raises(DocumentMismatch, match=f"{field} is 0.0.1, not"):
        sweep(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "error", "said"),
    [
        (b"", InvalidInput, "does not describe a sweep"),
        (b"{}", InvalidInput, "does not describe a sweep"),
        (b'{"format_version": 1, "seed": 3}', InvalidInput, "does not describe a sweep"),
        (b'{"format_version": 2, "news": 3}', UnsupportedFormat, "format 2; this release reads 1"),
    ],
)
def test_an_unreadable_manifest_is_refused(tmp_path: Path, manifest: bytes, error: type, said: str) -> None:
    """A checkpoint that does not say which sweep it is of is left as it is."""
    sweep(tmp_path, part=Part(1, 2))
    (tmp_path / MANIFEST).write_bytes(manifest)
    before = content(tmp_path)
    with pytest.raises(error, match=said):
        sweep(tmp_path)
    assert content(tmp_path) == before


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    """A wrong folder is not filled; chunks without their manifest are such a folder."""
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(InvalidInput, match=r"no sweep.json but other files: letters.txt"):
        sweep(tmp_path)
    assert [*content(tmp_path)] == ["letters.txt"]
    with pytest.raises(StoreFailure, match="cannot be used as a checkpoint: File exists"):
        sweep(tmp_path / "letters.txt")


def test_a_chunk_of_another_sweep_is_refused(tmp_path: Path) -> None:
    """A foreign file is refused by its name, and by its content where it was renamed."""
    here, there = tmp_path / "here", tmp_path / "there"
    sweep(here, part=Part(1, 2))
    sweep(there, seed=SEED + 1)
    foreign = chunk_file(there, 1)
    (here / foreign.name).write_bytes(foreign.read_bytes())
    with pytest.raises(DocumentMismatch, match=f"{foreign.name} belongs to another sweep"):
        sweep(here)
    own = chunk_file(here, 0).name.replace("000000", "000001")
    (here / foreign.name).rename(here / own)
    with pytest.raises(DocumentMismatch, match="of another sweep, or is renamed"):
        sweep(here)
    (here / own).write_bytes(chunk_file(here, 0).read_bytes())
    with pytest.raises(DocumentMismatch, match="holds chunk 0 of another sweep, or is renamed"):
        sweep(here)
    (here / own).rename(here / own.replace("000001", "000008"))
    with pytest.raises(DocumentMismatch, match="belongs to another sweep"):
        sweep(here)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_damaged_chunk_is_done_again(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int, *, cut: bool
) -> None:
    """Any flipped bit, any cut: the chunk's checksum fails, it is computed again, and its file is whole again."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep(folder)
    path = chunk_file(folder, 5)
    whole = path.read_bytes()
    place %= len(whole)
    flipped = bytes([whole[place] ^ 1 << bit])
    path.write_bytes(whole[:place] + (b"" if cut else flipped + whole[place + 1 :]))
    engine = Counting()
    assert sweep(folder, engine) == WHOLE
    assert engine.done == [5]
    assert path.read_bytes() == whole


def test_damage_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who runs the sweep hears of it."""
    sweep(tmp_path)
    chunk_file(tmp_path, 2).write_bytes(b"")
    sweep(tmp_path)
    assert "is damaged; chunk 2 is done again" in caplog.text


def test_a_folder_is_for_one_sweep_at_a_time(tmp_path: Path) -> None:
    """A second one that starts meanwhile is refused, and the first goes on."""

    def intrude(done: int, _total: int) -> None:
        if done == 3:
            with pytest.raises(StoreFailure, match="in use by another sweep"):
                sweep(tmp_path)

    assert sweep(tmp_path, progress=intrude) == WHOLE


def test_a_folder_that_cannot_be_locked_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems lock no folders: the error says so."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreFailure, match="cannot be locked: No locks available"):
        sweep(tmp_path)
    assert content(tmp_path) == {}


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can put files there could choose the results: nothing is read or written."""
    tmp_path.chmod(0o777)
    with pytest.raises(InvalidInput, match="everybody"):
        sweep(tmp_path)
    tmp_path.chmod(0o700)
    if os.getuid() == 0:
        os.chown(tmp_path, 12346, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(InvalidInput, match="another user"):
        sweep(tmp_path)
    assert content(tmp_path) == {}


def test_a_chunk_that_is_no_file_of_its_own_is_refused(tmp_path: Path) -> None:
    """A link might lead to what never ends, a pipe be waited for; a folder in the way of a new file is named."""
    sweep(tmp_path, part=Part(1, 2))
    path = chunk_file(tmp_path, 0)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DocumentMismatch, match="no file of its own"):
        sweep(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DocumentMismatch, match="no file of its own"):
        sweep(tmp_path)
    path.unlink()
    (tmp_path / f".{path.name}.new").mkdir()
    with pytest.raises(StoreFailure, match="cannot be removed"):
        sweep(tmp_path)


def test_half_written_files_are_no_hindrance(tmp_path: Path) -> None:
    """What a kill in the middle of writing left is never read, and removed."""
    sweep(tmp_path, part=Part(1, 2))
    name = chunk_file(tmp_path, 0).name.replace("000000", "000001")
    for leftover in (f".{name}.new", f".{MANIFEST}.new"):
        (tmp_path / leftover).write_bytes(b"half")
    assert sweep(tmp_path) == WHOLE
    assert len(content(tmp_path)) == len(NUMBERS) + 1


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that cannot be written stops the sweep; those before it stay."""
    sweep(tmp_path, part=Part(1, 4))

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreFailure, match="No space left"):
        sweep(tmp_path)
    monkeypatch.undo()
    engine = Counting()
    assert sweep(tmp_path, engine) == WHOLE
    assert engine.done == [1, 2, 3, 5, 6, 7]


def test_a_result_of_an_earlier_function_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that returns another type now, under the same version, is told to raise it."""
    sweep(tmp_path, chunks=[1, 2])
    monkeypatch.setitem(draw.__annotations__, "return", tuple[str, ...])
    kinds.cache_clear()
    try:
        with pytest.raises(DocumentMismatch, match="chunk 0 is not a result of") as caught:
            sweep(tmp_path, chunks=[1, 2])
    finally:
        kinds.cache_clear()
    assert "raise the function's version" in caught.value.hint


def started(folder: Path, engine: str) -> "subprocess.Popen[str]":
    """Start the sweep of `sweeps` in a process group of its own."""
    command = [sys.executable, "-c", "from tests.edge.chunks.sweeps import main; main()", str(folder), engine]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT
    )


def group_of(leader: int) -> set[int]:
    """Return the processes that still run in a session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def ended(leader: int) -> bool:
    """Wait until none of a session is left; a worker may end its chunk first."""
    for _ in range(200):
        if not group_of(leader):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.system
@pytest.mark.parametrize("engine", ["inline", "pool"])
def test_a_sweep_killed_at_any_moment_goes_on(tmp_path: Path, engine: str) -> None:
    """SIGKILL, again and again, at moments drawn anew: no worker is left, and the results are those of one run."""
    moments = random.Random(4)
    for least in (0, 3, 6):
        with started(tmp_path, engine) as run:
            assert run.stdout is not None
            for line in run.stdout:
                if int(line) >= least:
                    break
            time.sleep(moments.uniform(0, 0.1))
            run.kill()
        assert run.returncode == -signal.SIGKILL
        assert ended(run.pid)
    kept = len([*tmp_path.glob("chunk-*")])
    assert 6 <= kept < len(sweeps.CHUNKS)
    told: list[int] = []
    results = map_chunks(
        sweeps.slowly, sweeps.CHUNKS, engine=Inline(), seed=sweeps.SEED, checkpoint=tmp_path,
        progress=lambda done, _total: told.append(done),
    )  # fmt: skip
    assert told[0] == kept
    assert results == map_chunks(sweeps.slowly, sweeps.CHUNKS, engine=Inline(), seed=sweeps.SEED)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.system
@pytest.mark.parametrize("engine", ["inline", "pool", "ray"])
def test_an_interrupt_ends_a_sweep_cleanly(tmp_path: Path, engine: str) -> None:
    """Ctrl-C reaches the whole group; only the parent speaks, all end, and the finished chunks stay."""
    with started(tmp_path, engine) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        for line in run.stdout:
            if int(line) >= 2:
                break
        os.killpg(run.pid, signal.SIGINT)
        errors = run.stderr.read()
    assert run.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert ended(run.pid)
    assert len([*tmp_path.glob("chunk-*")]) >= 2
