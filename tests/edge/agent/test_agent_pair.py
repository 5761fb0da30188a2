"""Two agents, two installers, two KMEs, all real processes: rotation, and what a kill at any step leaves."""

import random
import signal
import time
from collections.abc import Iterator

import pytest

from keystrand.app.audit import verify_audit
from keystrand.edge.kme.pair import Pair
from keystrand.keys.changeover import InitiatorState, ResponderState

from .site import TERMS, Site, running_pair, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("agents")) as running:
        yield running


@pytest.fixture(scope="module")
def site(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two sites that rotate a key every 0.6 s, and have one that was proven."""
    # a key outlives a kill and two starts on a busy machine: what a key's age ends is tested elsewhere
    made = Site(tmp_path_factory.mktemp("site"), pair, TERMS.replace("max_age_s = 20", "max_age_s = 300"))
    try:
        made.start()
        wait_until(lambda: made.settled(2), 60, lambda: made.log(0))
        yield made
    finally:
        made.close()


def test_keys_rotate_and_every_switch_is_audited(site: Site) -> None:
    """Both ends go from key to key; each stands in both audits before and after; the audits are whole."""
    wait_until(lambda: site.settled(3), 30, lambda: site.log(0))
    ours = site.installed(0)
    assert ours[:3] == site.installed(1)[:3]
    assert {label for _, label in ours} == {"qkd"}
    for at in (0, 1):
        told = site.audit(at)
        for key_id, _ in ours[:3]:
            actions = [line["action"] for line in told if line["detail"].get("key_ID") == key_id]
            assert actions[:2] == ["agent.install", "agent.proven"]
        assert {line["group"] for line in told if line["action"] == "agent.proven"} <= {"X25519MLKEM768", ""}
        verify_audit(site.config(at).parent / "audit", [])
    status = site.status(0)
    assert status["footing"] == "fresh"
    assert 0 <= status["age_s"] < 20
    assert "key" not in {name for key in status["keys"] for name in key}


def test_no_key_byte_reaches_a_file_of_ours(site: Site) -> None:
    """Journal, audit and logs name keys by their IDs; not one of the keys themselves is in any of them."""
    key = next(site.keys(0).glob("*.key")).read_bytes()
    for at in (0, 1):
        for file in site.config(at).parent.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert key not in content
                assert key.hex().encode() not in content


_OFTEN = ((0, "peer installing"), (1, "installing"), (1, "waiting for proof"))
STATES = [
    (0, "begin"), (0, "taking"), (0, "offered"), (0, "peer installing"), (0, "installing"), (0, "proving"),
    (0, "settled"), (0, "apart"), (1, "begin"), (1, "fetching"), (1, "confirmed"), (1, "installing"),
    (1, "waiting for proof"), (1, "settled"), (1, "apart"),
]  # fmt: skip
"""Every state of either table, and the moment of a start."""


CASES = [
    pytest.param(at, state, when, marks=[] if (at, state) in _OFTEN and when == "after" else pytest.mark.slow)
    for at, state in STATES
    for when in ("before", "after")
]


def test_no_state_is_left_out() -> None:
    """A state that is added to a table is one more step to be killed at."""
    for at, states in ((0, InitiatorState), (1, ResponderState)):
        assert {state for end, state in STATES if end == at} == {"begin", *states}


@pytest.mark.parametrize(("at", "state", "when"), CASES)
def test_a_kill_at_any_step_leaves_two_ends_that_meet_again(site: Site, at: int, state: str, when: str) -> None:
    """kill -9 at each step of either table: a common key stays at both ends throughout, none is installed twice, and
    the next changeover settles both.
    """
    site.kill_agent(at)
    mark, fails = site.folder / "mark", site.keys(at) / "stop-install"
    mark.unlink(missing_ok=True)
    if state == "apart":
        fails.touch()  # what a consumer did not take leaves the ends apart
    site.start_agent(at, stop_at=(state, when, mark))
    wait_until(mark.exists, 20, f"it never came to {state}")
    assert set(site.held(0)) & set(site.held(1)), "no key in common when it died"
    site.kill_agent(at)
    fails.unlink(missing_ok=True)
    count = len(site.installed(0))
    site.start_agent(at)
    deadline = time.monotonic() + 15
    while not site.settled(count):
        assert set(site.held(0)) & set(site.held(1)), "no key in common on the way"
        assert time.monotonic() < deadline, site.log(at)
        time.sleep(0.02)
    for end in (0, 1):
        ids = [key_id for key_id, _ in site.installed(end)]
        assert len(set(ids)) == len(ids), "a key was installed twice"
    assert site.status(at)["footing"] == "fresh"


@pytest.mark.slow
def test_kills_at_random_moments(site: Site) -> None:
    """30 kills of either agent, whenever: a common key at every moment, no key twice, and all well at the end."""
    draw = random.Random(4)
    for _ in range(30):
        at = draw.randrange(2)
        site.kill_agent(at)
        site.start_agent(at)
        ended = time.monotonic() + draw.random()
        while time.monotonic() < ended:
            assert set(site.held(0)) & set(site.held(1)), "no key in common"
            time.sleep(0.005)
    count = len(site.installed(0))
    wait_until(lambda: site.settled(count), 20, lambda: site.log(0))
    for end in (0, 1):
        ids = [key_id for key_id, _ in site.installed(end)]
        assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_kills_of_both_at_once(site: Site) -> None:
    """8 times both agents die together, at whatever step: a common key at every moment, no key twice, and all well."""
    draw = random.Random(9)
    for _ in range(8):
        for at in (0, 1):
            site.kill_agent(at)
        assert set(site.held(0)) & set(site.held(1)), "no key in common"
        for at in (1, 0):
            site.start_agent(at)
        ended = time.monotonic() + draw.random()
        while time.monotonic() < ended:
            assert set(site.held(0)) & set(site.held(1)), "no key in common"
            time.sleep(0.005)
    count = len(site.installed(0))
    wait_until(lambda: site.settled(count), 20, lambda: site.log(0))
    for end in (0, 1):
        ids = [key_id for key_id, _ in site.installed(end)]
        assert len(set(ids)) == len(ids)


def test_an_agent_that_is_told_to_stop_leaves_its_key(site: Site) -> None:
    """SIGTERM is no failure: the key stays, the status says that nobody replaces it, a start goes on from there."""
    wait_until(site.settled, 15, "not settled")
    site.kill_agent(0, signal.SIGTERM)
    before = site.held(0)
    assert before
    status = site.status(0)
    assert status["footing"] == "fresh"
    assert "the agent does not run: keys are not replaced" in status["alarms"]
    site.start_agent(0)
    wait_until(lambda: site.settled(len(site.installed(0)) - 1) and site.held(0) != before, 15, "it does not go on")
    assert site.audit(0)[-1]["action"] != "agent.stopped"
