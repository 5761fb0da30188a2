"""How two agents are watched: files that grow are read once, and an alarm is one that lasts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.edge.agent.standing import Standing
from keystrand.edge.pilot.agent_watch import AlarmSeen, Grown, Trail, Watch
from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_signer import open_signer
from keystrand.keys.lapse import Footing
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import AuditRecord, detail_of
from keystrand.pilot.agents_told import FootingSeen, KeyMove

KEY = "5a1e0000-0000-4000-8000-000000000001"


def test_every_line_is_read_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    """A line under way waits for its end; a second file goes on where the first ended."""
    grown, one = Grown(tmp_path, "*.jsonl"), tmp_path / "1.jsonl"
    assert list(grown.more()) == []
    one.write_bytes(b"first\nsec")
    assert list(grown.more()) == [b"first\n"]
    with one.open("ab") as file:
        file.write(b"ond\nthird\n")
    (tmp_path / "2.jsonl").write_bytes(b"fourth\n")
    assert list(grown.more()) == [b"second\n", b"third\n", b"fourth\n"]
    assert list(grown.more()) == []


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditFile]:
    """An audit as an agent writes it."""
    made = AuditFile(tmp_path / "audit", open_signer(tmp_path / "audit.key", make=True), store_id="agent a")
    yield made
    made.close()


def test_a_trail_is_in_this_machine_s_clock(audit: AuditFile, tmp_path: Path) -> None:
    """What an agent of a wrong clock wrote is put right, what it wrote before that stays; the installer's is right."""
    trail = Trail(1, tmp_path / "audit", tmp_path / "installer.log")

    def tell(at_s: float, action: str) -> None:
        detail = detail_of(consumer="door", key_ID=KEY)
        audit.append([AuditRecord(at=at_s, actor="agent", action=action, detail=detail)], audit.last_generation + 1)

    tell(1000.25, "agent.install")
    trail.set_clock(3600.0)
    tell(4610.5, "agent.proven")
    (tmp_path / "installer.log").write_text(
        "WARNING keystrand: door: the key x was too old\n"
        f"INFO keystrand.edge.agent.installer: door: key {KEY}: installed at 1000.300000\n"
        f"INFO keystrand.edge.agent.installer: door: key {KEY}: retired at 1011.000000\n"
    )
    trail.read()
    trail.read()
    assert [(one.at_s, one.end, one.consumer, one.action, one.key_id) for one in trail.lines] == [
        (1000.25, 1, "door", "agent.install", KEY), (1010.5, 1, "door", "agent.proven", KEY),
    ]  # fmt: skip
    assert trail.moves == [KeyMove(1000.3, 1, "door", KEY, False), KeyMove(1011.0, 1, "door", KEY, True)]  # noqa: FBT003 - as it is read


def standing(footing: Footing, *alarms: str) -> Standing:
    """Return how a consumer stands."""
    return Standing(
        consumer="door", kind="folder", role="initiator", policy="fail-secure", footing=footing, label="", age_s=None,
        left_s=None, state="settled", last_changeover_s=None, changeovers=0, failures=0, stock=None, keys=(),
        alarms=alarms,
    )  # fmt: skip


def test_an_alarm_is_one_that_lasts_and_is_told_from_its_beginning() -> None:
    """One look alone is the middle of a changeover; one that was gone is told again; a footing with its time."""
    now: list[Standing] = []
    watch = Watch(lambda end: tuple(now) if end == 0 else ())

    def look(at_s: float, *stand: Standing) -> None:
        now[:] = stand
        watch._look_once(at_s)

    look(1, standing(Footing.FRESH, "brief"))
    look(2, standing(Footing.FRESH))
    look(3, standing(Footing.INVALID, "nothing may pass"))
    assert watch.alarms == []
    look(4, standing(Footing.INVALID, "nothing may pass"))
    look(5, standing(Footing.INVALID, "nothing may pass"))
    assert watch.alarms == [AlarmSeen(3, 0, "door", "nothing may pass")]
    look(6, standing(Footing.FRESH))
    look(7, standing(Footing.FRESH, "nothing may pass"))
    look(8, standing(Footing.FRESH, "nothing may pass"))
    assert [one.at_s for one in watch.alarms] == [3, 7]
    assert watch.footings == [FootingSeen(3, 0, "door", "invalid", 2), FootingSeen(6, 0, "door", "fresh", 5)]


def test_a_journal_that_cannot_be_read_is_an_alarm_too() -> None:
    """Whoever asks for the standing is told the same."""

    def look(end: int) -> tuple[Standing, ...]:
        if end:
            raise StoreFailure("the journal cannot be read")
        return ()

    watch = Watch(look)
    watch._look_once(1)
    watch._look_once(2)
    assert watch.alarms == [AlarmSeen(1, 1, "", "the journal cannot be read")]
