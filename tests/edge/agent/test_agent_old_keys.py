"""An old key that may serve on: until its `ttl_s`, or until a signed exception ends, and not a moment longer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystrand.app.agent import permit
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.store.audit_signer import open_signer

from .site import Site, running_pair, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

_PACE = (
    "rotate_every_s = 0.4\nwait_s = 1\nprove_within_s = 2\nprove_every_s = 0.05\nretry_s = 0.1\nretry_most_s = 0.5\n"
)
HOLD = f'policy = "hold-until-ttl"\nmax_age_s = 2\nttl_s = 6\n{_PACE}'
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


def _serves(site: Site) -> bool:
    return site.held(0) == site.held(1) != []


def test_hold_until_ttl_serves_on_with_an_alarm_until_its_ttl(tmp_path: Path, pair: Pair) -> None:
    """The KME dies: the old key serves beyond its age, told at both ends; at its ttl it is gone; then a fresh one."""
    with _running(tmp_path, pair, HOLD) as site:
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "held", 8, "not held")
        assert _serves(site)
        status = site.status(0)
        assert f"{OLD}, until its ttl_s" in status["alarms"]
        assert status["age_s"] > 2
        assert 0 < status["left_s"] <= 4
        wait_until(lambda: site.held(0) == site.held(1) == [], 12, "it serves beyond its ttl")
        wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "invalid", 5, "not told")
        for at in (0, 1):
            assert _moves(site, at)[-2:] == [("fresh", "held"), ("held", "invalid")]
        pair.restart(KME_IDS[0])
        wait_until(lambda: site.settled() and site.status(1)["footing"] == "fresh", 20, lambda: site.log(0))
        assert _moves(site, 0)[-1] == ("invalid", "fresh")


def test_a_key_that_is_held_is_replaced_when_the_kme_is_back(tmp_path: Path, pair: Pair) -> None:
    """Back before the ttl: not one moment without a common key, and the alarm is gone."""
    with _running(tmp_path, pair, HOLD.replace("ttl_s = 6", "ttl_s = 60")) as site:
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.status(0)["footing"] == "held", 8, "not held")
        before = site.held(0)
        pair.restart(KME_IDS[0])
        deadline = time.monotonic() + 20
        while site.held(0) == before or not site.settled():
            assert set(site.held(0)) & set(site.held(1)), "a moment without a key"
            assert time.monotonic() < deadline, site.log(0)
            time.sleep(0.01)
        wait_until(lambda: site.status(0)["footing"] == "fresh", 5, "not told")
        assert OLD not in str(site.status(0)["alarms"])


@pytest.mark.parametrize("terms", ["hold", "open"])
def test_of_dead_agents_an_old_key_serves_as_long_and_no_longer(tmp_path: Path, pair: Pair, terms: str) -> None:
    """Both agents are killed: the installers keep the key beyond its age, as the policy says, and end it at its end."""
    told = HOLD if terms == "hold" else _excepted(tmp_path, 20)
    with _running(tmp_path, pair, told) as site:
        for at in (0, 1):
            site.kill_agent(at)
        died = time.monotonic()
        while time.monotonic() < died + 4:
            assert _serves(site)
            time.sleep(0.05)
        wait_until(lambda: site.held(0) == site.held(1) == [], 30, "it serves on without an end")


def test_fail_open_serves_on_until_its_exception_ends(tmp_path: Path, pair: Pair) -> None:
    """The KME dies: the key serves on under the signed exception, alarmed; the exception ends, and so does the key. The
    same file does not open anything a second time: fresh keys come, and the next old one is not used.
    """
    with _running(tmp_path, pair, _excepted(tmp_path, 20)) as site:
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "open", 8, "not open")
        assert _serves(site)
        assert f"{OLD} under a signed exception" in site.status(0)["alarms"]
        wait_until(lambda: site.held(0) == site.held(1) == [], 30, "it serves beyond its exception")
        wait_until(lambda: site.status(0)["footing"] == "invalid", 5, "not told")
        for at in (0, 1):
            wait_until(lambda at=at: _moves(site, at)[-1] == ("open", "invalid"), 5, "not audited")  # type: ignore[misc]
        pair.restart(KME_IDS[0])
        wait_until(site.settled, 20, lambda: site.log(0))
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.held(0) == site.held(1) == [], 12, "an exception that is over opens again")


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
        for start in (site.start_installer, site.start_agent):
            with pytest.raises(AssertionError, match=told):
                start(0)
        assert not site.keys(0).exists()
    finally:
        site.close()
