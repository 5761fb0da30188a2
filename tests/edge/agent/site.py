"""Two sites on loopback: a KME, an installer and an agent each, all processes of their own, and one consumer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keystrand.edge.daemons import Speaker
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import KME_IDS, Pair, reserve_port, start_pair
from keystrand.edge.pki import Identity, Kind, issue

HERE = Path(__file__).parent
NAMES = ("agent-a", "agent-b")
ROLES = ("initiator", "responder")
TERMS = """policy = "fail-secure"
rotate_every_s = 0.6
max_age_s = 20
wait_s = 2
prove_within_s = 3
prove_every_s = 0.05
retry_s = 0.2
retry_most_s = 1
"""


class Site:
    """Both ends. `terms`: what the consumer's table says besides its names. `made_of`: kind and settings at one end, a
    folder where nothing is said. `prefixes`: what comes before the command of each installer.
    """

    def __init__(
        self,
        folder: Path,
        pair: Pair,
        terms: str = TERMS,
        *,
        made_of: Callable[[int], tuple[str, str]] | None = None,
        prefixes: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        self.folder, self.pair, self.terms = folder, pair, terms
        self._made_of, self._prefixes = made_of or self._folders, prefixes
        self._ports = [reserve_port() for _ in NAMES]
        self._agents: list[Speaker | None] = [None, None]
        self._installers: list[Speaker | None] = [None, None]
        for at, name in enumerate(NAMES):
            issue(pair.pki, Identity(kind=Kind.AGENT, id=name), now=datetime.now(UTC)) if not pair.pki.of(
                Kind.AGENT, name).key.exists() else None  # fmt: skip
            self.write(at)

    def keys(self, at: int) -> Path:
        """Return the folder that is the consumer at one end."""
        return self.folder / f"keys-{at}"

    def _folders(self, at: int) -> tuple[str, str]:
        return "own_consumers.folder", f"folder = '{self.keys(at)}'\nother = '{self.keys(1 - at)}'\n"

    def config(self, at: int) -> Path:
        """Return the agent's file."""
        return self.folder / f"agent-{at}" / "agent.toml"

    def port(self, at: int) -> int:
        """Return where an agent listens."""
        return int(self._ports[at].getsockname()[1])

    def write(self, at: int) -> None:
        """Write the agent's file."""
        pki, own = self.pair.pki, NAMES[at]
        tls, sae = pki.of(Kind.AGENT, own), pki.of(Kind.SAE, self.pair.saes[at])
        kind, settings = self._made_of(at)
        file = self.config(at)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        file.write_text(
            f"[agent]\nname = '{own}'\nlisten = '127.0.0.1:{self.port(at)}'\npeer = '{NAMES[1 - at]}'\n"
            f"peer_address = '127.0.0.1:{self.port(1 - at)}'\nca = '{tls.ca}'\ncertificate = '{tls.certificate}'\n"
            f"key = '{tls.key}'\njournal = 'journal'\naudit = 'audit'\ninstaller = 'installer.sock'\n"
            f"[kme]\nurl = '{self.pair.urls[at]}'\nca = '{sae.ca}'\ncertificate = '{sae.certificate}'\n"
            f"key = '{sae.key}'\nkme_id = '{KME_IDS[at]}'\n"
            f"[[consumer]]\nid = 'door'\nkind = '{kind}'\nrole = '{ROLES[at]}'\n"
            f"peer_sae = '{self.pair.saes[1 - at]}'\n{self.terms}"
            f"[consumer.settings]\n{settings}"
        )

    def _launch(self, at: int, words: Sequence[str], prefix: Sequence[str] = ()) -> Speaker:
        env = {"PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
        child = Speaker([sys.executable, *words], self.config(at).parent / "log", env=env, prefix=prefix)
        child.launch()
        return child

    def start_installer(self, at: int) -> None:
        """Start the privileged part and wait until it listens."""
        command = ("-m", "keystrand.cli.main", "agent", "installer", "--config", str(self.config(at)))
        child = self._launch(at, command, self._prefixes[at])
        child.wait_ready()
        self._installers[at] = child

    def start_agent(
        self, at: int, *, stop_at: tuple[str, str, Path] | None = None, with_installer: bool = False
    ) -> None:
        """Start the agent and wait until it listens; with `stop_at` it stops where its journal says a state."""
        command = ["-m", "keystrand.cli.main", "agent", "run", "--config", str(self.config(at))]
        if with_installer:
            command.append("--with-installer")
        if stop_at:
            command = [str(HERE / "stopping_agent.py"), str(self.config(at)), *map(str, stop_at)]
        child = self._launch(at, command)
        if not stop_at:
            child.wait_ready()
        self._agents[at] = child

    def start(self) -> None:
        """Start everything."""
        for at in (0, 1):
            self.start_installer(at)
        for at in (1, 0):
            self.start_agent(at)

    def pid(self, at: int) -> int:
        """Return the number of an agent's process."""
        agent = self._agents[at]
        return agent.pid if agent else 0

    def pids(self) -> list[int]:
        """Return the numbers of the processes of agents and installers."""
        return [child.pid for child in (*self._agents, *self._installers) if child]

    def kill_agent(self, at: int, number: signal.Signals = signal.SIGKILL) -> None:
        """End an agent by a signal."""
        _end(self._agents[at], number)
        self._agents[at] = None

    def kill_installer(self, at: int) -> None:
        """End an installer by SIGKILL."""
        _end(self._installers[at], signal.SIGKILL)
        self._installers[at] = None

    def close(self) -> None:
        """End everything."""
        for child in (*self._agents, *self._installers):
            _end(child, signal.SIGTERM)
        for port in self._ports:
            port.close()

    # Looking

    def held(self, at: int) -> list[str]:
        """Return the keys that the consumer at one end has."""
        return sorted(file.stem for file in self.keys(at).glob("*.key"))

    def installed(self, at: int) -> list[tuple[str, str]]:
        """Return key ID and label of all that was ever installed at one end, in order."""
        file = self.keys(at) / "installed"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    def status(self, at: int) -> dict[str, Any]:
        """Return what `keystrand agent status` says of the consumer."""
        command = [sys.executable, "-m", "keystrand.cli.main", "agent", "status", "--config", str(self.config(at))]
        env = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
        done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=True, env=env)
        found: dict[str, Any] = json.loads(done.stdout)[0]
        return found

    def audit(self, at: int) -> list[dict[str, Any]]:
        """Return the whole lines of an agent's audit that are not about itself."""
        files = sorted((self.config(at).parent / "audit").glob("*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines(keepends=True)
                 if line.endswith("\n")]  # fmt: skip
        return [line for line in lines if line["actor"] == "agent"]

    def log(self, at: int) -> str:
        """Return the end of what agent and installer wrote to standard error."""
        return (self.config(at).parent / "log").read_text()[-3000:]

    def settled(self, count: int = 0) -> bool:
        """Return whether both hold one key, the same, and more than `count` were installed."""
        ours, theirs = self.held(0), self.held(1)
        return len(ours) == 1 and ours == theirs and len(self.installed(0)) > count


def wait_until(condition: Callable[[], bool], within_s: float, what: str | Callable[[], str]) -> float:
    """Wait for `condition` and return how long that took; `what` says what did not come."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + within_s, what if isinstance(what, str) else what()
        time.sleep(0.02)
    return time.monotonic() - started


def _end(child: Speaker | None, number: signal.Signals) -> None:
    if child:
        child.end(number)


@contextmanager
def running_pair(folder: Path, *, keys: int = 400) -> Iterator[Pair]:
    """Yield two KMEs with keys in stock, and no more to come."""
    with start_pair(folder / "kmes") as pair:
        with TwinSource(pair.link, pair.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536):
            pair.wait_for_keys(keys)
        yield pair
