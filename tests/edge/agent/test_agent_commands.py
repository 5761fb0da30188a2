"""The agent's commands, as an operator types them: check, status, and an agent that is nobody's root."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from keystrand.edge.agent.config import load_agent
from keystrand.edge.agent.kme_access import KmeAccess
from keystrand.edge.kme.pair import Pair
from keystrand.edge.pki import Identity, Kind, issue

from .site import HERE, Site, running_pair, wait_until
from .test_agent_channel import QUIET

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with TemporaryDirectory(prefix="agents-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def pair(ground: Path) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(ground) as running:
        yield running


@pytest.fixture
def site(pair: Pair, ground: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Two sites; nothing runs yet."""
    folder = ground / request.node.name[:40]
    folder.mkdir(mode=0o755)
    made = Site(folder, pair, QUIET)
    try:
        yield made
    finally:
        made.close()


def _typed(*words: object) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "keystrand.cli.main", "agent", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_check_says_what_is_well_and_what_is_not(site: Site) -> None:
    """Each thing that an agent needs is a row; a fault is exit 1 with its next step; nothing is installed."""
    done = _typed("check", "--config", site.config(0), "-o", "json")
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert (done.returncode, {row["well"] for row in rows.values()}) == (0, {True}), done.stdout
    assert "keys for sae-b" in rows["kme"]["told"]
    file = site.config(0)
    file.chmod(0o666)
    file.write_text(file.read_text().replace("kme-a'", "kme-x'").replace("agent-agent-a", "agent-agent-b"))
    done = _typed("check", "--config", file, "-o", "json")
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1
    assert {what for what, row in rows.items() if not row["well"]} == {"certificate", "file", "kme"}
    assert "belongs to urn:keystrand:agent:agent-b" in rows["certificate"]["told"]
    assert "chmod go-w" in rows["file"]["told"]
    assert not site.keys(0).exists()
    assert "Traceback" not in done.stderr


def test_a_renewed_certificate_counts_with_the_next_question(
    site: Site, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to the KME is made anew where its files have changed, and only then."""
    monkeypatch.syspath_prepend(HERE)
    access = KmeAccess(load_agent(site.config(0)).kme, 5)
    first = access.client()
    assert access.client() is first
    issue(pair.pki, Identity(kind=Kind.SAE, id="sae-a"), now=datetime.now(UTC), renew=True)
    second = access.client()
    assert second is not first
    assert second.status("sae-b").stored_key_count
    access.close()


def test_an_agent_without_its_installer_ends_with_the_next_step(site: Site) -> None:
    """It cannot touch a consumer itself, and says who can. Nothing listens, nothing was written."""
    done = _typed("run", "--config", site.config(0))
    assert done.returncode == 1
    assert "keystrand agent installer" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (site.config(0).parent / "journal").exists()


def test_a_file_of_everybodys_stops_the_installer(site: Site) -> None:
    """Who can change the tables could have root do anything."""
    site.config(0).chmod(0o666)
    done = _typed("installer", "--config", site.config(0))
    assert done.returncode == 12
    assert "can be changed by others" in done.stderr


def test_status_before_the_first_start(site: Site) -> None:
    """No journal yet: no key, and two alarms."""
    status = site.status(0)
    assert (status["footing"], status["keys"], status["last_changeover_s"]) == ("invalid", [], None)
    assert len(status["alarms"]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_agent_started_as_root_is_not_root_for_long(site: Site, pair: Pair) -> None:
    """It becomes its user before it opens anything; the installer beside it stays root and lets that user in."""
    for at in (0, 1):
        file = site.config(at)
        file.write_text(file.read_text().replace("[kme]", "user = 'nobody'\n[kme]", 1))
    _open_to_nobody(site, pair)
    for at in (0, 1):
        site.start_installer(at)
    for at in (1, 0):
        site.start_agent(at)
        told = Path(f"/proc/{site.pid(at)}/status").read_text()
        assert "Uid:\t65534\t65534\t65534\t65534" in told
        assert "CapEff:\t0000000000000000" in told
    deadline = time.monotonic() + 20
    while not site.settled():
        assert time.monotonic() < deadline, site.log(0)[-4000:]
        time.sleep(0.05)
    assert (next(site.keys(0).glob("*.key"))).stat().st_uid == 0


def _open_to_nobody(site: Site, pair: Pair) -> None:
    """Give the files of both ends to the agent's user, as an administrator would."""
    for place in (pair.pki.folder, *pair.pki.folder.iterdir()):
        if place.name.startswith(("sae-", "agent-", "ca.pem", "pki")):
            place.chmod(0o755 if place.is_dir() else 0o644)
    for at in (0, 1):
        for name in ("journal", "audit"):
            folder = site.config(at).parent / name
            folder.mkdir()
            os.chown(folder, 65534, 65534)
    pair.pki.folder.parent.chmod(0o755)


def test_one_command_for_both_parts(site: Site) -> None:
    """`--with-installer` starts the privileged part too; killed, the agent takes it along."""
    site.start_installer(1)
    site.start_agent(1)
    site.start_agent(0, with_installer=True)
    wait_until(site.settled, 20, site.log(0)[-2000:])
    site.kill_agent(0)
    socket_path = site.config(0).parent / "installer.sock"
    wait_until(lambda: not _listens(socket_path), 10, "the installer is still there")
    count = len(site.installed(0))
    site.start_agent(0, with_installer=True)
    wait_until(lambda: _listens(socket_path), 10, "no installer")
    assert site.held(0)
    assert len(site.installed(0)) >= count


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as looking:
        return looking.connect_ex(str(path)) == 0
