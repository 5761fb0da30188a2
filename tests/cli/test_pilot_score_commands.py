"""`keystrand pilot init`, `score` and `compare`, typed."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Typed
from tests.pilot.recorded_campaign import PLAN_TEXT as CORRIDOR
from tests.pilot.recorded_campaign import record

from keystrand.app.documents import load, save
from keystrand.app.estate import open_estate
from keystrand.app.pilot_score import open_plan
from keystrand.edge.estate_folder import init_estate
from keystrand.model.document import InputRef
from keystrand.model.stages import CostReport, CriterionState, PilotReport
from keystrand.model.stages.recorded import Episode, PilotRecord

PLAN_TEXT = CORRIDOR.replace('"corridor"', '"first"')
PLAN_REF = InputRef(kind="plan", content_sha256="a" * 64, file_sha256="b" * 64)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command."""
    return Typed(capsys)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """Return a small estate with a pilot, and no plan of it."""
    init_estate(tmp_path / "bank")
    return tmp_path / "bank"


@pytest.fixture
def out(tmp_path: Path, bank: Path) -> Path:
    """Return the folder of a run with a recorded campaign; its plan stands beside the estate."""
    folder = tmp_path / "out"
    folder.mkdir()
    (bank / "pilot.toml").write_text(PLAN_TEXT)
    save(folder, record(pilot="first", segment="metro", made_from=(open_estate(bank).ref, PLAN_REF)))
    return folder


def test_a_plan_is_begun_and_never_replaced(bank: Path, typed: Typed) -> None:
    """The first time it is written, the second time it is left as it is."""
    assert typed("pilot", "init", str(bank)).code == 0
    begun = (bank / "pilot.toml").read_bytes()
    again = typed("pilot", "init", str(bank))
    assert (again.code, (bank / "pilot.toml").read_bytes()) == (2, begun)
    assert "already exists" in again.err
    assert typed("pilot", "init", str(bank), "--pilot", "other").code == 2


def test_a_recorded_campaign_is_judged_by_other_criteria(bank: Path, out: Path, typed: Typed) -> None:
    """Met by the first plan, missed by a stricter one; the report refers to plan, record and both files before."""
    assert typed("pilot", "score", str(bank), "--out", str(out)).code == 0
    report, _ = load(out, PilotReport)
    assert {ref.kind for ref in report.made_from} == {"estate", "plan", "pilot-plan", "pilot-record"}
    made, _ = load(out, PilotRecord)
    save(out, msgspec.structs.replace(made, made_from=(*made.made_from, open_plan(open_estate(bank)).ref)))
    assert "set before" not in typed("pilot", "score", str(bank), "--out", str(out)).err
    (bank / "pilot.toml").write_text(PLAN_TEXT.replace("rotation_p95_max_s = 1.0", "rotation_p95_max_s = 0.01"))
    told = typed("pilot", "score", str(bank), "--out", str(out), "-o", "json")
    assert "mind: pilot.toml was changed after the campaign: its goals were not all set before" in told.err
    before = [(one.consumer, one.name) for one in report.scorecard if one.state is CriterionState.MISSED]
    missed = [(one["consumer"], one["name"]) for one in told.json["scorecard"] if one["state"] == "missed"]
    assert missed == [*before, ("tunnel", "rotation time"), ("second", "rotation time")]
    counts = [sum(one["state"] == state for one in told.json["scorecard"]) for state in ("met", "not-measured")]
    names = ["tunnel: rotation time", "second: rotation time"]
    assert (
        f"{len(told.json['scorecard'])} criteria: {counts[0]} met, {len(missed)} missed ({' and '.join(names)}), "
        f"{counts[1]} not measured"
    ) in told.err


def test_what_was_not_run_is_told_and_has_a_code_of_its_own(bank: Path, out: Path, typed: Typed) -> None:
    """Exit 3, and the reason on stderr."""
    made, _ = load(out, PilotRecord)
    first, *others = made.consumers
    save(out, msgspec.structs.replace(
        made, consumers=(first, msgspec.structs.replace(others[0], not_run="it needs root"), others[1])
    ))  # fmt: skip
    told = typed("pilot", "score", str(bank), "--out", str(out))
    assert told.code == 3
    assert "not run: consumer tunnel: it needs root" in told.err


def test_a_gap_in_monitoring_is_told(bank: Path, out: Path, typed: Typed) -> None:
    """Where no alarm came, the command says so, and what would close it."""
    made, _ = load(out, PilotRecord)
    silent: tuple[Episode, ...] = tuple(msgspec.structs.replace(one, alarms=()) for one in made.episodes)
    save(out, msgspec.structs.replace(made, episodes=silent))
    assert "gap in monitoring: link-cut: 3 of 3 times" in typed("pilot", "score", str(bank), "--out", str(out)).err


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("bank/pilot.toml", None, "keystrand pilot init"),
        ("out/pilot-record.json", None, "keystrand pilot run"),
        ("bank/pilot.toml", PLAN_TEXT + "x = 1\n", "pilot.toml:"),
        ("bank/pilot.toml", PLAN_TEXT.replace('"first"', '"frist"'), "did you mean 'first'?"),
        ("bank/estate.toml", '\n[[owner]]\nid = "x"\nname = "X"\n', "another estate"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(
    out: Path, typed: Typed, file: str, text: str | None, words: str
) -> None:
    """No plan, no record, a mistake in the plan, an estate that has changed since: exit 2, and what to do."""
    path = out.parent / file
    before = path.read_text() if path.name == "estate.toml" else ""
    path.unlink()
    if text is not None:
        path.write_text(before + text)
    told = typed("pilot", "score", str(out.parent / "bank"), "--out", str(out))
    assert told.code == 2
    assert words in told.err
    assert "Traceback" not in told.err


def test_two_campaigns_are_compared(bank: Path, out: Path, tmp_path: Path, typed: Typed) -> None:
    """A run's folder and a file; with other criteria it is refused unless told; bad files are named."""
    other = tmp_path / "other"
    other.mkdir()
    assert typed("pilot", "score", str(bank), "--out", str(out)).code == 0
    (bank / "pilot.toml").write_text(PLAN_TEXT.replace("rotation_p95_max_s = 1.0", "rotation_p95_max_s = 2.0"))
    shutil.copy(out / "pilot-record.json", other)
    assert typed("pilot", "score", str(bank), "--out", str(other)).code == 0
    assert typed("pilot", "compare", str(out), str(out / "pilot.json")).code == 0
    refused = typed("pilot", "compare", str(out), str(other))
    assert refused.code == 2
    assert "--unlike" in refused.err
    told = typed("pilot", "compare", str(out), str(other), "--unlike", "-o", "json")
    assert told.code == 0
    assert {one["better"] for one in told.json["criteria"]} == {""}
    assert typed("pilot", "compare", str(out), str(tmp_path / "none")).code == 2
    (other / "pilot.json").write_text("{")
    assert typed("pilot", "compare", str(out), str(other)).code == 2


def test_a_folder_without_room_is_told_before_the_campaign(bank: Path, out: Path, typed: Typed) -> None:
    """Not after minutes, when what was seen could not be kept; neither with consumers nor in the short pilot."""
    planned(bank, out, typed)
    before, limits = sorted(out.iterdir()), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))  # as on a disk that is full soon
    try:
        told = [typed("pilot", "run", str(bank), "--out", str(out), *more) for more in ((), ("--short",))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for one in told:
        assert one.code == 1
        assert f"error: nothing can be written into {out}" in one.err
        assert "keys" not in one.err  # nothing was begun
    assert sorted(out.iterdir()) == before


def test_the_cost_takes_over_what_the_pilot_showed(bank: Path, out: Path, typed: Typed) -> None:
    """By pilot.json alone; and not from one that was made before the estate changed."""
    planned(bank, out, typed)
    assert typed("pilot", "score", str(bank), "--out", str(out)).code == 0
    done = typed("plan", "cost", str(bank), "--out", str(out), "--scenarios", "100")
    cost, _ = load(out, CostReport)
    assert {one.bears_on for one in cost.shown} >= {"pilot-link", "key-interface"}
    assert f"pilot first on metro, {cost.shown[0].as_of}: {cost.shown[0].shown}" in done.err
    assert "pilot-report" in {ref.kind for ref in cost.made_from}
    estate = bank / "estate.toml"
    estate.write_text(estate.read_text().replace("length_km = 58", "length_km = 59"))
    planned(bank, out, typed)
    assert typed("plan", "cost", str(bank), "--out", str(out), "--scenarios", "100").code == 0
    cost, _ = load(out, CostReport)
    assert cost.shown == ()
    assert "pilot-report" not in {ref.kind for ref in cost.made_from}


def planned(bank: Path, out: Path, typed: Typed) -> None:
    """Make the documents up to the plan."""
    for words in (("inventory", "scan"), ("assess", "run"), ("plan", "make")):
        assert typed(*words, str(bank), "--out", str(out)).code in (0, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_pilot_that_is_told_to_end_leaves_no_keys_behind(
    bank: Path, out: Path, typed: Typed, number: signal.Signals
) -> None:
    """By a service manager, by a terminal that closes: exit 130, and its folder with the keys is gone."""
    planned(bank, out, typed)
    place = out.parent / "temporary"
    place.mkdir()
    words = ("pilot", "run", str(bank), "--out", str(out), "--short")
    with subprocess.Popen(
        [sys.executable, "-m", "keystrand.cli.main", *words], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(place)},
    ) as child:  # fmt: skip
        assert child.stderr
        assert child.stderr.readline()  # it is under way
        assert list(place.glob("keystrand-pilot-*/kme/*"))
        child.send_signal(number)
        told = child.stderr.read()
    assert child.returncode == 130
    assert told.endswith("interrupted\n")
    assert list(place.iterdir()) == []


_VENDOR = """[source]
kind = "vendor"
[source.a]
url = "https://localhost:1"
sae = "a"
ca = "ca.pem"
certificate = "a.pem"
key = "a.key"
[source.b]
url = "https://localhost:2"
sae = "b"
ca = "ca.pem"
certificate = "b.pem"
key = "b.key"
"""


def test_commands_that_others_could_write_are_not_run(bank: Path, out: Path, typed: Typed) -> None:
    """Whoever can change the file of a pilot that root runs would be root. Without commands it may be anybody's."""
    file = bank / "pilot.toml"
    for text, mode, code in (
        ("", 0o666, 2), ('[source.commands]\nlink-cut = "a"\nlink-cut-end = "b"\n', 0o644, 2),
        ('[source.commands]\nlink-cut = "a"\nlink-cut-end = "b"\n', 0o666, 12),
    ):  # fmt: skip
        file.write_text(PLAN_TEXT.replace("[[consumer]]", f"{_VENDOR}{text}\n[[consumer]]", 1))
        file.chmod(mode)
        done = typed("pilot", "run", str(bank), "--out", str(out))
        assert (done.code, "can be changed by others" in done.err) == (code, code == 12), done.err
