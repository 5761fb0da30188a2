"""The two agents of a pilot, each with its installer, for the consumers on trial that take their keys from an agent.

Their files are what an operator would write; they get certificates of an authority of their own, and run as processes
in the management network, the installers where their consumers are. Whoever starts one must live on: its thread's end
is the end of what it started.
"""

import math
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from keystrand.edge.agent.config import AgentConfig, load_agent
from keystrand.edge.agent.standing import Standing, standings
from keystrand.edge.daemons import Speaker
from keystrand.edge.kme.pair import reserve_port
from keystrand.edge.pilot.agent_files import NAMES, OnAgent, check_declared, installer_place, write_files
from keystrand.edge.pilot.agent_watch import AlarmSeen, Trail, Watch
from keystrand.edge.pilot.base import A, B, Ground
from keystrand.edge.pilot.clock import sweep, wrong_clock
from keystrand.edge.pki import Credentials, Identity, Kind, Pki, issue, issue_pki
from keystrand.keys.lapse import Footing
from keystrand.model.errors import InvalidInput, PeerUnavailable
from keystrand.model.stages.recorded import Deed, DeedKind
from keystrand.pilot.agents_told import (
    Changeover,
    Changes,
    FootingMove,
    FootingSeen,
    KeyMove,
    Line,
    changes,
    footings,
    given_twice,
    oldest_key_s,
    rotations,
)

_DAYS = 7
_LOOK_S = 0.05


class AgentEnd:
    """The agent at one end and its privileged part, by the file `config`. `prefix` and `env` are the latter's."""

    def __init__(self, config: Path, prefix: Sequence[str] = (), env: dict[str, str] | None = None) -> None:
        self.config = config
        self.installer = Speaker(
            _command("installer", config), config.with_name("installer.log"), env=env, prefix=prefix,
            name=f"the installer of {config}",
        )  # fmt: skip
        self.agent = self.make_agent()

    def make_agent(self, skew_s: float = 0.0) -> Speaker:
        """Return an agent that does not run yet, its clock so much ahead of this machine's. Raises `MissingInput`."""
        return Speaker(
            _command("run", self.config), self.config.with_name("agent.log"), prefix=wrong_clock(skew_s),
            name=f"the agent of {self.config}",
        )  # fmt: skip

    def stop(self) -> None:
        """End both in good order, the agent first."""
        self.agent.stop()
        self.installer.stop()
        sweep()


class Told(NamedTuple):
    """Everything that was told and seen of one consumer so far."""

    lines: tuple[Line, ...]
    moves: tuple[KeyMove, ...]
    footings: tuple[FootingSeen, ...]


class Agents:
    """Both agents. `saes`: the authority of their SAEs' certificates, None where that is not ours."""

    def __init__(self, ground: Ground, trials: Sequence[OnAgent], *, saes: Pki | None = None) -> None:
        """Prepare; nothing runs before `set_up`."""
        self._ground, self._trials, self._saes = ground, [one for one in trials if one.agent_kind()], saes
        self._folder = ground.folder / "agents"
        self._pki = Pki(folder=self._folder / "pki")
        self.deeds: list[Deed] = []
        self._ports: list[socket.socket] = []
        self._configs: list[AgentConfig] = []
        self._ends: list[AgentEnd] = []
        self._trails: list[Trail] = []
        self._watch = Watch(self.standings)

    def set_up(self) -> None:
        """Write their files and start everything. Raises `InvalidInput`, `PeerUnavailable`."""
        check_declared(self._trials)
        places = [installer_place(self._trials, at) for at in (A, B)]
        self._ground.care.add(self)
        files = self._write()
        self._count_deeds(files)
        self._configs = [load_agent(file) for file in files]
        self._ends = [AgentEnd(file, *place) for file, place in zip(files, places, strict=True)]
        self._trails = [
            Trail(at, Path(config.agent.audit), self._ends[at].installer.log) for at, config in enumerate(self._configs)
        ]
        for programs in ([end.installer for end in self._ends], [end.agent for end in self._ends]):
            for program in programs:
                program.launch()
            for program in programs:
                program.wait_ready()
        self._watch.start()

    def _write(self) -> tuple[Path, Path]:
        now = datetime.now(UTC)
        issue_pki(self._pki.folder, kmes=(), saes=(), days=_DAYS, now=now)
        for name in NAMES:
            issue(self._pki, Identity(kind=Kind.AGENT, id=name), days=_DAYS - 1, now=now)
        self._ports = [reserve_port() for _ in NAMES]
        one, two = (int(port.getsockname()[1]) for port in self._ports)
        own = self._credentials(A), self._credentials(B)
        return write_files(self._folder, self._trials, self._ground.kmes, own, (one, two))

    def _credentials(self, at: int) -> Credentials:
        return msgspec.structs.replace(self._pki.of(Kind.AGENT, NAMES[at]), crl=self._pki.crl)

    def _count_deeds(self, files: Sequence[Path]) -> None:
        """Count what an operator does: the lines of each table for whom it is, both ends together."""
        for file in files:
            shared, *own = file.read_text().split("[[consumer]]")
            self._deed(DeedKind.CONFIG_LINES, "agent.toml: [agent] and [kme]", _lines(shared))
            for trial, table in zip(self._trials, own, strict=True):
                self._deed(
                    DeedKind.CONFIG_LINES, "agent.toml: [[consumer]]", _lines(f"[[consumer]]{table}"),
                    consumer=trial.declared.id,
                )  # fmt: skip
        for what in ("keystrand pki issue --kind agent", "keystrand agent installer", "keystrand agent run"):
            self._deed(DeedKind.COMMAND, what, len(files))

    def _deed(self, kind: DeedKind, what: str, count: int = 1, *, consumer: str = "", event: str = "") -> None:
        self.deeds.append(Deed(kind=kind, what=what, count=count, consumer=consumer, event=event))

    # What a campaign does to them

    def kill(self, at: int) -> None:
        """End the agent at one end by SIGKILL; its installer lives on."""
        self._ends[at].agent.kill()

    def start(self, at: int, skew_s: float = 0.0, *, event: str = "") -> None:
        """Start the agent at one end, anew where it runs, with a clock that is so much ahead of this machine's.

        `event` called for it. Raises `PeerUnavailable`, and `MissingInput` where a clock cannot be made to differ.
        """
        end = self._ends[at]
        another = end.make_agent(skew_s)
        # a restart of ours is no fault that a look should find; and a look holds the journal for a moment, while an
        # agent of a wrong clock cannot sleep until it is free
        with self._watch.looking if skew_s or end.agent.running else nullcontext():
            end.agent.kill()
            self._trails[at].set_clock(skew_s)  # between the last word of the one and the first of the other
            end.agent = another
            end.agent.launch()
            end.agent.wait_ready()
        if not skew_s:  # a wrong clock is no deed of an operator's
            self._deed(DeedKind.RESTART, f"keystrand agent run, at end {'ab'[at]}", event=event)

    def expire(self, at: int, kind: Kind, in_s: float) -> float:
        """Issue the certificate of the agent or of its SAE at one end anew, to end in so many seconds; return when.

        That is a whole second, as certificates count. An agent takes it with its next connection, and an SAE's counts
        with every question. Raises `InvalidInput` where its authority is not ours.
        """
        ends_s = float(math.ceil(time.time() + in_s))
        a_day_before = datetime.fromtimestamp(ends_s, UTC) - timedelta(days=1)
        issue(self._authority(kind), self._identity(at, kind), days=1, renew=True, now=a_day_before)
        return ends_s

    def renew(self, at: int, kind: Kind, *, event: str = "") -> None:
        """Issue it anew for days to come. Raises `InvalidInput` where its authority is not ours."""
        issue(self._authority(kind), self._identity(at, kind), days=_DAYS - 2, renew=True, now=datetime.now(UTC))
        self._deed(DeedKind.COMMAND, f"keystrand pki issue --kind {kind.value} --renew", event=event)

    def _authority(self, kind: Kind) -> Pki:
        if kind is Kind.AGENT:
            return self._pki
        if self._saes is None:
            raise InvalidInput("the certificates of these SAEs are not ours to issue", hint="ask the KME's vendor")
        return self._saes

    def _identity(self, at: int, kind: Kind) -> Identity:
        return Identity(kind=kind, id=NAMES[at] if kind is Kind.AGENT else self._ground.kmes[at].sae)

    def stop(self) -> None:
        """End everything in good order. What was told and seen stays."""
        self._watch.stop()
        for end in self._ends:
            end.stop()
        for trail in self._trails:
            trail.read()
        for port in self._ports:
            port.close()

    # What can be seen of them

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of their processes: both agents', both installers'."""
        return tuple(one.pid for name in ("agent", "installer") for one in (getattr(e, name) for e in self._ends))

    def config(self, at: int) -> AgentConfig:
        """Return what the agent at one end was told."""
        return self._configs[at]

    def standings(self, at: int) -> tuple[Standing, ...]:
        """Return how the consumers stand at one end, by the agent's journal. Raises `StoreFailure`."""
        return standings(self._configs[at])

    def fresh(self, consumer: str = "") -> bool:
        """Return whether every consumer, or this one, stands on a fresh key at both ends."""
        found = [one for at in (A, B) for one in self.standings(at) if consumer in ("", one.consumer)]
        return all(one.footing is Footing.FRESH for one in found)

    def wait_fresh(self, within_s: float, consumer: str = "") -> float:
        """Wait for that, and return how long it took. Raises `PeerUnavailable` with what the agents say."""
        began = time.monotonic()
        while not self.fresh(consumer):
            if time.monotonic() - began > within_s:
                told = "; ".join(
                    f"{one.consumer} at {'ab'[at]}: {', '.join(one.alarms) or one.footing}"
                    for at in (A, B) for one in self.standings(at)
                )  # fmt: skip
                raise PeerUnavailable(f"not every consumer has a fresh key after {within_s:g} s: {told}")
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def alarms(self, from_s: float, to_s: float) -> tuple[AlarmSeen, ...]:
        """Return what began to be alarmed in a window, each text of a consumer and end once, when it came first."""
        found = sorted((one for one in tuple(self._watch.alarms) if from_s <= one.at_s < to_s), reverse=True)
        return tuple(sorted({one[1:]: one for one in found}.values()))

    def told(self, consumer: str) -> Told:
        """Return everything that was told and seen of one consumer so far, in order."""
        for trail in self._trails:
            trail.read()
        lines = sorted((one for t in self._trails for one in t.lines if one.consumer == consumer), key=_moment)
        moves = sorted(one for trail in self._trails for one in trail.moves if one.consumer == consumer)
        seen = tuple(one for one in tuple(self._watch.footings) if one.consumer == consumer)
        return Told(tuple(lines), tuple(moves), seen)

    def rotations(self, consumer: str, from_s: float, to_s: float) -> tuple[Changeover, ...]:
        """Return the changeovers of a consumer that were proven at the initiator in a window."""
        return rotations(self.told(consumer).lines, from_s, to_s)

    def footings(self, consumer: str, from_s: float, to_s: float) -> tuple[FootingMove, ...]:
        """Return the changes of footing in a window, by the initiator's audit."""
        return footings(self.told(consumer).lines, from_s, to_s)

    def oldest_key_s(self, consumer: str, from_s: float, to_s: float) -> float | None:
        """Return the greatest age of a key in use in a window, at either end; None where none was."""
        told = self.told(consumer)
        return oldest_key_s(told.lines, told.moves, from_s, to_s)

    def given_twice(self, consumer: str, from_s: float, to_s: float) -> int:
        """Return how many keys came in a window that had been given before, by the initiator's audit."""
        return given_twice(self.told(consumer).lines, from_s, to_s)

    def changes(self, consumer: str, from_s: float, to_s: float) -> Changes:
        """Return how many changes of key and footing took place at both ends in a window, and what no audit held."""
        told = self.told(consumer)
        return changes(told.lines, told.moves, told.footings, from_s, to_s)


def _moment(line: Line) -> float:
    return line.at_s


def _command(what: str, config: Path) -> tuple[str | Path, ...]:
    return sys.executable, "-m", "keystrand.cli.main", "agent", what, "--config", config


def _lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())
