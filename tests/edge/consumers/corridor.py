"""Two sites in network namespaces with a carrier between them, for tests of tunnels."""

import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import bootstrap, chi2

from keystrand.edge.daemons import Daemon, Daemons, Space, program

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


_REPLY = re.compile(r"\[(\d+\.\d+)\] .*icmp_seq=(\d+)")
_SENT = re.compile(r"(\d+) packets transmitted")
_SEQUENCE = 1 << 16


def needs(*names: str) -> pytest.MarkDecorator:
    """Return the mark of a test that needs root, nft, ping and these programs, or files by their paths."""
    wanted = ("nft", "ping", *names)
    missing = [
        one for one in wanted if not shutil.which(one, path="/usr/sbin:/usr/bin:/bin") and not Path(one).is_file()
    ]
    return pytest.mark.skipif(
        os.geteuid() != 0 or bool(missing), reason=f"needs root{', and ' if missing else ''}{', '.join(missing)}"
    )


class Losses(NamedTuple):
    """What pings lost while something was done again and again: of how many, and how many with each time."""

    sent: int
    each: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Return how many were lost each time."""
        return sum(self.each) / len(self.each)

    @property
    def interval(self) -> tuple[float, float]:
        """Return 95 % limits of the mean: bootstrap over the times, or exact (Garwood 1936) where all are alike."""
        if len(set(self.each)) > 1:
            found = bootstrap((np.array(self.each),), np.mean, method="percentile", rng=1)
            return float(found.confidence_interval.low), float(found.confidence_interval.high)
        total, n = sum(self.each), len(self.each)
        return float(np.nan_to_num(chi2.ppf(0.025, 2 * total))) / 2 / n, float(chi2.ppf(0.975, 2 * total + 2)) / 2 / n

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.2f} lost each time (95 %: {low:.2f} to {high:.2f}), {self.sent} sent, {self.each}"


def losses_in(told: str, began_s: Sequence[float]) -> Losses:
    """Return the losses in what `ping -D` said, each put to the time that began last before it."""
    replies = {}
    for at_s, sequence in _REPLY.findall(told):
        replies[int(sequence)] = float(at_s)
    sent = int(_SENT.findall(told)[0])
    if sent >= _SEQUENCE:
        raise ValueError("so many pings have no numbers of their own")
    times: Counter[int] = Counter()
    at_s = began_s[0]
    for sequence in range(1, sent + 1):
        at_s = max(replies.get(sequence, at_s), at_s)
        if sequence not in replies:
            times[max(sum(begin <= at_s for begin in began_s) - 1, 0)] += 1
    return Losses(sent, tuple(times[n] for n in range(len(began_s))))


class Corridor(NamedTuple):
    """Site a, site b with a network behind it, and whoever ends them."""

    a: Space
    b: Space
    care: Daemons
    folder: Path

    def in_clear(self) -> int:
        """Return how many packets for the far network have come to site b over the carrier, unprotected."""
        told = self.b.run("nft", "list", "chain", "inet", "seen", "in")
        return sum(map(int, _COUNTED.findall(told)))

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
        log = self.folder / "pings.log"
        ping = Daemon([program("ping", "iputils-ping"), "-n", "-D", "-i", str(interval_s), "-W", "1", FAR_HOST],
                      log, prefix=self.a.prefix)  # fmt: skip
        self.care.add(ping)
        ping.start(lambda: log.read_text().count("icmp_seq") > 10)
        began_s = []
        for number in range(times):
            began_s.append(time.time())
            work(number)
            time.sleep(0.1)
        ping.signal(signal.SIGINT)
        while ping.running:
            time.sleep(0.01)
        ping.stop()
        return losses_in(log.read_text(), began_s)

    def flood(self, count: int) -> int:
        """Send so many pings to the far host as fast as they are answered, 100 a second else; return the answers."""
        told = self.a.run("sh", "-c", f"ping -n -q -f -c {count} -W 0.3 {FAR_HOST} || true")
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
        yield Corridor(a, b, care, folder)
