"""The journal over a restart: of the agent, of the machine, and with a clock that lies."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from keystrand.edge.agent import journal as module
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.keys.agent_memory import Memory, Note
from keystrand.model.errors import InvalidInput, StoreFailure


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An open journal."""
    made = Journal(tmp_path / "journal")
    made.open()
    return made


def _memory(now: float) -> Memory:
    note = Note(key_id="k", label="pqc", born_s=now - 30, substitute=True)
    return Memory(held=(note,), proven=note, proved_s=now - 20, substitutes_since_s=now - 25, number=7)


def test_the_same_boot_needs_no_wall_clock(journal: Journal) -> None:
    """Whatever the wall clock says meanwhile, the steady clock knows how long it was."""
    memory = _memory(steady_s())
    journal.write("door", "initiator", memory)
    assert journal.read("door", "initiator", steady_s(), 0.0) == memory
    assert journal.read("other", "initiator", steady_s(), 0.0) == Memory()


@pytest.mark.parametrize(("away_s", "age_s"), [(600.0, 630.0), (0.0, 30.0)])
def test_another_boot_counts_by_the_wall_clock(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away_s: float, age_s: float
) -> None:
    """The age at the last entry, and the time since by the wall clock."""
    journal.write("door", "initiator", _memory(steady_s()))
    written = msgspec.json.decode((tmp_path / "journal" / "door.json").read_bytes())
    monkeypatch.setattr(module, "_boot_id", lambda: "another")
    found = journal.read("door", "initiator", 5.0, written["wall_s"] + away_s)
    assert found.proven is not None
    assert 5.0 - found.proven.born_s == pytest.approx(age_s, abs=0.5)
    assert found.held[0] == found.proven
    assert found.proved_s == pytest.approx(5.0 - age_s + 10, abs=0.5)
    assert found.substitutes_since_s == pytest.approx(5.0 - age_s + 5, abs=0.5)


def test_a_wall_clock_that_went_back_makes_every_key_too_old(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows how long it was: no key lives longer for it."""
    journal.write("door", "initiator", _memory(steady_s()))
    monkeypatch.setattr(module, "_boot_id", lambda: "another")
    found = journal.read("door", "initiator", 5.0, 0.0)
    assert found.proven is not None
    assert 5.0 - found.proven.born_s > 1e8


def test_one_agent_at_a_time(journal: Journal, tmp_path: Path) -> None:
    """A second is told; whoever looks sees that one runs, and that none does afterwards."""
    second = Journal(tmp_path / "journal")
    with pytest.raises(StoreFailure, match="another agent runs with the journal"):
        second.open()
    assert second.in_use()
    journal.close()
    assert not second.in_use()
    assert not Journal(tmp_path / "nowhere").in_use()


def test_a_look_does_not_stop_an_agent_that_starts_just_then(tmp_path: Path) -> None:
    """Who only looks has the lock for a moment; the agent has it afterwards."""
    folder = tmp_path / "journal"
    folder.mkdir()
    looking = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(looking, fcntl.LOCK_EX)
    ends = threading.Timer(0.05, os.close, (looking,))
    ends.start()
    made = Journal(folder)
    made.open()
    ends.join()
    assert Journal(folder).in_use()
    made.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 1}'])
def test_a_journal_that_is_none_is_never_taken_for_an_empty_one(
    journal: Journal, tmp_path: Path, content: bytes
) -> None:
    """Else a key that was used might be used again."""
    (tmp_path / "journal" / "door.json").write_bytes(content)
    with pytest.raises(InvalidInput, match="is no journal") as caught:
        journal.read("door", "initiator", 0.0, 0.0)
    assert "retire the consumer's keys by hand" in caught.value.hint


def test_a_journal_of_the_other_role_is_refused(journal: Journal) -> None:
    """The states of the two ends are not the same."""
    journal.write("door", "responder", Memory())
    with pytest.raises(InvalidInput, match="is the journal of the responder of door, not initiator"):
        journal.read("door", "initiator", 0.0, 0.0)


def test_what_a_kill_left_is_cleared_away(tmp_path: Path) -> None:
    """A half-written file is no entry."""
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / ".door.json.abcd").write_text("{")
    Journal(folder).open()
    assert list(folder.iterdir()) == []


_TWO_AT_ONCE = """
import importlib, sys, threading
from pathlib import Path
from keystrand.edge.agent import journal
from keystrand.keys import agent_memory
sys.setswitchinterval(1e-6)
folder, together = Path(sys.argv[1]), threading.Barrier(2)
for _ in range(30):
    for module in (agent_memory, journal):
        importlib.reload(module)
    made, note = journal.Journal(folder), agent_memory.Note(key_id="k", label="qkd", born_s=1.0)
    made.write("door", "initiator", agent_memory.Memory(held=(note,), proven=note))

    def look():
        together.wait()
        made.read("door", "initiator", 2.0, 3.0)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for each in (*(one.start for one in threads), *(one.join for one in threads)):
        each()
"""


def test_two_threads_may_look_into_it_first(tmp_path: Path) -> None:
    """A pilot waits for its agents' first keys while its watch looks at them: both may be the first to read."""
    done = subprocess.run([sys.executable, "-c", _TWO_AT_ONCE, str(tmp_path)], check=False, capture_output=True)
    assert (done.returncode, done.stderr.decode()) == (0, "")
