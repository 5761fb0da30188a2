"""The agents of a pilot, as real processes with real KMEs: what happened to them is what they are said to have done."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.edge.pilot.folder_trial import MAX_AGE_S, FolderTrial

from keystrand.app.audit import verify_audit
from keystrand.edge.daemons import Daemons
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import KME_IDS, Pair, start_pair
from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import A, B, Ground, KmeEnd
from keystrand.edge.pki import Kind
from keystrand.keys.lapse import Footing
from keystrand.model.errors import InvalidInput
from keystrand.model.stages.recorded import DeedKind

pytestmark = pytest.mark.system
OWN_CONSUMERS = Path(__file__).parents[1] / "agent"


@pytest.fixture(scope="module", autouse=True)
def own_consumers() -> Iterator[None]:
    """Let every process here, ours included, find a kind of consumer that this project does not ship."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(OWN_CONSUMERS)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(OWN_CONSUMERS), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock, and no more to come."""
    with start_pair(tmp_path_factory.mktemp("kmes") / "run") as running:
        with TwinSource(running.link, running.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536):
            running.wait_for_keys(400)
        yield running


def ends_of(pair: Pair) -> tuple[KmeEnd, KmeEnd]:
    """Return both KMEs as their SAEs see them."""
    one, two = (KmeEnd(pair.urls[at], sae, pair.pki.of(Kind.SAE, sae), KME_IDS[at]) for at, sae in enumerate(pair.saes))
    return one, two


DOOR, GATE = "door", "gate"


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderTrial, FolderTrial]:
    """Two consumers: one fails secure, the other falls back to post-quantum keys."""
    folder = tmp_path_factory.mktemp("keys")
    return FolderTrial(DOOR, folder), FolderTrial(GATE, folder, "fallback-pqc")


@pytest.fixture(scope="module")
def agents(
    pair: Pair, trials: tuple[FolderTrial, FolderTrial], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agents]:
    """Both agents, which key two consumers."""
    with Daemons() as care:
        made = Agents(Ground(tmp_path_factory.mktemp("pilot"), care, ends_of(pair), None, 1000), trials, saes=pair.pki)
        made.set_up()
        made.wait_fresh(30)
        yield made


def wait_until(condition: Callable[[], bool], within_s: float = 30, told: Callable[[], object] = str) -> float:
    """Wait for something and return when it was; `told` says how things stand where it does not come."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
    return time.time()


def test_a_quiet_window_is_told_as_it_was(agents: Agents, trials: tuple[FolderTrial, FolderTrial]) -> None:
    """The rotations told are the keys that the consumers were given, at both ends; every one of them was audited."""
    agents.wait_fresh(30)
    from_s = time.time()
    wait_until(lambda: len(agents.rotations(DOOR, from_s, time.time())) >= 3)
    to_s = time.time()
    for trial in trials:
        name = trial.declared.id
        found = agents.rotations(name, from_s, to_s)
        for at in (A, B):
            given = trial.installed(at)
            first = given.index(found[0].key_id)
            assert given[first : first + len(found)] == [one.key_id for one in found]
        assert {one.label for one in found} == {"qkd"}
        assert all(0 < one.took_s < MAX_AGE_S and one.offered_s < one.proven_s for one in found)
        told = agents.changes(name, from_s, to_s)
        assert told.took_place >= 2 * len(found) - 2
        assert told == (told.took_place, told.took_place, ())
        oldest = agents.oldest_key_s(name, from_s, to_s)
        assert oldest is not None
        assert max(later.proven_s - one.offered_s for one, later in itertools.pairwise(found)) <= oldest
        assert oldest < MAX_AGE_S + 1
    assert not [one for one in agents.alarms(from_s, to_s) if "does not run" in one.text]


def test_a_dead_agent_is_alarmed_and_what_happens_without_it_is_missing(agents: Agents) -> None:
    """kill -9 of the responder: the alarm, the footing that nobody audited, and the way back, each with its time."""
    agents.wait_fresh(30)
    died_s = time.time()
    agents.kill(B)
    wait_until(lambda: not agents.fresh(DOOR))
    assert {one.footing for one in agents.standings(B) if one.consumer == DOOR} == {Footing.INVALID}
    wait_until(lambda: any(one.end == B for one in agents.told(DOOR).footings if one.at_s > died_s))
    dead_to_s = time.time()
    found = [one for one in agents.alarms(died_s, dead_to_s) if one.text.startswith("the agent does not run")]
    assert {(one.end, one.consumer) for one in found} == {(B, DOOR), (B, GATE)}
    assert all(one.at_s - died_s < 2 for one in found)
    told = agents.changes(DOOR, died_s, dead_to_s)
    assert any("the footing at end 1 was invalid" in one for one in told.missing)
    assert told.audited == told.took_place - len(told.missing)
    assert not any("end 0" in one for one in told.missing), "the living end audits what it does"
    agents.start(B, event="agent-death")
    agents.wait_fresh(30)
    moves = agents.footings(DOOR, died_s, time.time())
    assert [one.after for one in moves] == ["invalid", "fresh"]
    assert (moves[0].label, moves[1].label) == ("", "qkd")
    restarts = [deed for deed in agents.deeds if deed.kind is DeedKind.RESTART]
    assert [(deed.event, deed.count) for deed in restarts] == [("agent-death", 1)]


@pytest.mark.slow
def test_a_kme_that_dies_is_bridged_by_the_one_policy_and_not_by_the_other(agents: Agents, pair: Pair) -> None:
    """The label of what stands in is told, and the alarm; keys in use grow no older than the policy says."""
    agents.wait_fresh(30)
    died_s = time.time()
    pair.kill(KME_IDS[0])
    try:
        wait_until(lambda: "invalid" in [one.after for one in agents.footings(DOOR, died_s, time.time())])
        wait_until(lambda: "substitute" in [one.after for one in agents.footings(GATE, died_s, time.time())])
    finally:
        pair.restart(KME_IDS[0])
    wait_until(agents.fresh)
    moves = agents.footings(GATE, died_s, time.time())
    assert [(one.after, one.label) for one in moves] == [("substitute", "pqc"), ("fresh", "qkd")]
    assert any("post-quantum" in one.text for one in agents.alarms(died_s, time.time()) if one.consumer == GATE)
    for name in (DOOR, GATE):
        told = agents.changes(name, died_s, time.time())
        assert told.missing == ()
        oldest = agents.oldest_key_s(name, died_s, time.time())
        assert oldest is not None
        assert oldest < MAX_AGE_S + 1  # the installer looks four times a second


@pytest.mark.skipif(
    not list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), reason="needs libfaketime (Debian package)"
)
@pytest.mark.slow
@pytest.mark.parametrize("skew_s", [240.0, -240.0])
def test_a_skewed_clock_is_told_in_ours(agents: Agents, skew_s: float) -> None:
    """One end's clock is wrong by minutes: keys rotate on, and its words are put to the moments that they were at.

    That we start the agent anew for it, and once more to set it right, is no alarm of a fault.
    """
    from_s = time.time()
    agents.start(A, skew_s, event="clock-skew")
    try:
        agents.wait_fresh(30)
        wait_until(
            lambda: len(agents.rotations(DOOR, from_s, time.time())) >= 2,
            told=lambda: (agents.standings(A), agents.told(DOOR).lines[-8:]),
        )
        told = agents.changes(DOOR, from_s, time.time())
        assert told.took_place >= 4
        assert not [one for one in told.missing if "went in" in one]
        last = agents.told(DOOR).lines[-1]
        assert from_s < last.at_s <= time.time()
        raw = max((Path(agents.config(A).agent.audit)).glob("*.jsonl")).read_text().splitlines()[-1]
        assert time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time())) not in raw, "its clock was not wrong at all"
    finally:
        agents.start(A)
    agents.wait_fresh(30)
    assert not [one for one in agents.alarms(from_s, time.time()) if "does not run" in one.text]
    verify_audit(Path(agents.config(A).agent.audit), [])


@pytest.mark.slow
def test_a_certificate_ends_and_is_renewed(agents: Agents) -> None:
    """The SAE's certificate ends: no key comes and that is alarmed; renewed, it counts without a restart."""
    agents.wait_fresh(30)
    from_s = time.time()
    ends_s = agents.expire(A, Kind.SAE, 0.5)
    wait_until(lambda: any("expired" in one.text for one in agents.alarms(from_s, time.time())))
    assert min(one.at_s for one in agents.alarms(from_s, time.time()) if "expired" in one.text) > ends_s
    wait_until(lambda: not agents.fresh(DOOR))
    agents.renew(A, Kind.SAE, event="certificate-expiry")
    agents.wait_fresh(30)
    time.sleep(agents.expire(B, Kind.AGENT, 0) - time.time())
    agents.start(A)
    died_s = time.time()
    wait_until(lambda: any("expired" in one.text for one in agents.alarms(died_s, time.time())))
    agents.renew(B, Kind.AGENT, event="certificate-expiry")
    agents.wait_fresh(30)
    assert sum(deed.kind is DeedKind.COMMAND and deed.event == "certificate-expiry" for deed in agents.deeds) == 2


def test_the_deeds_are_the_lines_that_stand_there(agents: Agents) -> None:
    """Every line of both files is counted once, for the consumer that it is about."""
    lines = [
        line
        for at in (A, B)
        for line in (Path(agents.config(at).agent.audit).parent / "agent.toml").read_text().splitlines()
        if line.strip()
    ]
    counted = [deed for deed in agents.deeds if deed.kind is DeedKind.CONFIG_LINES]
    assert sum(deed.count for deed in counted) == len(lines)
    assert {deed.consumer for deed in counted} == {"", DOOR, GATE}


def test_nobody_elses_certificate_is_issued(pair: Pair, trials: tuple[FolderTrial, ...], tmp_path: Path) -> None:
    """A vendor's KME has an authority of its own; nothing is made up for it."""
    with Daemons() as care:
        made = Agents(Ground(tmp_path, care, ends_of(pair), None, 1000), trials)
        with pytest.raises(InvalidInput, match="not ours to issue"):
            made.expire(A, Kind.SAE, 1)


def test_consumers_that_cannot_share_an_installer_are_refused(pair: Pair, tmp_path: Path) -> None:
    """Two values of one variable at one end: no agent can serve both, and it is told before anything runs."""
    both = [FolderTrial(name, tmp_path, env={"SOFTHSM2_CONF": name}) for name in (DOOR, GATE)]
    with Daemons() as care, pytest.raises(InvalidInput, match="SOFTHSM2_CONF"):
        Agents(Ground(tmp_path, care, ends_of(pair), None, 1000), both).set_up()


_PILOT = """
import json, sys, time
from pathlib import Path
from tests.edge.pilot.folder_trial import FolderTrial
from keystrand.edge.daemons import Daemons
from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import Ground, KmeEnd
from keystrand.edge.pki import Kind, Pki

folder, pki = Path(sys.argv[1]), Pki(folder=Path(sys.argv[2]))
kmes = [KmeEnd(url, sae, pki.of(Kind.SAE, sae), kme) for url, sae, kme in json.loads(sys.argv[3])]
with Daemons() as care:
    agents = Agents(Ground(folder, care, tuple(kmes), None, 1000), [FolderTrial("door", folder)])
    agents.set_up()
    print(*agents.pids, flush=True)
    time.sleep(100)
"""


def test_nothing_is_left_after_a_kill(pair: Pair, tmp_path: Path) -> None:
    """kill -9 of whoever started the agents ends both, and their installers."""
    kmes = json.dumps([[one.url, one.sae, one.kme_id] for one in ends_of(pair)])
    command = [sys.executable, "-c", _PILOT, str(tmp_path), str(pair.pki.folder), kmes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=OWN_CONSUMERS.parents[2]) as ours:
        assert ours.stdout
        pids = [int(word) for word in ours.stdout.readline().split()]
        ours.kill()
    assert len(pids) == 4
    wait_until(lambda: not any(_alive(pid) for pid in pids), 5)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
