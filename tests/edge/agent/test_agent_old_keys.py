"""An old key that may serve on: until its `ttl_s`, or until a signed exception ends, and not a moment longer."""

import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystrand.app.agent import permit
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.store.audit_signer import open_signer
from keystrand.model.errors import PeerUnavailable

from .site import ROLES, Site, running_pair, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

_PACE = (
    "rotate_every_s = 0.4\nwait_s = 1\nprove_within_s = 2\nprove_every_s = 0.05\nretry_s = 0.1\nretry_most_s = 0.5\n"
)
HOLD = f'policy = "hold-until-ttl"\nmax_age_s = 2\nttl_s = 8\n{_PACE}'
OLD = "a key older than 2 s is in use"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("old")) as running:
        yield running


@contextmanager
def _running(folder: Path, pair: Pair, terms: str) -> Iterator[Site]:
    """Yield two sites that run under some terms."""
    site = Site(folder, pair, terms)
    for at in (0, 1):
        _name_officer(site.config(at), folder)
    try:
        site.start()
        wait_until(site.settled, 20, lambda: site.log(0))
        yield site
    finally:
        site.close()
        if not pair.kme(KME_IDS[0]).running:
            pair.restart(KME_IDS[0])


def _name_officer(file: Path, folder: Path) -> None:
    public = folder / "officer.pub.pem"
    if public.exists():
        file.write_text(file.read_text().replace("[kme]", f"exception_key = '{public}'\n[kme]", 1))


def _excepted(folder: Path, seconds: float) -> str:
    """Return the terms of a consumer that may fail open for some seconds from now."""
    signer = open_signer(folder / "officer.key", make=True)
    (folder / "officer.pub.pem").write_bytes(signer.public_pem)
    ends = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    permit(folder / "open.toml", folder / "officer.key", "door", by="the officer", reason="a drill", expires=ends)
    return f"policy = \"fail-open\"\nmax_age_s = 2\nexception = '{folder / 'open.toml'}'\n{_PACE}"


def _moves(site: Site, at: int) -> list[tuple[str, str]]:
    told = [line["detail"] for line in site.audit(at) if line["action"] == "agent.footing"]
    return [(one["before"], one["after"]) for one in told]


def _wait_for(site: Site, *moves: tuple[str, str]) -> None:
    """Wait until both audits end with these changes of footing."""
    for at in (0, 1):
        wait_until(lambda at=at: _moves(site, at)[-len(moves) :] == list(moves), 60, lambda: site.log(0))  # type: ignore[misc]


def _when(site: Site, at: int, action: str) -> float:
    """Return when the latest line with this action was written."""
    lines = [line for line in site.audit(at) if line["action"] == action]
    return datetime.fromisoformat(lines[-1]["at"]).timestamp()


def _serves(site: Site) -> bool:
    return site.held(0) == site.held(1) != []


def test_hold_until_ttl_serves_on_until_its_ttl(tmp_path: Path, pair: Pair) -> None:
    """The KME dies: the old key serves beyond its age, told at both ends; at its ttl it is gone; then a fresh one."""
    with _running(tmp_path, pair, HOLD) as site:
        pair.kill(KME_IDS[0])
        _wait_for(site, ("fresh", "held"), ("held", "invalid"))
        wait_until(lambda: site.held(0) == site.held(1) == [], 10, "it serves beyond its ttl")
        for at in (0, 1):
            # it was fetched at most wait_s and one installation before its line
            assert _when(site, at, "agent.footing") - _when(site, at, "agent.install") > 8 - 3
            wait_until(lambda at=at: site.status(at)["footing"] == "invalid", 5, "not told")  # type: ignore[misc]
        pair.restart(KME_IDS[0])
        wait_until(lambda: site.settled() and site.status(1)["footing"] == "fresh", 60, lambda: site.log(0))
        assert ("invalid", "fresh") in _moves(site, 0)[2:]


def test_a_key_that_is_held_is_replaced_when_the_kme_is_back(tmp_path: Path, pair: Pair) -> None:
    """An alarm says that it is old. Back before the ttl: not one moment without a common key, and the alarm is gone."""
    with _running(tmp_path, pair, HOLD.replace("ttl_s = 8", "ttl_s = 600")) as site:
        pair.kill(KME_IDS[0])
        _wait_for(site, ("fresh", "held"))
        status, before = site.status(0), site.held(0)
        assert status["footing"] == "held"
        assert f"{OLD}, until its ttl_s" in status["alarms"]
        assert status["age_s"] > 2
        assert 0 < status["left_s"] < 600
        pair.restart(KME_IDS[0])
        deadline = time.monotonic() + 60
        while site.held(0) == before or not site.settled():
            assert set(site.held(0)) & set(site.held(1)), "a moment without a key"
            assert time.monotonic() < deadline, site.log(0)
            time.sleep(0.01)
        _wait_for(site, ("held", "fresh"))
        assert "until its ttl_s" not in str(site.status(0)["alarms"])


@pytest.mark.parametrize("anew", [False, True], ids=["installers live", "installers start anew"])
@pytest.mark.parametrize("terms", ["hold", "open"])
def test_of_dead_agents_an_old_key_serves_as_long_and_no_longer(
    tmp_path: Path, pair: Pair, terms: str, *, anew: bool
) -> None:
    """Both agents are killed: the installers keep the key beyond its age, as the policy says, and end it at its end.
    Installers that were killed too and start again know of it by the journal.
    """
    told = HOLD if terms == "hold" else _excepted(tmp_path, 25)
    with _running(tmp_path, pair, told) as site:
        for at in (0, 1):
            site.kill_agent(at)
        for at in (0, 1) if anew else ():
            site.kill_installer(at)
            site.start_installer(at)
        for at, role in enumerate(ROLES):
            memory = Journal(site.config(at).parent / "journal").read("door", role, steady_s(), time.time())
            ends_s = memory.held[-1].born_s + 8
            if terms == "open":
                ends_s = steady_s() + datetime.fromisoformat(_ends(tmp_path)).timestamp() - time.time()
            wait_until(lambda at=at: not site.held(at), 60, "it serves on without an end")  # type: ignore[misc]
            assert steady_s() > ends_s - 0.1, "it did not serve as long as it may"


def _ends(folder: Path) -> str:
    return str(tomllib.loads((folder / "open.toml").read_text())["expires"]) + "+00:00"


def test_fail_open_serves_on_until_its_exception_ends(tmp_path: Path, pair: Pair) -> None:
    """The KME dies: the key serves on under the signed exception, alarmed; the exception ends, and so does the key. The
    same file does not open anything a second time: fresh keys come, and the next old one is not used.
    """
    with _running(tmp_path, pair, _excepted(tmp_path, 30)) as site:
        pair.kill(KME_IDS[0])
        _wait_for(site, ("fresh", "open"))
        assert _serves(site)
        assert f"{OLD} under a signed exception" in site.status(0)["alarms"]
        _wait_for(site, ("fresh", "open"), ("open", "invalid"))
        wait_until(lambda: site.held(0) == site.held(1) == [], 10, "it serves beyond its exception")
        ends = datetime.fromisoformat(_ends(tmp_path)).timestamp()
        assert all(_when(site, at, "agent.footing") > ends - 0.1 for at in (0, 1))
        pair.restart(KME_IDS[0])
        _wait_for(site, ("open", "invalid"), ("invalid", "fresh"))
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.held(0) == site.held(1) == [], 30, "an exception that is over opens again")
        _wait_for(site, ("invalid", "fresh"), ("fresh", "open"), ("open", "invalid"))  # the latter two at one moment


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "open.toml.sig").write_bytes(b"x" * 3309), "is not signed"),
        (lambda folder: (folder / "open.toml").write_text("consumer = 'door'\n"), "is not signed"),
    ],
    ids=["no signature", "changed"],
)
def test_neither_part_starts_under_an_exception_that_nobody_signed(
    tmp_path: Path, pair: Pair, spoil: Spoil, told: str
) -> None:
    """Agent and installer refuse the file as a whole, each by itself."""
    site = Site(tmp_path, pair, _excepted(tmp_path, 60))
    _name_officer(site.config(0), tmp_path)
    spoil(tmp_path)
    try:
        for times, start in enumerate((site.start_installer, site.start_agent), 1):
            with pytest.raises(PeerUnavailable, match="has a problem"):
                start(0)
            assert site.log(0).count(told) == times
        assert not site.keys(0).exists()
    finally:
        site.close()
