"""All three trials as a real ordinary user, and what is left of them when the pilot is killed."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.pilot.grounds import declared

from keystrand.edge.pilot.age import AgeTrial
from keystrand.edge.pilot.hsm import HsmTrial
from keystrand.model.pilot import ConsumerKind

WHY_NOT = HsmTrial(declared(ConsumerKind.HSM, 1)).why_not() or AgeTrial(declared(ConsumerKind.AGE, 1)).why_not()
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

ROOT = Path(__file__).parents[3]
NOBODY = 65534
DROP = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups") if os.geteuid() == 0 else ()
PLACES = os.pathsep.join(map(str, (ROOT / "src", ROOT, sysconfig.get_path("purelib"))))


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the ordinary user's own, where only that user can look."""
    place = Path(tempfile.mkdtemp(prefix="keystrand-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(place, NOBODY, NOBODY)
    yield place
    shutil.rmtree(place)


def as_ordinary(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start Python with these words as an ordinary user: as `nobody` where this is root."""
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": PLACES}
    return subprocess.Popen([*DROP, _interpreter(env), *words], env=env, stdout=subprocess.PIPE, text=True, cwd=home)


def as_ordinary_user(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start the script as one."""
    return as_ordinary(home, str(Path(__file__).with_name("ordinary_user.py")), str(home / "run"), *words)


def _interpreter(env: dict[str, str]) -> str:
    """Return one that an ordinary user can start, and that finds all there is to import."""
    for one in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        # the second setpriv starts it with nothing left of root's rights
        words = (*DROP, "setpriv", "--pdeathsig", "KILL", one, "-c", "import tests, keystrand.cli.main, pkcs11")
        if subprocess.run(words, env=env, check=False, capture_output=True, timeout=60).returncode == 0:
            return one
    pytest.skip("an ordinary user cannot start this interpreter, or cannot read this folder")


def test_an_ordinary_user_runs_all_three(home: Path) -> None:
    """TLS, age and tokens keyed by agents: traffic passes through rotations, no key comes twice, nothing fails."""
    with as_ordinary_user(home) as child:
        told, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    user, seen = json.loads(told)
    assert user == (os.geteuid() or NOBODY)
    by_kind = {one["kind"]: one for one in seen}
    assert by_kind.keys() == {"tls", "age", "hsm"}
    for one in seen:
        assert (one["failed"], one["why"], one["wrong"]) == (0, [], 0), one
    for kind in ("tls", "age"):
        assert by_kind[kind]["keys"] == by_kind[kind]["tried"] > 0
    assert by_kind["hsm"]["tried"] > by_kind["hsm"]["keys"] >= 3


@pytest.mark.slow
def test_nothing_is_left_when_it_is_killed(home: Path) -> None:
    """SIGKILL in the midst of all traffic: applications, agents, installers, KMEs and age are gone soon."""
    with as_ordinary_user(home, "hold") as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        before = _of(home)
        child.kill()
    assert sum("token_user" in one for one in before) == 2
    assert sum(" agent installer " in one or " agent run " in one for one in before) == 4
    deadline = time.monotonic() + 30
    while left := _of(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _of(home: Path) -> list[str]:
    """Return the commands of the processes that were given something in this folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in words:
            found.append(words)
    return found
