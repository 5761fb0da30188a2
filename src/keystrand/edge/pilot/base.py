"""What the parts of a pilot know of each other: the two sites, the key service, and one consumer of keys on trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from keystrand.edge.daemons import Daemons, Space
from keystrand.edge.kme.client import Client014
from keystrand.edge.pki import Credentials
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed

A, B = 0, 1
"""The two ends, wherever an end is asked for by number: the initiator's, and the responder's."""


class KmeEnd(NamedTuple):
    """The KME at one end as an SAE sees it: by ETSI GS QKD 014. `foreign`: of another make, known by its host name."""

    url: str
    sae: str
    files: Credentials
    kme_id: str = ""
    foreign: bool = False
    require_post_quantum: bool = True

    def client(self, *, timeout_s: float = 10.0) -> Client014:
        """Return a client of it."""
        files = self.files
        return Client014(
            self.url, files.ca, files.certificate, files.key, kme_id=self.kme_id, foreign=self.foreign,
            require_post_quantum=self.require_post_quantum, timeout_s=timeout_s,
        )  # fmt: skip


class Carrier(Protocol):
    """The sites as network namespaces, and the classical way between them, where packets can be watched and hurt."""

    spaces: tuple[Space, Space]
    addresses: tuple[str, str]
    """Of the sites, on the carrier."""

    def impair(self, *, delay_ms: float = 0.0, loss_ratio: float = 0.0, rate_mbit_per_s: float | None = None) -> str:
        """Make the way worse, both directions alike; return in words what this kernel could not do, empty for none."""

    def mend(self) -> None:
        """Take back every impairment and cut."""

    def cut(self) -> None:
        """Let nothing pass."""

    def watch(self, network: str) -> None:
        """Count from now on the packets to or from `network` that pass the carrier unprotected."""

    def in_clear(self, network: str) -> int:
        """Return how many packets of a watched network passed the carrier unprotected so far."""


class Ground(NamedTuple):
    """What every trial stands on. `carrier` is None for an ordinary user: everything runs on loopback then."""

    folder: Path
    care: Daemons
    kmes: tuple[KmeEnd, KmeEnd]
    carrier: Carrier | None
    packets_per_s: int


class Traffic(Struct, frozen=True, kw_only=True):
    """What went through between two moments: attempts, failures, the longest time without a success, durations."""

    tried: int
    failed: int
    longest_gap_s: float | None
    operation_s: tuple[float, ...] = ()


class Trial(Protocol):
    """One consumer of keys on trial. Moments are `time.time()` of this machine.

    The order: `why_not`, `set_up`, then `begin_plain` .. `end_plain` (the same programs without keystrand's keys), then
    the agents (where `agent_settings` are some) or `begin_keyed`, and traffic whenever it is asked for.
    """

    declared: PilotConsumer
    how: str
    """How it takes keys, in a sentence."""
    programs: tuple[str, ...]
    needs: tuple[str, ...]
    deeds: list[Deed]
    """What setting it up asked of an operator: configuration written by us is counted in lines, as it stands there."""

    def why_not(self) -> str:
        """Return why it cannot run for this user on this machine; empty where it can."""

    def set_up(self, ground: Ground) -> None:
        """Start its programs at both ends. Raises `PeerUnavailable`, `MissingInput`."""

    def begin_plain(self) -> str:
        """Run it without keystrand's keys; return in words what that is, or why there is no such thing, after `-`."""

    def end_plain(self) -> None:
        """End that."""

    def begin_keyed(self) -> None:
        """Begin to take keys, where no agent does it."""

    def agent_kind(self) -> str:
        """Return the kind of consumer in an agent's file; empty where no agent is needed."""

    def agent_settings(self, at: int) -> Mapping[str, str | int | float | bool]:
        """Return its settings in the file of the agent at one end."""

    def installer_prefix(self, at: int) -> Sequence[str]:
        """Return what comes before the command of the agent's privileged part, such as its namespace."""

    def installer_env(self, at: int) -> Mapping[str, str]:
        """Return what the privileged part needs in its environment."""

    def begin_traffic(self) -> None:
        """Let traffic flow and be counted."""

    def end_traffic(self) -> None:
        """End it."""

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        """Return what went through; traffic flowed, or flows, all that time."""

    def throughput(self, seconds: float) -> float | None:
        """Return the bits a second that pass, all out; None where that means nothing."""

    def in_clear(self) -> int | None:
        """Return how many of its packets passed the carrier unprotected so far; None where none could be seen."""

    def wrong_keys(self) -> int:
        """Return how many keys it was given twice, or empty, so far."""

    def keys_used(self, from_s: float, to_s: float) -> tuple[tuple[float, str], ...]:
        """Return when a key was used first in band, and its key_ID; empty for consumers with an agent."""
