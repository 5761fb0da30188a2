"""The shim logs all that a process does to its files, and the model of a disk finds what is not synced."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .powercut import Disk, Style, files_of, put_back
from .shim import Action, Control, Op, Record, Rule, environment, read_log

pytestmark = pytest.mark.system

_MIXED = """
import os, shutil, sqlite3, sys, pathlib
from keystrand.edge.files import write_atomic
folder = pathlib.Path(sys.argv[1])
for n in range(3):
    write_atomic(folder / "atomic", b"x" * 1000 * n)
with (folder / "log").open("ab", buffering=0) as log:
    for n in range(50):
        log.write(b"line %d\\n" % n)
        os.pwrite(log.fileno(), b"appended", 0)
    os.ftruncate(log.fileno(), 100)
    os.writev(log.fileno(), [b"one", b"two"])
    os.posix_fallocate(log.fileno(), 0, 5000)
(folder / "gone").write_bytes(b"gone")
(folder / "gone").unlink()
(folder / "text").write_text("rewritten " * 500)
(folder / "text").write_text("shorter")
shutil.copyfile(folder / "text", folder / "copy")
os.chdir(folder)
os.rename("copy", "renamed")
os.link("renamed", "second name")
db = sqlite3.connect("store.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, x BLOB)")
for n in range(60):
    db.execute("INSERT INTO t VALUES(?, randomblob(?))", (n, 100 * n))
    if n % 25 == 24:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
os.kill(os.getpid(), 9)
"""
_COMMITS = """
import os, sqlite3, sys
folder, synchronous = sys.argv[1:]
db = sqlite3.connect(folder + "/store.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=" + synchronous)
db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, x BLOB)")
told = os.open(folder + "/told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for n in range(40):
    db.execute("INSERT INTO t VALUES(?, randomblob(3000))", (n,))
    os.write(told, b"committed")
    if n == 20:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
os.kill(os.getpid(), 9)
"""
_REPLACED = """
import os, sys
from keystrand.edge import files
if sys.argv[2] == "False":
    os.fsync = lambda descriptor: None
for content in (b"old", b"new"):
    files.write_atomic(files.Path(sys.argv[1]) / "file", content * 1000)
"""
_DOUBTED = """
import os, sys
file = os.open(sys.argv[1] + "/file", os.O_WRONLY | os.O_CREAT)
os.write(file, b"x" * 4096)
try:
    os.fsync(file)
except OSError as error:
    print(error.errno)
os.fsync(file)
folder = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(folder)
"""
_TEN_WRITES = """
import sys
with open(sys.argv[1] + "/file", "wb", buffering=0) as file:
    for n in range(10):
        octets = b"%d" % n * 4
        while octets:
            octets = octets[file.write(octets) :]
"""


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """Return a file of rules."""
    made = Control(tmp_path / "rules")
    yield made
    made.close()


def run(shim: Path, control: Control, script: str, *words: str) -> tuple[int, str, list[Record]]:
    """Run a script with the shim on a new folder `disk`; return its code, what it said, and the log."""
    place = control.file.parent
    folder, log = place / "disk", place / "log"
    folder.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", script, str(folder), *words], env=os.environ | environment(shim, [folder], log, control),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return told.returncode, told.stdout + told.stderr, list(read_log(log))


def test_the_log_is_complete(shim: Path, control: Control, tmp_path: Path) -> None:
    """The steps in the log, all taken, give the very files that a killed process left."""
    code, _, records = run(shim, control, _MIXED)
    disk = Disk({}, random.Random(1))
    disk.apply(records)
    assert code == -9
    assert disk.cut(Style.ALL) == files_of([tmp_path / "disk"])
    assert {record.op for record in records} == set(Op) - {Op.ODD}


def _lost(records: list[Record], folder: Path, told: int, chance: random.Random) -> list[tuple[int, Style]]:
    """Cut power at several steps in every style; return where a row is gone that was told to be committed."""
    lost = []
    for step in chance.sample(range(len(records)), 40):
        disk = Disk({}, chance)
        disk.apply(records[:step])
        committed = sum(record.paths[0].endswith("told") and record.op is Op.WRITE for record in records[:step])
        for style in Style:
            put_back([folder], disk.cut(style))
            if committed and _rows(folder / "store.db") < committed:
                lost.append((step, style))
    assert told == sum(record.paths[0].endswith("told") and record.op is Op.WRITE for record in records)
    return lost


def _rows(db: Path) -> int:
    connection = sqlite3.connect(db)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not even the table
    finally:
        connection.close()


def test_power_loss_takes_no_commit_from_sqlite_that_syncs(shim: Path, control: Control, tmp_path: Path) -> None:
    """With synchronous=FULL every committed row survives every cut: the model is not harsher than a real disk."""
    _, _, records = run(shim, control, _COMMITS, "FULL")
    assert _lost(records, tmp_path / "disk", 40, random.Random(2)) == []


def test_power_loss_takes_commits_from_sqlite_that_does_not(shim: Path, control: Control, tmp_path: Path) -> None:
    """With synchronous=NORMAL cuts lose rows that were committed, with no damage: the model is harsh enough."""
    _, _, records = run(shim, control, _COMMITS, "NORMAL")
    assert len(_lost(records, tmp_path / "disk", 40, random.Random(2))) > 30


def test_a_name_that_was_not_synced_may_be_gone_and_what_was_written_atomically_is_whole(
    shim: Path, control: Control, tmp_path: Path
) -> None:
    """The project's own atomic write survives every cut, old or new; the same without its syncs comes out torn."""
    told: dict[bool, set[bytes | None]] = {}
    for careful in (True, False):
        _, said, records = run(shim, control, _REPLACED, str(careful))
        assert said == ""
        told[careful] = set()
        for step in range(1, len(records) + 1):
            for style in Style:
                disk = Disk({}, random.Random(step))
                disk.apply(records[:step])
                told[careful].add(disk.cut(style).get(tmp_path / "disk" / "file"))
        put_back([tmp_path / "disk"], {})
        (tmp_path / "disk").rmdir()
        (tmp_path / "log").unlink()
    whole = {None, b"old" * 1000, b"new" * 1000}
    assert told[True] == whole
    assert not told[False] <= whole


def test_after_a_failed_sync_a_later_one_promises_nothing(shim: Path, control: Control, tmp_path: Path) -> None:
    """What a failed sync should have covered may be lost though the next sync succeeds."""
    control.set(Rule(ops=Op.SYNC, pattern="*/file", action=Action.IO_ERROR, times=1))
    _, said, records = run(shim, control, _DOUBTED)
    assert (said, control.hits()) == (f"{Action.IO_ERROR.value}\n", 1)
    sizes = set()
    for seed in range(20):
        disk = Disk({}, random.Random(seed))
        disk.apply(records)
        sizes.add(len(disk.cut(Style.NOTHING)[tmp_path / "disk" / "file"]))
    assert sizes == {0, 4096}


def test_a_rule_meets_the_step_it_names(shim: Path, control: Control, tmp_path: Path) -> None:
    """A full disk takes half of a write and then nothing; a kill comes before or after the very step."""
    file = tmp_path / "disk" / "file"
    control.set(Rule(ops=Op.WRITE, pattern="*/file", action=Action.NO_SPACE, skip=2, torn=True))
    code, said, _ = run(shim, control, _TEN_WRITES)
    assert (code, file.read_bytes(), control.hits()) == (1, b"0000111122", 2)
    assert "No space left" in said
    for action, left in ((Action.KILL_BEFORE, b"0000"), (Action.KILL_AFTER, b"00001111")):
        put_back([tmp_path / "disk"], {})
        (tmp_path / "disk").rmdir()
        control.set(Rule(ops=Op.WRITE, pattern="*/file", action=action, skip=1))
        code, _, _ = run(shim, control, _TEN_WRITES)
        assert (code, file.read_bytes()) == (-9, left)
