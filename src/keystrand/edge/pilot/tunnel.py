"""What both kinds of tunnel on trial have in common: networks of their own behind the sites, and traffic between them.

The ordinary route of those networks leads over the carrier, on purpose: what a tunnel lets go is seen there.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from keystrand.edge.daemons import program
from keystrand.edge.pilot.base import A, B, Carrier, Ground, Traffic
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pilot.iperf import throughput
from keystrand.edge.pilot.pings import Pings
from keystrand.model.errors import MissingInput
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed, DeedKind

TUN = Path("/dev/net/tun")
_COMMON = {"nft": "nftables", "ip": "iproute2", "nsenter": "util-linux"}


class TunnelTrial(ABC):
    """See `base.Trial`. Traffic is pings from site a to a host behind site b, throughput TCP between the same."""

    how: str
    needs: tuple[str, ...] = ("root", str(TUN))
    networks: tuple[str, str]
    """Behind site a and behind site b."""
    packages: Mapping[str, str]
    """The programs it takes, each with its Debian package, besides those of every tunnel."""

    def __init__(self, declared: PilotConsumer) -> None:
        self.declared = declared
        self.programs = tuple(self.packages)
        self.deeds: list[Deed] = []
        self._pings: Pings | None = None

    @abstractmethod
    def _begin(self, ends: Ends) -> None:
        """Start the programs of both ends. Raises `MissingInput`, `PeerUnavailable`, `ConsumerFailure`."""

    @abstractmethod
    def begin_plain(self) -> str:
        """See `base.Trial`."""

    @abstractmethod
    def end_plain(self) -> None:
        """See `base.Trial`."""

    @abstractmethod
    def agent_kind(self) -> str:
        """See `base.Trial`."""

    @abstractmethod
    def agent_settings(self, at: int) -> Mapping[str, str | int | float | bool]:
        """See `base.Trial`."""

    def why_not(self) -> str:
        """See `base.Trial`."""
        if os.geteuid():
            return "it needs root, for network namespaces and a device of its own"
        if not TUN.exists():
            return f"there is no {TUN}: modprobe tun"
        for name, package in {**_COMMON, **self.packages}.items():
            try:
                program(name, package)
            except MissingInput as error:
                return f"{error.message}: {error.hint}"
        return ""

    def set_up(self, ground: Ground) -> None:
        """See `base.Trial`. Raises `MissingInput` where there is no carrier."""
        if ground.carrier is None:
            raise MissingInput(f"the consumer {self.declared.id} needs two sites", hint="run the pilot as root")
        self._carrier: Carrier = ground.carrier
        self._per_s = ground.packets_per_s
        folder = ground.folder / self.declared.id
        folder.mkdir(mode=0o700)
        self.ends = Ends(self._carrier.spaces, self._carrier.addresses, self.networks, folder, ground.care)
        self.ends.lay()
        # every packet of ours has an address of this network: none is missed, none counted twice
        self._carrier.watch(self.networks[B])
        ground.care.add(self)
        self._begin(self.ends)

    def stop(self) -> None:
        """End the traffic; the programs are ended by who has the care of them."""
        self.end_traffic()

    def begin_keyed(self) -> None:  # noqa: B027  # nothing is to be done, here or in a subclass
        """See `base.Trial`: the agents do it."""

    def installer_prefix(self, at: int) -> Sequence[str]:
        """See `base.Trial`: the guard and the device are in the site."""
        return self.ends.spaces[at].prefix

    def installer_env(self, at: int) -> Mapping[str, str]:
        """See `base.Trial`."""
        del at
        return {}

    def begin_traffic(self) -> None:
        """See `base.Trial`."""
        self._pings = Pings(self.ends.spaces[A], self.ends.host(B), self._per_s, self.ends.folder)
        self._pings.start()

    def end_traffic(self) -> None:
        """See `base.Trial`."""
        if self._pings:
            self._pings.stop()

    def traffic(self, from_s: float, to_s: float) -> Traffic:
        """See `base.Trial`."""
        return self._pings.traffic(from_s, to_s) if self._pings else Traffic(tried=0, failed=0, longest_gap_s=None)

    def throughput(self, seconds: float) -> float | None:
        """See `base.Trial`. Raises `MissingInput`, `PeerUnavailable` where nothing comes through."""
        # iperf3 takes whole seconds, and takes 0 for no end
        return throughput(self.ends.spaces, self.ends.host(B), max(1, round(seconds)), self.ends.folder)

    def in_clear(self) -> int | None:
        """See `base.Trial`."""
        return self._carrier.in_clear(self.networks[B])

    def wrong_keys(self) -> int:
        """See `base.Trial`: no tunnel shows its keys; one that came twice stands in the agents' audit."""
        return 0

    def keys_used(self, from_s: float, to_s: float) -> tuple[tuple[float, str], ...]:
        """See `base.Trial`: by the agents' audit."""
        del from_s, to_s
        return ()

    def _wrote(self, what: str, files: Sequence[Path]) -> None:
        lines = sum(bool(line.strip()) for file in files for line in file.read_bytes().splitlines())
        self._did(DeedKind.CONFIG_LINES, what, lines)

    def _did(self, kind: DeedKind, what: str, count: int = 2) -> None:
        self.deeds.append(Deed(kind=kind, what=what, count=count, consumer=self.declared.id))
