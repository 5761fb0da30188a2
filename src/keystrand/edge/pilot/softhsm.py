"""A token of SoftHSM2 of one's own, for pilots and tests: in a private folder, its PIN in a file beside it."""

import io
import os
import secrets
import select
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from keystrand.edge.daemons import program
from keystrand.edge.files import write_atomic
from keystrand.model.errors import MissingInput, PeerUnavailable

_PACKAGE = "softhsm2"
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)  # fmt: skip
"""Where Debian, Fedora, its own build and Homebrew put the library."""
_WITHIN_S = 20.0
_LOOK_S = 0.02
_PROMPT = "PIN:"


class SoftToken(Struct, frozen=True, kw_only=True):
    """A token, and what a program needs to use it. The library reads `env` once, when it is loaded into a process."""

    module: Path
    label: str
    folder: Path

    @property
    def pin_file(self) -> Path:
        """The user's PIN."""
        return self.folder / "pin"

    @property
    def configuration(self) -> Path:
        """The library's configuration."""
        return self.folder / "softhsm2.conf"

    @property
    def env(self) -> Mapping[str, str]:
        """Return what a process that uses it needs in its environment."""
        return {"SOFTHSM2_CONF": str(self.configuration)}


def library() -> Path:
    """Return where the library is. Raises `MissingInput` that names the Debian package."""
    for place in map(Path, _PLACES):
        if place.exists():
            return place
    raise MissingInput("the library of SoftHSM2 is not installed", hint=f"apt-get install {_PACKAGE}")


def new_token(folder: Path, label: str, *, pin: str = "") -> SoftToken:
    """Make a token in the new `folder`, with a PIN of its own where none is given.

    Raises `MissingInput`, `PeerUnavailable`.
    """
    token = SoftToken(module=library(), label=label, folder=folder)
    folder.mkdir(parents=True, mode=0o700)
    (folder / "tokens").mkdir(mode=0o700)
    settings = f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    write_atomic(token.configuration, settings.encode())
    pin = pin or _new_pin()
    write_atomic(token.pin_file, f"{pin}\n".encode(), mode=0o600)
    initialise(token, pin)
    return token


def initialise(token: SoftToken, pin: str) -> None:
    """Make a token of this label in its folder, where none is. Raises `MissingInput`, `PeerUnavailable`.

    The PINs are told by a terminal: in an argument any user of the machine could read them.
    """
    words = (program("softhsm2-util", _PACKAGE), "--init-token", "--free", "--label", token.label)
    officer = _new_pin()
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb+", buffering=0) as terminal:
        child = subprocess.Popen(  # noqa: S603 - a program found by us, with arguments made by us
            words, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **token.env}
        )
        os.close(theirs)
        try:
            told = _dialogue(terminal, (officer, officer, pin, pin))
            ended = child.wait(_WITHIN_S)
        finally:
            child.kill()
            child.wait()
    if ended:
        raise PeerUnavailable(f"the token {token.label} was not made: {told}")


def _dialogue(terminal: io.FileIO, answers: Sequence[str]) -> str:
    """Answer each question once it was asked, with nobody listening in, and return what was said last.

    Raises `PeerUnavailable` where there is one question more: a PIN was not taken.
    """
    for answer in answers:
        said = _heard(terminal, lambda said: _asks(said) and not _echoes(terminal))
        if not _asks(said):
            return said
        terminal.write(f"{answer}\n".encode())
    said = _heard(terminal, _asks)
    if _asks(said):
        raise PeerUnavailable(f"softhsm2-util does not take that PIN: {' '.join(said.split())}")
    return said


def _asks(said: str) -> bool:
    return said.rstrip().endswith(_PROMPT)


def _heard(terminal: io.FileIO, enough: Callable[[str], bool]) -> str:
    """Return what is said until it is `enough`, or nobody is there any more. Raises `PeerUnavailable` when late."""
    said, deadline = "", time.monotonic() + _WITHIN_S
    while not enough(said):
        if time.monotonic() > deadline:
            raise PeerUnavailable(f"softhsm2-util asked for nothing we know: {said.strip()}")
        if not select.select([terminal], [], [], _LOOK_S)[0]:
            continue
        try:
            said += terminal.read(4096).decode(errors="replace")
        except OSError:
            # the other end of a terminal is gone
            break
    return said


def _echoes(terminal: io.FileIO) -> bool:
    """Return whether what is typed is shown: the question stands, and its reader does not listen yet."""
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def _new_pin() -> str:
    return str(secrets.randbelow(9 * 10**9) + 10**9)
