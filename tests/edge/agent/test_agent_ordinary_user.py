"""Agents and installers of an ordinary user: no root anywhere, no capability, and every key lands all the same."""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import keystrand
from keystrand.edge.kme.pair import KME_IDS, Pair

from .site import HERE, TERMS, Site, running_pair, wait_until

pytestmark = pytest.mark.system

NOBODY = 65534
_BECOMES = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are closed to others."""
    with TemporaryDirectory(prefix="ordinary-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def pair(ground: Path) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(ground) as running:
        yield running


@pytest.fixture
def user(ground: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return who starts Python from now on, root never: where we are root, nobody, with a home of its own."""
    del pair  # started before, by us
    if os.geteuid() != 0:
        return os.geteuid()
    paths = (Path(keystrand.__file__).parents[1], HERE, sysconfig.get_path("purelib"))
    own = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for interpreter in (sys.executable, own):
        starter = ground / "python"
        told = ("env", f"HOME={ground / 'home'}", f"PYTHONPATH={':'.join(map(str, paths))}", interpreter)
        starter.write_text(f'#!/bin/sh\nexec {shlex.join([*_BECOMES, *told])} "$@"\n')
        starter.chmod(0o755)
        tried = subprocess.run([starter, "-c", "import keystrand.cli.main"], capture_output=True, check=False)
        if tried.returncode == 0:
            monkeypatch.setattr(sys, "executable", str(starter))
            return NOBODY
    pytest.skip("no Python of this version that another user may start")


def test_an_ordinary_user_runs_both_parts(ground: Path, pair: Pair, user: int) -> None:
    """Keys rotate, all is judged well beforehand, what is installed is that user's, and a key that is too old goes."""
    site = Site(ground / "site", pair, TERMS.replace("max_age_s = 20", "max_age_s = 6"))
    _give(user, site.folder, pair.pki.folder)
    try:
        command = [sys.executable, "-m", "keystrand.cli.main", "agent", "check", "--config", str(site.config(0))]
        env = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
        checked = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert checked.returncode == 0, checked.stdout
        site.start()
        wait_until(lambda: site.settled(2), 30, lambda: site.log(0))
        for pid in site.pids():
            told = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{user}\t{user}\t{user}\t{user}" in told
            assert "CapEff:\t0000000000000000" in told
        for at in (0, 1):
            own = site.config(at).parent
            made = (site.keys(at) / "installed", own / "journal" / "door.json", own / "audit", own / "installer.sock")
            assert {place.stat().st_uid for place in made} == {user}
        wait_until(lambda: site.status(0)["footing"] == "fresh", 20, lambda: site.log(0))
        pair.kill(KME_IDS[0])
        wait_until(lambda: site.held(0) == site.held(1) == [], 30, "a key that is too old is still there")
        assert "no key is in use: nothing may pass" in site.status(1)["alarms"]
        assert "Traceback" not in site.log(0) + site.log(1)
    finally:
        site.close()


def _give(user: int, *folders: Path) -> None:
    """Give what is an agent's to its user, as an administrator would."""
    for folder in folders:
        for place in (folder.parent, folder):
            place.chmod(0o755)
        for file in (folder, *folder.rglob("*")):
            os.chown(file, user, -1)
