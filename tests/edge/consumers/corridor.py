"""Two sites in network namespaces with a carrier between them, for tests of tunnels."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from keystrand.edge.daemons import Daemons, Space
from keystrand.edge.pilot.carrier import ADDRESSES, NamespaceCarrier
from keystrand.edge.pilot.pings import Pings
from keystrand.pilot.traffic import Losses, losses_in

FAR = "10.2.0.0/24"
FAR_HOST = "10.2.0.1"
CARRIER = ADDRESSES
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


def needs(*names: str) -> pytest.MarkDecorator:
    """Return the mark of a test that needs root, nft, ping and these programs, or files by their paths."""
    wanted = ("nft", "ping", *names)
    missing = [
        one for one in wanted if not shutil.which(one, path="/usr/sbin:/usr/bin:/bin") and not Path(one).is_file()
    ]
    return pytest.mark.skipif(
        os.geteuid() != 0 or bool(missing), reason=f"needs root{', and ' if missing else ''}{', '.join(missing)}"
    )


class Corridor(NamedTuple):
    """Site a, site b with a network behind it, and whoever ends them."""

    a: Space
    b: Space
    care: Daemons
    folder: Path
    carrier: NamespaceCarrier

    def in_clear(self) -> int:
        """Return how many packets to or from the far network have come onto the carrier, unprotected."""
        return self.carrier.in_clear(FAR)

    def send_thousand(self, sender: Space | None = None) -> int:
        """Try to send a thousand datagrams to the far host, whatever becomes of them; return how many were tried."""
        return int((sender or self.a).run(sys.executable, "-c", _SENDER))

    def host(self) -> Space:
        """Return a host in a network behind site a, which forwards what it sends."""
        made = Space("host-a", self.folder)
        self.care.add(made)
        made.start()
        self.a.run("ip", "link", "add", "name", "lan", "type", "veth", "peer", "name", "lan", "netns", str(made.pid))
        for space, address in ((self.a, "10.1.9.1/24"), (made, "10.1.9.2/24")):
            space.run("ip", "address", "add", address, "dev", "lan")
            space.run("ip", "link", "set", "lan", "up")
        made.run("ip", "route", "add", "default", "via", "10.1.9.1")
        self.a.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        return made

    def losses_of(self, work: Callable[[int], None], times: int, *, interval_s: float = 0.001) -> Losses:
        """Do `work` so many times while pings run to the far host, and return what was lost."""
        pings = Pings(self.a, FAR_HOST, 1 / interval_s, self.folder)
        self.care.add(pings)
        pings.start()
        began_s = []
        for number in range(times):
            began_s.append(time.time())
            work(number)
            time.sleep(0.1)
        ended_s = time.time()
        packets = pings.settled(ended_s)
        pings.stop()
        return losses_in(packets, tuple(pairwise((*began_s, ended_s))))

    def flood(self, count: int) -> int:
        """Send so many pings to the far host as fast as they are answered, 100 a second else; return the answers."""
        told = self.a.run("sh", "-c", f"ping -n -q -f -c {count} -W 0.3 {FAR_HOST} || true")
        received = re.search(r"(\d+) received", told)
        return int(received[1]) if received else 0


@contextmanager
def corridor(folder: Path) -> Iterator[Corridor]:
    """Yield a corridor whose carrier also routes to the far network: what a tunnel does not take goes in clear."""
    with Daemons() as care:
        carrier = NamespaceCarrier(folder, care)
        carrier.start()
        a, b = carrier.spaces
        b.run("ip", "address", "add", f"{FAR_HOST}/24", "dev", "lo")
        a.run("ip", "route", "add", FAR, "via", CARRIER[1], "metric", "100")
        carrier.watch(FAR)
        yield Corridor(a, b, care, folder, carrier)
