"""A pair of real wireguard-go over the corridor, for tests of WireGuard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.edge.consumers.corridor import CARRIER, FAR, Corridor, corridor

from keystrand.edge.consumers.wireguard import Place, WireGuard
from keystrand.edge.consumers.wireguard_device import Device, WgTool
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pilot.wireguards import WireGuards

PROGRAMS = ("wireguard-go", "wg")
NEAR = "10.8.0.0/24"


class Tunnel(WireGuards):
    """A corridor with WireGuard over it; `made` makes the consumer of one end."""

    def __init__(self, corridor: Corridor) -> None:
        self.corridor = corridor
        ends = Ends((corridor.a, corridor.b), CARRIER, (NEAR, FAR), corridor.folder, corridor.care)
        ends.lay()
        super().__init__(ends, keepalive_s=0)

    def made(self, at: int, *, forced: bool = False, by_tool: bool = False, far: str = FAR) -> WireGuard:
        """Return the consumer at one end, without memory of an earlier one."""
        place = Place(self.devices[at], (far, NEAR)[at : at + 1], self.corridor.folder / "run", self.prefix(at))
        device: Device = WgTool(self.devices[at], self.prefix(at)) if by_tool else self.device(at)
        return WireGuard(device, self.publics[1 - at], place, forced=forced)


@contextmanager
def wireguard_pair(folder: Path) -> Iterator[Tunnel]:
    """Yield two peers that know each other's public keys, and no common key."""
    with corridor(folder) as made:
        tunnel = Tunnel(made)
        tunnel.begin()
        yield tunnel
