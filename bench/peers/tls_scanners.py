"""Other scanners of TLS: how each is asked about one server, and what in its answer says that it lost the host."""

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from bench.measure import Failed, Missing
from bench.peers.packages import interpreter

_RUN_S = 240.0


class Told(NamedTuple):
    """What a scanner says of one server: found it speaking TLS at all, and the two post-quantum facts."""

    seen: bool
    key_establishment: bool
    signature: bool


class Scanner(NamedTuple):
    """A peer. `command` takes host and port, and may raise `Missing`; `seen` reads whether TLS was found.

    `every`: of so many servers it is asked about one, because it takes half a minute for each.
    """

    name: str
    command: Callable[[str, int], list[str]]
    seen: Callable[[str], bool]
    every: int = 1


def installed(program: str, package: str) -> str:
    """Return where a program of Debian's is. Raises `Missing`."""
    found = shutil.which(program)
    if not found:
        raise Missing(f"{program} is not installed (Debian: {package})")
    return found


def _sslyze(host: str, port: int) -> list[str]:
    python = interpreter("sslyze")
    words = ["--json_out=-", "--elliptic_curves", "--certinfo", f"{host}:{port}{{127.0.0.1}}"]
    return [str(python), "-m", "sslyze", *words]


def _testssl(host: str, port: int) -> list[str]:
    program = installed("testssl", "testssl.sh")
    return [program, "-q", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1", "-f", "-S", f"{host}:{port}"]


def _nmap(host: str, port: int) -> list[str]:
    program = installed("nmap", "nmap")
    scripts = ["--script", "ssl-enum-ciphers,ssl-cert", "--script-args", f"tls.servername={host}"]
    return [program, "-Pn", "-n", "-p", str(port), *scripts, "127.0.0.1"]


SCANNERS = (
    Scanner("sslyze", _sslyze, lambda text: '"connectivity_status": "COMPLETED"' in text),
    Scanner("testssl.sh", _testssl, lambda text: "seem to be a TLS/SSL enabled server" not in text, every=4),
    Scanner("nmap", _nmap, lambda text: "TLSv1" in text),
)


def ask(scanner: Scanner, host: str, port: int) -> Told:
    """Have a scanner look at one server. Raises `Missing` where it is not there, `Failed` where it does not end."""
    command = scanner.command(host, port)
    try:
        done = subprocess.run(  # noqa: S603  # commands are written by us
            command, capture_output=True, timeout=_RUN_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{scanner.name} gave no answer: {error}") from error
    # by whatever name and in whatever part of its answer, less the name that it was given
    text = done.stdout.decode(errors="replace").replace(host, "")
    return Told(scanner.seen(text), *(bool(re.search(f"ML-?{kind}", text, re.I)) for kind in ("KEM", "DSA")))
