"""A pair of real charons over the corridor, for tests of strongSwan."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.edge.consumers.corridor import CARRIER, FAR, Corridor, corridor

from keystrand.edge.consumers.base import Role
from keystrand.edge.consumers.strongswan import StrongSwan
from keystrand.edge.pilot.charons import DEVICE, PLUGIN, Charons
from keystrand.edge.pilot.ends import Ends

NEAR = "10.1.0.0/24"
PROGRAMS = ("charon-systemd", "swanctl", str(PLUGIN))


class Ipsec(Charons):
    """A corridor with a charon at each end, site a the initiator."""

    def __init__(self, corridor: Corridor) -> None:
        self.corridor = corridor
        ends = Ends((corridor.a, corridor.b), CARRIER, (NEAR, FAR), corridor.folder, corridor.care)
        ends.lay()
        super().__init__(ends)

    def made(self, at: int) -> StrongSwan:
        """Return the consumer at one end, without memory of an earlier one."""
        role = (Role.INITIATOR, Role.RESPONDER)[at]
        far = [self.ends.networks[1 - at]]
        return StrongSwan(
            self.socket(at), "corridor", self.connection(at), role, far, device=DEVICE,
            prefix=self.ends.spaces[at].prefix,
        )  # fmt: skip


@contextmanager
def ipsec(folder: Path) -> Iterator[Ipsec]:
    """Yield the pair, each with its certificate and private key, and no connection."""
    with corridor(folder) as made:
        pair = Ipsec(made)
        pair.begin()
        yield pair
