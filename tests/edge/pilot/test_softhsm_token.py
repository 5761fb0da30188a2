"""A token of one's own: initialised without its PIN in any argument, closed to others, and its trouble told."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keystrand.edge.pilot import softhsm
from keystrand.edge.pilot.hsm import HsmTrial
from keystrand.edge.pilot.softhsm import library, new_token
from keystrand.model.errors import MissingInput, PeerUnavailable
from keystrand.model.pilot import ConsumerKind, PilotConsumer

pytestmark = pytest.mark.system

HSM = PilotConsumer(id="vault", kind=ConsumerKind.HSM)
needs_tokens = pytest.mark.skipif(bool(why := HsmTrial(HSM).why_not()), reason=f"needs SoftHSM2: {why}")

_OPEN = """
import sys, pkcs11
with pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2]).open(user_pin=open(sys.argv[3]).read().strip()):
    print("open")
"""


@needs_tokens
def test_it_opens_with_the_pin_in_its_file_alone(tmp_path: Path) -> None:
    """By the library itself, in a process of its own; nothing of it is for others to read."""
    one, two = new_token(tmp_path / "one", "a label"), new_token(tmp_path / "two", "a label")
    assert one.pin_file.read_text() != two.pin_file.read_text()

    def opened(pin_file: Path) -> str:
        words = [sys.executable, "-c", _OPEN, str(one.module), one.label, str(pin_file)]
        done = subprocess.run(words, env=dict(one.env), capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip()

    assert opened(one.pin_file) == "open"
    assert opened(two.pin_file) == ""
    assert stat.S_IMODE(one.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(one.pin_file.stat().st_mode) == 0o600


@needs_tokens
def test_its_pin_is_in_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is put behind one that writes down how it was called."""
    real, noted = shutil.which("softhsm2-util", path="/usr/bin:/usr/local/bin"), tmp_path / "noted"
    (tmp_path / "softhsm2-util").write_text(f'#!/bin/sh\necho "$@" >> {noted}\nexec {real} "$@"\n')
    (tmp_path / "softhsm2-util").chmod(0o755)
    monkeypatch.setattr(softhsm, "program", lambda name, _: str(tmp_path / name))
    token = new_token(tmp_path / "one", "a-label", pin="90817263")
    assert noted.read_text() == "--init-token --free --label a-label\n"
    assert token.pin_file.read_text() == "90817263\n"


@needs_tokens
def test_what_softhsm_refuses_is_told(tmp_path: Path) -> None:
    """With its own words: a PIN that is too short. Its folder is never used twice."""
    with pytest.raises(PeerUnavailable, match="does not take that PIN"):
        new_token(tmp_path / "one", "short", pin="1")
    with pytest.raises(FileExistsError):
        new_token(tmp_path / "one", "again")


def test_an_absent_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the trial says so before it begins."""
    monkeypatch.setattr(softhsm, "_PLACES", ("/nowhere/libsofthsm2.so",))
    with pytest.raises(MissingInput, match="SoftHSM2") as caught:
        library()
    assert caught.value.hint == "apt-get install softhsm2"
