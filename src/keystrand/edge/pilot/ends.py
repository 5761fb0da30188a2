"""Where a tunnel on trial stands: the sites, their addresses on the carrier, and a network behind each."""

import ipaddress
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.daemons import Daemons, Space, program

_BESIDE_METRIC, TUNNEL_METRIC = 100, 10
"""The ordinary route stands behind the tunnel's own: what a tunnel does not take goes there, and is seen."""

_NICE = -10
"""In the field every end has a machine of its own: what else this one does should not hold its packets up."""


class Ends(NamedTuple):
    """Both ends of one tunnel. `networks` lie behind the sites, and nothing but the tunnel should carry them."""

    spaces: tuple[Space, Space]
    addresses: tuple[str, str]
    networks: tuple[str, str]
    folder: Path
    care: Daemons

    def host(self, at: int) -> str:
        """Return the address that a site has in its own network."""
        return str(ipaddress.ip_network(self.networks[at])[1])

    def prefix(self, at: int) -> tuple[str, ...]:
        """Return what comes before the command of a tunnel's program at one end."""
        return *self.spaces[at].prefix, program("nice", "coreutils"), "--adjustment", str(_NICE)

    def lay(self) -> None:
        """Give each site a host in its network, and an ordinary route to the other's over the carrier, on purpose.

        Raises `PeerUnavailable`.
        """
        for at, space in enumerate(self.spaces):
            length = self.networks[at].partition("/")[2]
            space.run("ip", "address", "replace", f"{self.host(at)}/{length}", "dev", "lo")
            space.run("ip", "route", "replace", self.networks[1 - at], "via", self.addresses[1 - at],
                      "metric", str(_BESIDE_METRIC))  # fmt: skip
