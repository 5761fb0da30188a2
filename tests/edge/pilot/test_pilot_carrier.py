"""The carrier between two sites: what passes is counted, and it is as bad as it was made."""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from tests.edge.consumers.corridor import needs

from keystrand.edge.daemons import Daemons
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.iperf import throughput
from keystrand.edge.pilot.pings import Pings
from keystrand.edge.pilot.sockets import socket_in
from keystrand.model.errors import InvalidInput, PeerUnavailable

pytestmark = [pytest.mark.system, needs("tc")]
FAR, HOST = "10.2.0.0/24", "10.2.0.1"
OTHER, OTHER_HOST = "10.4.0.0/24", "10.4.0.1"
CHANCE = 1 - 1e-9
BOTH_WAYS = pytest.mark.parametrize("delay_ms", [0, 2], ids=["by the bridge", "by the relay"])


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamespaceCarrier]:
    """A carrier whose sites route two far networks over it, both watched."""
    with Daemons() as care:
        made = NamespaceCarrier(tmp_path_factory.mktemp("carrier"), care)
        made.start()
        for network, host in ((FAR, HOST), (OTHER, OTHER_HOST)):
            made.spaces[1].run("ip", "address", "add", f"{host}/24", "dev", "lo")
            made.spaces[0].run("ip", "route", "add", network, "via", made.addresses[1])
            made.watch(network)
        yield made


@pytest.fixture
def carrier(laid: NamespaceCarrier) -> Iterator[NamespaceCarrier]:
    """The same, mended after each test."""
    yield laid
    laid.mend()


def _ways(carrier: NamespaceCarrier, folder: Path, seconds: float = 0.2) -> tuple[int, int, np.ndarray]:
    """Ping for so long, and return how many were sent, how many lost, and how long the others took."""
    pings = Pings(carrier.spaces[0], HOST, 1000, folder)
    pings.start()
    began_s = time.time()
    time.sleep(seconds)
    packets = pings.settled(began_s + seconds).between(began_s, began_s + seconds)
    pings.stop()
    return len(packets.sent_s), packets.lost, packets.ways_s


@BOTH_WAYS
def test_what_passes_in_clear_is_counted_packet_for_packet(carrier: NamespaceCarrier, delay_ms: float) -> None:
    """1,000 datagrams to a far network are 1,000, of that network alone; those between the sites are none of it."""
    assert not carrier.impair(delay_ms=delay_ms)
    before = carrier.in_clear(FAR), carrier.in_clear(OTHER)
    a, b = carrier.spaces
    there, beside, here = (socket_in(space, kind=socket.SOCK_DGRAM) for space in (b, b, a))
    with there, beside, here:
        there.bind((HOST, 7))
        beside.bind((carrier.addresses[1], 7))
        there.settimeout(5)
        came = []
        for number in range(1000):
            here.sendto(b"%d" % number, (HOST, 7))
            here.sendto(b"%d" % number, (carrier.addresses[1], 7))
            if number % 50 == 49:
                came += [int(there.recv(100)) for _ in range(50)]
    assert came == list(range(1000))
    assert carrier.in_clear(FAR) - before[0] == 1000
    assert carrier.in_clear(OTHER) == before[1]


def test_a_stream_passes_in_packets_of_a_wire(carrier: NamespaceCarrier) -> None:
    """1 MB over TCP is counted as the frames it takes at 1,500 octets, there and back, not as what the kernel lumps."""
    before = carrier.in_clear(FAR)
    a, b = carrier.spaces
    with socket_in(b) as door, socket_in(a) as here:
        door.bind((HOST, 7))
        door.listen()
        here.connect((HOST, 7))
        there, address = door.accept()
        with there:
            assert address[0] == carrier.addresses[0]
            here.sendall(bytes(100_000))
            got = 0
            while got < 100_000:
                got += len(there.recv(65_536))
    assert carrier.in_clear(FAR) - before >= 100_000 / 1460


def test_what_is_lost_on_the_way_was_in_clear_all_the_same(carrier: NamespaceCarrier) -> None:
    """Who listens at the beginning of a carrier that is cut has heard it."""
    before = carrier.in_clear(OTHER)
    carrier.cut()
    with socket_in(carrier.spaces[0], kind=socket.SOCK_DGRAM) as here:
        for _ in range(100):
            here.sendto(b"secret", (OTHER_HOST, 7))
    assert carrier.in_clear(OTHER) - before == 100


def test_delay_is_each_way_and_taken_back(carrier: NamespaceCarrier, tmp_path: Path) -> None:
    """No answer comes before twice the delay; after mending they do."""
    assert not carrier.impair(delay_ms=15)
    tried, lost, ways_s = _ways(carrier, tmp_path)
    assert tried >= 20
    assert lost == 0
    assert ways_s.min() >= 0.030
    carrier.mend()
    assert _ways(carrier, tmp_path)[2].min() < 0.030


@BOTH_WAYS
def test_so_many_are_lost_as_was_asked(carrier: NamespaceCarrier, tmp_path: Path, delay_ms: float) -> None:
    """10 % each way: of pings and their answers, what the binomial allows."""
    assert not carrier.impair(loss_ratio=0.1, delay_ms=delay_ms)
    tried, lost, _ways_s = _ways(carrier, tmp_path, 0.5)
    low, high = binom.interval(CHANCE, tried, 1 - 0.9**2)
    assert low <= lost <= high


@pytest.mark.parametrize(
    "delay_ms", [0, pytest.param(2, marks=pytest.mark.slow)], ids=["by the bridge", "by the relay"]
)
def test_the_rate_is_held_down(carrier: NamespaceCarrier, tmp_path: Path, delay_ms: float) -> None:
    """20 Mbit/s let no more pass than that and the burst of 10 ms; without, more does."""
    assert not carrier.impair(rate_mbit_per_s=20, delay_ms=delay_ms)
    held = throughput(carrier.spaces, HOST, 1, tmp_path)
    assert not carrier.impair(delay_ms=delay_ms)
    assert 0 < held <= 22e6 < throughput(carrier.spaces, HOST, 1, tmp_path)


@pytest.mark.slow
def test_throughput_over_a_cut_is_told_and_never_zero(carrier: NamespaceCarrier, tmp_path: Path) -> None:
    """iperf3's own words say why there is no figure."""
    carrier.cut()
    with pytest.raises(PeerUnavailable, match="iperf3: unable to connect"):
        throughput(carrier.spaces, HOST, 1, tmp_path)


@BOTH_WAYS
def test_a_cut_lets_nothing_pass_and_is_mended(carrier: NamespaceCarrier, tmp_path: Path, delay_ms: float) -> None:
    """Not one answer while it lasts; every one after."""
    carrier.impair(delay_ms=delay_ms)
    carrier.cut()
    tried, lost, _ways_s = _ways(carrier, tmp_path)
    assert tried == lost >= 20
    carrier.mend()
    assert _ways(carrier, tmp_path)[1] == 0


def test_what_the_kernel_cannot_do_is_told_and_the_rest_done(carrier: NamespaceCarrier, tmp_path: Path) -> None:
    """No kernel holds a rate of nothing."""
    told = carrier.impair(rate_mbit_per_s=1e-9, loss_ratio=0.5)
    assert told.startswith("no rate: ")
    tried, lost, _ways_s = _ways(carrier, tmp_path)
    assert 0 < lost < tried


def test_a_relay_that_ended_by_itself_is_told(carrier: NamespaceCarrier, tmp_path: Path) -> None:
    """A delay that became a cut would be taken for the consumer's fault; mending tells it, and mends."""
    carrier.impair(delay_ms=1)
    relay = subprocess.run(
        ["/usr/bin/pgrep", "-P", str(os.getpid()), "-f", "keystrand.edge.pilot.relay"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    os.kill(int(relay.stdout), signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(PeerUnavailable, match="ended by itself"):
        carrier.mend()
    assert _ways(carrier, tmp_path)[1] == 0


def test_a_network_is_written_as_one(carrier: NamespaceCarrier) -> None:
    """Nothing else gets into the rules; one that is watched already goes on being counted."""
    with pytest.raises(InvalidInput, match="is no network"):
        carrier.watch('10.0.0.0/8"; flush ruleset')
    seen = carrier.in_clear(FAR)
    carrier.watch(FAR)
    carrier.watch("fd00:2::/64")
    assert carrier.in_clear(FAR) == seen
    assert carrier.in_clear("fd00:2::/64") == 0


def test_a_socket_of_a_site_is_its_own(carrier: NamespaceCarrier) -> None:
    """It listens at an address that this machine has not; we stay where we are."""
    with socket_in(carrier.spaces[1]) as door, socket.socket() as ours:
        door.bind((HOST, 9))
        door.listen()
        with pytest.raises(OSError, match="Cannot assign"):
            ours.bind((HOST, 9))
    with socket_in(carrier.spaces[0], kind=socket.SOCK_DGRAM) as there, socket.socket(type=socket.SOCK_DGRAM) as ours:
        assert "fibre" in _devices(there)
        assert "fibre" not in _devices(ours)


def _devices(line: socket.socket) -> list[str]:
    """Return the devices that this socket sees, by SIOCGIFNAME."""
    seen = []
    for number in range(1, 20):
        with suppress(OSError):
            told = fcntl.ioctl(line, 0x8910, struct.pack("16si20x", b"", number))
            seen.append(told[:16].rstrip(b"\0").decode())
    return seen


_KILLED = """
import sys, time
from pathlib import Path
from keystrand.edge.daemons import Daemons
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.pings import Pings
folder = Path(sys.argv[1])
with Daemons() as care:
    carrier = NamespaceCarrier(folder, care)
    carrier.start()
    carrier.impair(delay_ms=5, loss_ratio=0.1, rate_mbit_per_s=50)
    Pings(carrier.spaces[0], carrier.addresses[1], 100, folder).start()
    print("up", flush=True)
    time.sleep(100)
"""


def test_kill_9_leaves_nothing(tmp_path: Path) -> None:
    """Three namespaces, a relay and pings: all gone with the pilot, and no device or name of theirs on the machine."""
    pilot = subprocess.Popen([sys.executable, "-c", _KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert pilot.stdout
    assert pilot.stdout.readline() == "up\n"
    children = Path(f"/proc/{pilot.pid}/task/{pilot.pid}/children").read_text().split()
    spaces = {Path(f"/proc/{child}/ns/net").readlink() for child in children}
    assert len(children) == 5
    assert len(spaces) == 3
    pilot.kill()
    pilot.wait()
    pilot.stdout.close()
    deadline = time.monotonic() + 10
    while any(_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(_alive, children))
    assert not spaces & _namespaces()
    assert not list(Path("/run/netns").glob("*site*"))


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _namespaces() -> set[Path]:
    found = set()
    for one in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(one.readlink())
        except OSError:  # it ended meanwhile
            continue
    return found
