"""A wrong wall clock for one program, by libfaketime; its steady clocks stay right, as after a bad time server."""

import re
from contextlib import suppress
from pathlib import Path

from keystrand.edge.daemons import program
from keystrand.model.errors import MissingInput

_LIBRARIES = (Path("/usr/lib"), Path("/usr/local/lib"))
_LIBRARY = "*/faketime/libfaketimeMT.so.1"
_SHARED = Path("/dev/shm")  # noqa: S108 - where sem_open(3) and shm_open(3) have their files, by shm_overview(7)
_LEFT = re.compile(r"(?:sem\.)?faketime_(?:sem|shm)_(\d+)")


def wrong_clock(ahead_s: float) -> tuple[str, ...]:
    """Return what comes before a command so that its clock is so much ahead of this machine's; nothing for 0.

    A program of Python must not call `time.sleep`: libfaketime 0.9.10 refuses clock_nanosleep(2) until a moment of a
    steady clock (EINVAL). Raises `MissingInput`.
    """
    if not ahead_s:
        return ()
    library = next((file for place in _LIBRARIES for file in sorted(place.glob(_LIBRARY))), None)
    if library is None:
        raise MissingInput("libfaketime is not installed: no clock can be wrong", hint="apt-get install libfaketime")
    sweep()
    settings = {
        "LD_PRELOAD": str(library), "FAKETIME": f"{ahead_s:+f}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }  # fmt: skip
    # by env(1), so that the library is in the program alone and not in what starts it
    return program("env", "coreutils"), *(f"{name}={value}" for name, value in settings.items())


def sweep() -> None:
    """Remove what libfaketime keeps for processes that are gone: a kill leaves it, and who gets the number next may
    wait on it for ever.
    """
    for file in _SHARED.glob("*faketime_*"):
        found = _LEFT.fullmatch(file.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with suppress(OSError):  # another user's
                file.unlink()
