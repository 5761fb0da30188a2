"""Programs as servers: where they are, how they are started, and that they are gone afterwards."""

import contextlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

HOST = "127.0.0.1"
NODE_VERSION = "26.10.0"
"""The first line of Node with OpenSSL 3.5, and so with ML-KEM and ML-DSA."""
_START_S, _STOP_S, _INSTALL_S = 30.0, 5.0, 300.0
_BELOW_EPHEMERAL = range(20_000, 32_000)
_TAKING, _TAKEN = threading.Lock(), set[int]()
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def found(name: str) -> str | None:
    """Return the path of an installed program, or None."""
    return shutil.which(name, path=_PATH)


def cache() -> Path:
    """Return the folder that what comes from a registry is kept in: `KEYSTRAND_TESTS_CACHE`, else the user's cache."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keystrand-tests"
    return Path(os.environ.get("KEYSTRAND_TESTS_CACHE") or usual)


def node() -> str | None:
    """Return Node's path, installed from the npm registry where the cache has none; None where it cannot be."""
    package = f"node-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"
    program = of_npm(package, NODE_VERSION, "bin/node", folder=f"node-{NODE_VERSION}")
    return str(program) if program else None


def of_npm(package: str, version: str, file: str, *, folder: str) -> Path | None:
    """Return a file of an npm package, kept in `folder` of the cache; None where it is not there and cannot be had."""
    kept = cache() / folder
    path, npm = kept / "node_modules" / package / file, found("npm")
    if npm and not path.exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _install(npm, f"{package}@{version}", kept)
    return path if path.exists() else None


def _install(npm: str, package: str, folder: Path) -> None:
    """Install aside and move: two runs at once do not see each other's half."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = tempfile.mkdtemp(dir=folder.parent)
    try:
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", aside, package]
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S)
        Path(aside).rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Let a shell wait for our end: should we be killed, it kills every group named in `folder` and removes it."""
    script = 'cat >/dev/null; for p in $(cat "$0/groups" 2>/dev/null); do kill -s KILL -- "-$p"; done; rm -rf "$0"'
    with subprocess.Popen(
        ["/bin/sh", "-c", script, folder], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ):
        try:
            yield
        finally:
            (folder / "groups").unlink(missing_ok=True)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], log: Path, *, user: str | None = None, **more: str
) -> Iterator["subprocess.Popen[str]"]:
    """Run a program in a process group of its own; all of the group is gone afterwards."""
    with log.open("a") as errors:
        child = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True, user=user, group=user, env=os.environ | {"PATH": _PATH} | more,
        )  # fmt: skip
    try:
        with (log.parent / "groups").open("a") as groups:
            groups.write(f"{child.pid}\n")
        yield child
    finally:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_S)
        _signal(child, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()


def _signal(child: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that are free on the loopback interface, none of them twice.

    They lie below those that connections going out take: one of these would come in between now and the program.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = _BELOW_EPHEMERAL.start + secrets.randbelow(len(_BELOW_EPHEMERAL))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            with _TAKING:
                if port not in _TAKEN:
                    _TAKEN.add(port)
                    chosen.append(port)
    return tuple(chosen)


def wait_until(ready: Callable[[], bool], child: "subprocess.Popen[str]", log: Path) -> None:
    """Return as soon as a program is `ready`. Fails with the end of its log where it ends instead."""
    until_s = time.monotonic() + _START_S
    while not ready():
        ended = child.poll() is not None
        assert not ended, f"{child.args!r} ended: {log.read_text(errors='replace')[-1000:]}"
        assert time.monotonic() < until_s, f"{child.args!r} is not ready"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def node_servers(program: str, settings: Mapping[str, object], folder: Path) -> Iterator[dict[str, int]]:
    """Serve every entry of `settings` (see servers.js); yields the port of each."""
    written = folder / "servers.json"
    written.write_text(json.dumps(settings))
    script = Path(__file__).parent / "servers.js"
    with running([program, script, written], folder / "node.log") as child:
        assert child.stdout
        line = child.stdout.readline()
        assert line, (folder / "node.log").read_text(errors="replace")[-1000:]
        yield json.loads(line)


@contextlib.contextmanager
def listening(command: Sequence[str | Path], port: int, log: Path, *, user: str | None = None) -> Iterator[int]:
    """Run a program that listens on `port`, from when it does."""
    with running(command, log, user=user) as child:
        wait_until(partial(_listens, port), child, log)
        yield port
