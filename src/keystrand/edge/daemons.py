"""Programs of others under our care: started until they answer, ended whatever happens to us, their last words kept.

Each runs in the foreground, in a process group of its own, and gets SIGKILL from the kernel when the thread that
started it ends (prctl(2), PR_SET_PDEATHSIG): even a kill -9 of ours leaves none behind. A `Space` is a network
namespace that lives as long as one such program: no name under /run, no bind mount, nothing to clean up.
"""

import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from keystrand.model.errors import MissingInput, PeerUnavailable

_START_S, _STOP_S = 30.0, 5.0
_LOOK_S = 0.02
_GUARD = "setpriv"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """Return the path of an installed program. Raises `MissingInput` that names the Debian package."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise MissingInput(f"{name} is not installed", hint=f"apt-get install {package}")
    return path


@contextmanager
def ended_as_by_interrupt() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end what is under way as ^C does: in order, so that its folders with keys go too.

    In the main thread alone. A second one does not disturb; one that is ignored, as under nohup, stays so.
    """
    here = threading.current_thread() is threading.main_thread()  # elsewhere Python sets no handler
    ours = [one for one in (signal.SIGTERM, signal.SIGHUP) if here and signal.getsignal(one) is signal.SIG_DFL]

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class Daemon:
    """One program. `prefix` comes before its command: how it enters a `Space`. `name` stands in what is told of it."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (), name: str = "",
    ) -> None:  # fmt: skip
        self.name, self.log = name or Path(command[0]).name, log
        self._command = [*_dies_with_us(), *prefix, *map(str, command)]
        self._env = {**os.environ, **env} if env else None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its number, 0 where it does not run."""
        return self._child.pid if self._child else 0

    @property
    def running(self) -> bool:
        """Return whether it is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def _under_way(self) -> bool:
        """Return whether what sees to its end has done so and made room for it."""
        return Path(f"/proc/{self.pid}/comm").read_text() != f"{_GUARD}\n"

    @property
    def last_words(self) -> str:
        """Return the end of its log."""
        told = self.log.read_text(errors="replace").strip().splitlines()[-3:] if self.log.exists() else []
        return " ".join(told) or "no word from it"

    def launch(self) -> None:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - a program found by us, with arguments made by us
                self._command, stdin=subprocess.DEVNULL, stdout=self._output(log), stderr=log, env=self._env,
                start_new_session=True,
            )  # fmt: skip

    def _output(self, log: IO[bytes]) -> IO[bytes] | int:
        return log

    def wait_until(self, ready: Callable[[], bool], *, within_s: float = _START_S) -> None:
        """Wait until it is `ready`. Raises `PeerUnavailable` with its last words; it is gone then."""
        deadline = time.monotonic() + within_s
        # before it is under way the kernel was not told yet that it ends with us
        while not (done := self._under_way and ready()) and self.running and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        if not done or not self.running:
            code = self._child.poll() if self._child else None
            ended = f"not ready after {within_s:g} s" if code is None else f"it ended with {code}"
            self.kill()
            raise PeerUnavailable(
                f"{self.name} did not start: {self.last_words} ({ended})", hint=f"its log is {self.log}"
            )

    def start(self, ready: Callable[[], bool] = lambda: True, *, within_s: float = _START_S) -> None:
        """Start it and wait until it is `ready`. Raises `PeerUnavailable` with its last words; it is gone then."""
        self.launch()
        self.wait_until(ready, within_s=within_s)

    def end(self, number: signal.Signals, *, within_s: float = _START_S) -> int | None:
        """End it alone by a signal, and return its exit code: what it started lives on, as long as it may.

        Raises `PeerUnavailable` where it does not end.
        """
        self.signal(number)
        if self._child:
            try:
                self._child.wait(within_s)
            except subprocess.TimeoutExpired:
                raise PeerUnavailable(f"{self.name} has not ended {within_s:g} s after {number.name}") from None
        return self._let_go()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; none where it does not run."""
        if self._child and self.running:
            self._child.send_signal(number)

    def stop(self, *, within_s: float = _STOP_S) -> int | None:
        """End it in good order, and return its exit code; after a time, and all that it started, by SIGKILL."""
        if self._child and self.running:
            self._child.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(within_s)
        return self.kill()

    def _let_go(self) -> int | None:
        code = None
        if self._child:
            code = self._child.wait()
            if self._child.stdout:
                self._child.stdout.close()
        self._child = None
        return code

    def kill(self) -> int | None:
        """End it and all that it started by SIGKILL, as a power cut would; return its exit code, None without one."""
        if self._child:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._let_go()


class Speaker(Daemon):
    """A program of ours: it says `ready WHERE` on its standard output once it serves, and nothing more there."""

    where = ""

    def _output(self, log: IO[bytes]) -> IO[bytes] | int:
        del log
        return subprocess.PIPE

    def wait_ready(self, *, within_s: float = _START_S) -> str:
        """Wait until it serves, and return where. Raises `PeerUnavailable` as `start` does."""
        said = bytearray()
        self.wait_until(lambda: self._hears(said), within_s=within_s)
        self.where = said.decode(errors="replace").removeprefix("ready ").strip()
        return self.where

    def _hears(self, said: bytearray) -> bool:
        """Take what it says, for as long as one look lasts; return whether that is its line."""
        out = self._child and self._child.stdout
        if out and select.select([out], [], [], _LOOK_S)[0]:
            said += os.read(out.fileno(), 4096)
        return said.startswith(b"ready ") and said.endswith(b"\n")


class Space:
    """A network namespace, empty but for its loopback device, which is up. It needs root."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        holder = (program("unshare", "util-linux"), "--net", program("sleep", "coreutils"), "infinity")
        self._holder = Daemon(holder, folder / f"{name}.log")

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return what lets a command run inside."""
        return program("nsenter", "util-linux"), f"--net=/proc/{self._holder.pid}/ns/net", "--"

    @property
    def pid(self) -> int:
        """Return the number by which `ip link set DEVICE netns` knows it."""
        return self._holder.pid

    def start(self) -> None:
        """Make it. Raises `PeerUnavailable` where that is not permitted."""
        ours = Path("/proc/self/ns/net").readlink()
        self._holder.start(lambda: Path(f"/proc/{self._holder.pid}/ns/net").readlink() != ours)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words: str) -> str:
        """Run a command inside and return what it said. Raises `PeerUnavailable` with its complaint."""
        return run(*self.prefix, program(words[0], words[0]), *words[1:])

    def stop(self) -> None:
        """End it, and with it every device inside."""
        self._holder.kill()


def run(*words: str, env: Mapping[str, str] | None = None, within_s: float = _START_S) -> str:
    """Run a command to its end, with `env` added to ours, and return what it said; it ends with us.

    Raises `PeerUnavailable` with its complaint.
    """
    try:
        done = subprocess.run(  # noqa: S603 - as above
            [*_dies_with_us(), *words], check=False, capture_output=True, text=True, timeout=within_s,
            stdin=subprocess.DEVNULL, env={**os.environ, **env} if env else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PeerUnavailable(f"{' '.join(words)}: not done within {within_s:g} s") from None
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split()) or f"it ended with {done.returncode}"
        raise PeerUnavailable(f"{' '.join(words)}: {told}")
    return done.stdout


class Stoppable(Protocol):
    """Something that runs until it is stopped; to stop it twice is no fault."""

    def stop(self) -> object:
        """End it, and all that it started."""


class Daemons:
    """Everything that one run has started, ended in the reverse order whatever ends the run."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def add(self, started: Stoppable) -> None:
        """Take care of what was started, or is about to be."""
        self._stack.callback(started.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _dies_with_us() -> tuple[str, ...]:
    return program(_GUARD, "util-linux"), "--pdeathsig", "KILL", "--"
