"""Two sites in network namespaces with a carrier between them, for tests of tunnels."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.daemons import Daemons, Space

FAR = "10.2.0.0/24"
FAR_HOST = "10.2.0.1"
CARRIER = ("192.0.2.1", "192.0.2.2")
_SENDER = f"""
import socket
line, sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
for number in range(1000):
    try:
        line.sendto(b"keystrand %d" % number, ("{FAR_HOST}", 9))
    except PermissionError:
        pass  # the guard
    sent += 1
print(sent)
"""
_COUNTED = re.compile(r"packets (\d+)")


class Corridor(NamedTuple):
    """Site a, site b with a network behind it, and whoever ends them."""

    a: Space
    b: Space
    care: Daemons

    def in_clear(self) -> int:
        """Return how many packets for the far network have come to site b over the carrier, unprotected."""
        told = self.b.run("nft", "list", "chain", "inet", "seen", "in")
        return sum(map(int, _COUNTED.findall(told)))

    def send_thousand(self) -> int:
        """Try to send a thousand datagrams to the far host, whatever becomes of them; return how many were tried."""
        return int(self.a.run(sys.executable, "-c", _SENDER))

    def flood(self, count: int) -> int:
        """Send so many pings to the far host as fast as they are answered, 100 a second else; return the answers."""
        told = self.a.run("sh", "-c", f"ping -n -q -f -c {count} -W 1 {FAR_HOST} || true")
        received = re.search(r"(\d+) received", told)
        return int(received[1]) if received else 0


@contextmanager
def corridor(folder: Path) -> Iterator[Corridor]:
    """Yield a corridor whose carrier also routes to the far network: what a tunnel does not take goes in clear."""
    with Daemons() as care:
        a, b = Space("site-a", folder), Space("site-b", folder)
        for space in (a, b):
            care.add(space)
            space.start()
        a.run("ip", "link", "add", "name", "fibre", "type", "veth", "peer", "name", "fibre", "netns", str(b.pid))
        for space, address in ((a, CARRIER[0]), (b, CARRIER[1])):
            space.run("ip", "address", "add", f"{address}/24", "dev", "fibre")
            space.run("ip", "link", "set", "fibre", "up")
        b.run("ip", "address", "add", f"{FAR_HOST}/24", "dev", "lo")
        a.run("ip", "route", "add", FAR, "via", CARRIER[1], "metric", "100")
        rule = f'chain in {{ type filter hook prerouting priority raw; iifname "fibre" ip daddr {FAR} counter; }};'
        b.run("nft", f"table inet seen {{ {rule} }}")
        yield Corridor(a, b, care)
