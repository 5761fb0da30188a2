"""The classical way between two sites, as network namespaces: a bridge between them that can be watched, hurt and cut.

Site a - device `fibre` - [bridge] - device `fibre` - site b. The sites see one network; a packet that nothing protects
passes the bridge with its own addresses, and is counted as it comes in, whatever becomes of it then. Loss and cut are
rules of nft on the way out of the bridge, the rate is held down by tbf behind them, and delay is made by a relay of our
own (`relay.py`), which works on kernels without netem too. Every frame is one packet as on a wire: the devices leave no
checksum and no segmentation to each other.
"""

import array
import fcntl
import ipaddress
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from keystrand.edge.daemons import Daemon, Daemons, Space, program
from keystrand.edge.pilot import relay
from keystrand.edge.pilot.sockets import socket_in
from keystrand.model.errors import InvalidInput, PeerUnavailable

FIBRE = "fibre"
"""The device in each site."""
ADDRESSES = ("192.0.2.1", "192.0.2.2")
"""Of the sites: TEST-NET-1, RFC 5737, which no network has."""
_PROGRAMS = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables"}
_PORTS = ("to-a", "to-b")
_TABLE, _SEEN, _HELD, _HURT = "carrier", "seen", "held", "hurt"
_MILLION = 1_000_000
_SIOCETHTOOL = 0x8946
_OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
"""ethtool.h: ETHTOOL_STXCSUM, STSO, SGSO, SGRO."""
_BURST_S, _BURST_MIN = 0.01, 32_000
"""What tbf lets pass at once: 10 ms of the rate, and never less than 32,000 octets."""
_QUEUE_MS = 50
_LINK_ADDRESS = re.compile(r"link/ether (\S+)")
_COUNTED = re.compile(r"packets (\d+)")


class NamespaceCarrier:
    """Two sites and what is between them. It needs root; `start` it, and its `Daemons` end it."""

    def __init__(self, folder: Path, care: Daemons) -> None:
        self.spaces = Space("site-a", folder), Space("site-b", folder)
        self.addresses = ADDRESSES
        self._between, self._folder, self._care = Space("carrier", folder), folder, care
        self._watched: dict[str, str] = {}
        self._relay: Daemon | None = None

    def start(self) -> None:
        """Lay it. Raises `MissingInput`, `PeerUnavailable`."""
        for name, package in _PROGRAMS.items():
            program(name, package)
        for space in (*self.spaces, self._between):
            self._care.add(space)
            space.start()
        self._between.run("ip", "link", "add", "name", "bridge", "type", "bridge")
        self._between.run("ip", "link", "set", "bridge", "up")
        for space, port, address in zip(self.spaces, _PORTS, self.addresses, strict=True):
            self._join(space, port, address)
        self._know_each_other()
        hooked = f"devices = {{ {', '.join(_PORTS)} }}"
        self._nft(
            f"add table netdev {_TABLE}",
            f"add chain netdev {_TABLE} {_SEEN} {{ type filter hook ingress {hooked} priority -20; }}",
            f"add chain netdev {_TABLE} {_HELD} {{ type filter hook ingress {hooked} priority 0; }}",
            f"add chain netdev {_TABLE} {_HURT} {{ type filter hook egress {hooked} priority 0; }}",
        )

    def impair(self, *, delay_ms: float = 0.0, loss_ratio: float = 0.0, rate_mbit_per_s: float | None = None) -> str:
        """Make the way so bad, each direction for itself, in place of what was; say what this kernel could not do."""
        drop = (f"numgen random mod {_MILLION} < {round(loss_ratio * _MILLION)} drop",) if loss_ratio else ()
        untold = (
            _untold("loss", lambda: self._hurt(*drop)),
            _untold("rate", lambda: self._hold_rate(rate_mbit_per_s)),
            _untold("delay", lambda: self._delay(delay_ms / 1000)),
        )
        return "; ".join(filter(None, untold))

    def mend(self) -> None:
        """Take back every impairment and cut. Raises `PeerUnavailable` where the delay had become a cut by itself."""
        self._hurt()
        self._hold_rate(None)
        self._end_relay()

    def cut(self) -> None:
        """Let nothing pass; what else is wrong with the way stays."""
        self._hurt("drop")

    def watch(self, network: str) -> None:
        """Count from now on the packets to or from `network` that come onto the carrier unprotected.

        Raises `InvalidInput` where it is none.
        """
        if network in self._watched:
            return
        name = f"seen{len(self._watched)}"
        version = "ip6" if _network(network).version == 6 else "ip"
        rule = f"add rule netdev {_TABLE} {_SEEN} {version}"
        self._nft(
            f"add counter netdev {_TABLE} {name}",
            f'{rule} daddr {network} counter name "{name}"',
            f'{rule} saddr {network} {version} daddr != {network} counter name "{name}"',
        )
        self._watched[network] = name

    def in_clear(self, network: str) -> int:
        """Return how many packets of a watched network came onto the carrier unprotected so far, lost ones too."""
        told = self._between.run("nft", "list", "counter", "netdev", _TABLE, self._watched[network])
        return sum(map(int, _COUNTED.findall(told)))

    def _join(self, space: Space, port: str, address: str) -> None:
        self._between.run("ip", "link", "add", "name", port, "type", "veth",
                          "peer", "name", FIBRE, "netns", str(space.pid))  # fmt: skip
        self._between.run("ip", "link", "set", port, "master", "bridge", "up")
        space.run("ip", "address", "add", f"{address}/24", "dev", FIBRE)
        space.run("ip", "link", "set", FIBRE, "up")
        _leave_nothing_to(space, FIBRE)
        _leave_nothing_to(self._between, port)

    def _know_each_other(self) -> None:
        # no ARP: a lost question would cost a second, and look like the consumer's own recovery
        for space, other, address in zip(self.spaces, self.spaces[::-1], self.addresses[::-1], strict=True):
            link = _LINK_ADDRESS.findall(other.run("ip", "-o", "link", "show", FIBRE))[0]
            space.run("ip", "neighbour", "replace", address, "lladdr", link, "dev", FIBRE, "nud", "permanent")

    def _hurt(self, *rules: str) -> None:
        added = (f"add rule netdev {_TABLE} {_HURT} {rule}" for rule in rules)
        self._nft(f"flush chain netdev {_TABLE} {_HURT}", *added)

    def _hold_rate(self, rate_mbit_per_s: float | None) -> None:
        for port in _PORTS:
            if rate_mbit_per_s is None:
                self._between.run("tc", "qdisc", "replace", "dev", port, "root", "noqueue")
                continue
            burst = max(round(rate_mbit_per_s * 1e6 / 8 * _BURST_S), _BURST_MIN)
            self._between.run("tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate",
                              f"{round(rate_mbit_per_s * 1e6)}bit", "burst", str(burst), "latency",
                              f"{_QUEUE_MS}ms")  # fmt: skip

    def _delay(self, delay_s: float) -> None:
        self._end_relay()
        if not delay_s:
            return
        log = self._folder / "relay.log"
        log.write_text("")
        command = [sys.executable, "-m", relay.__name__, *_PORTS, str(delay_s), _TABLE, _HELD]
        self._relay = Daemon(command, log, prefix=self._between.prefix)
        self._care.add(self._relay)
        self._relay.start(lambda: relay.UP in log.read_text())

    def _end_relay(self) -> None:
        ended, self._relay = self._relay, None
        alive = ended is None or ended.running
        if ended:
            ended.stop()
        self._nft(f"flush chain netdev {_TABLE} {_HELD}")
        if ended and not alive:
            raise PeerUnavailable(f"the relay of the carrier had ended by itself: {ended.last_words}",
                                  hint="nothing passed since; run the pilot again")  # fmt: skip

    def _nft(self, *lines: str) -> None:
        self._between.run("nft", "; ".join(lines))


def _untold(what: str, work: Callable[[], None]) -> str:
    try:
        work()
    except PeerUnavailable as error:
        return f"no {what}: {error}"
    return ""


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no network: {error}", hint="write it as 10.2.0.0/24") from None


def _leave_nothing_to(space: Space, device: str) -> None:
    with socket_in(space) as line:
        for command in _OFFLOADS:
            asked = array.array("B", struct.pack("II", command, 0))
            fcntl.ioctl(line, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), asked.buffer_info()[0]))
