"""What real agents do when no fresh key comes: each failure policy at both ends, and with the agent dead."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keystrand.edge.kme.pair import KME_IDS, Pair

from .site import Site, running_pair, wait_until

pytestmark = pytest.mark.system

_PACE = (
    "rotate_every_s = 0.4\nwait_s = 1\nprove_within_s = 2\nprove_every_s = 0.05\nretry_s = 0.1\nretry_most_s = 0.5\n"
)
SECURE = f'policy = "fail-secure"\nmax_age_s = 2.5\n{_PACE}'
FALLBACK = f'policy = "fallback-pqc"\nmax_age_s = 2.5\nfallback_most_s = 60\n{_PACE}'

Lay = Callable[[str], Site]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("policies")) as running:
        yield running


@pytest.fixture
def lay(pair: Pair, tmp_path: Path) -> Iterator[Lay]:
    """Return what makes two running sites under some terms; they end with the test, and the KMEs are there again."""
    made: list[Site] = []

    def lay(terms: str) -> Site:
        made.append(Site(tmp_path, pair, terms))
        made[0].start()
        wait_until(made[0].settled, 20, made[0].log(0)[-2000:])
        return made[0]

    try:
        yield lay
    finally:
        for site in made:
            site.close()
        for kme in KME_IDS:
            if not pair.kme(kme).running:
                pair.restart(kme)


def test_fail_secure_takes_the_key_away_and_a_fresh_one_brings_it_back(lay: Lay, pair: Pair) -> None:
    """The KME dies: at its age the key is gone at both ends, told and alarmed; the KME is back, and so are keys."""
    site = lay(SECURE)
    pair.kill(KME_IDS[0])
    died = time.monotonic()
    wait_until(lambda: site.held(0) == site.held(1) == [], 10, "a key that is too old is still there")
    assert 1.0 < time.monotonic() - died < 6
    status = site.status(0)
    assert (status["footing"], status["age_s"]) == ("invalid", None)
    assert "no key is in use: nothing may pass" in status["alarms"]
    footings = [line["detail"] for line in site.audit(0) if line["action"] == "agent.footing"]
    assert (footings[-1]["before"], footings[-1]["after"]) == ("fresh", "invalid")
    pair.restart(KME_IDS[0])
    wait_until(site.settled, 20, site.log(0)[-2000:])
    assert site.status(1)["footing"] == "fresh"


def test_fallback_puts_a_labelled_key_in_its_place_and_goes_back_by_itself(lay: Lay, pair: Pair) -> None:
    """The KME dies: before the key is too old there is a post-quantum one, labelled and alarmed; not one moment without
    a common key; the KME is back, and the next key is from it.
    """
    site = lay(FALLBACK)
    pair.kill(KME_IDS[1])
    deadline = time.monotonic() + 15
    while site.installed(1)[-1][1] != "pqc" or not site.settled():
        assert set(site.held(0)) & set(site.held(1)), "a moment without a key"
        assert time.monotonic() < deadline, site.log(1)[-2000:]
        time.sleep(0.01)
    for at in (0, 1):
        wait_until(lambda at=at: site.status(at)["footing"] == "substitute", 5, "not told")  # type: ignore[misc]
        assert site.status(at)["label"] == "pqc"
        assert "a post-quantum key stands in for one from quantum links" in site.status(at)["alarms"]
    pair.restart(KME_IDS[1])
    wait_until(lambda: site.installed(0)[-1][1] == "qkd" and site.settled(), 20, site.log(0)[-2000:])
    wait_until(lambda: site.status(0)["footing"] == "fresh", 5, "not told")
    moves = [(line["detail"]["before"], line["detail"]["after"]) for line in site.audit(0)
             if line["action"] == "agent.footing"]  # fmt: skip
    assert ("fresh", "substitute") in moves
    assert moves[-1] == ("substitute", "fresh")


def test_a_dead_agent_keeps_no_key_alive(lay: Lay) -> None:
    """Both agents are killed and nobody starts them: the installers retire the keys at their age."""
    site = lay(SECURE)
    for at in (0, 1):
        site.kill_agent(at)
    assert site.held(0)
    wait_until(lambda: site.held(0) == site.held(1) == [], 8, "keys of dead agents serve on")
    assert "the agent does not run: keys are not replaced" in site.status(0)["alarms"]


@pytest.mark.slow
def test_a_consumer_that_cannot_be_guarded_gets_no_key(lay: Lay, pair: Pair, tmp_path: Path) -> None:
    """What keeps traffic from leaving in clear comes first: where that fails there is no key at all, and it is told."""
    del lay
    site = Site(tmp_path, pair, SECURE)
    site.keys(0).mkdir()
    (site.keys(0) / "stop-prepare").touch()
    try:
        site.start()
        wait_until(lambda: any(line["action"] == "agent.not-ready" for line in site.audit(0)), 10, "not told")
        assert site.installed(0) == []
        (site.keys(0) / "stop-prepare").unlink()
        wait_until(site.settled, 20, site.log(0)[-2000:])
    finally:
        site.close()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["install", "prove"])
def test_a_consumer_that_fails_for_a_time_costs_no_traffic(lay: Lay, verb: str) -> None:
    """Install or proof fail at one end: the key before it stays until it is too old, then the ends meet again."""
    site = lay(SECURE.replace("max_age_s = 2.5", "max_age_s = 60"))
    stop = site.keys(1) / f"stop-{verb}"
    if verb == "prove":
        stop = site.keys(0) / f"stop-{verb}"
    stop.touch()
    ended = time.monotonic() + 3
    while time.monotonic() < ended:
        assert set(site.held(0)) & set(site.held(1))
        time.sleep(0.02)
    assert site.status(0)["alarms"]
    stop.unlink()
    count = len(site.installed(0))
    wait_until(lambda: site.settled(count), 20, site.log(0)[-2000:])


@pytest.mark.slow
def test_a_new_installer_is_found_and_guards_first(lay: Lay) -> None:
    """The privileged part dies and starts again: the agent goes on with it, the guard before any key."""
    site = lay(SECURE)
    site.kill_installer(0)
    (site.keys(0) / "guard").unlink()
    site.start_installer(0)
    count = len(site.installed(0))
    wait_until(lambda: site.settled(count), 20, site.log(0)[-2000:])
    assert (site.keys(0) / "guard").exists()
