"""Captures as files: packed, cut short, of any size; decoded as tshark does; and of real daemons on the loopback."""

import gzip
import io
import shutil
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from tests.formats.capture_wire import (
    CLIENT,
    Ends,
    Said,
    certificate,
    ethernet,
    library_talk,
    modern_talk,
    pcap,
    pcapng,
    quic_talk,
    stream,
    udp,
)

from keystrand.edge.probes.capture import READER, read, wants
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Flow, Outcome, PublicKey, Strength
from keystrand.model.reading import Found, Reading

Fact = TypeVar("Fact")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate and its key."""
    return certificate(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def modern(written: tuple[Path, Path]) -> list[Said]:
    """Return a TLS 1.3 handshake."""
    return modern_talk(*written)


def told(octets: bytes) -> tuple[list[Found], Reading]:
    """Return what a capture says, and its reading."""
    *found, reading = read("made.pcap", io.BytesIO(octets))
    assert isinstance(reading, Reading)
    return [one for one in found if isinstance(one, Found)], reading


def facts(found: Iterable[Found], kind: type[Fact]) -> list[Fact]:
    """Return the facts of one kind."""
    return [one.fact for one in found if isinstance(one.fact, kind)]


def uses(found: Iterable[Found], where: str, function: Function) -> set[str]:
    """Return the names of the negotiated algorithms at one place."""
    return {
        one.fact.algorithm
        for one in found
        if one.where == where
        and one.strength is Strength.NEGOTIATED
        and isinstance(one.fact, AlgorithmUse)
        and one.fact.function is function
    }


def test_it_wants_captures_whatever_they_are_called(modern: list[Said]) -> None:
    """The first octets decide, also of a packed file."""
    for octets in (pcap([]), pcapng([]), gzip.compress(pcap(map(ethernet, stream(modern))))):
        assert wants("no.name", octets[:4096])
    for octets in (b"", b"\x1f\x8b", b"-----BEGIN", gzip.compress(b"text")):
        assert not wants("a.pcap", octets)
    assert READER.kind == "capture"


def test_a_packed_capture_tells_the_same(modern: list[Said]) -> None:
    """gzip, in one member and in two."""
    plain = pcap(map(ethernet, stream(modern)))
    assert told(gzip.compress(plain)) == told(plain)
    assert told(gzip.compress(plain[:2000]) + gzip.compress(plain[2000:])) == told(plain)


def test_a_capture_cut_short_keeps_what_came_before(modern: list[Said]) -> None:
    """Plain, and packed: the facts are there, and the reason says where it ends."""
    whole = pcap(map(ethernet, stream(modern)))
    found, reading = told(whole[:-3])
    assert (reading.outcome, reading.reason[:18]) == (Outcome.SEEN, "cut off at octet 5")
    assert len(facts(found, Flow)) == 1
    found, reading = told(gzip.compress(pcap([*map(ethernet, stream(modern))] * 30), 1)[:-400])
    assert reading.outcome is Outcome.SEEN
    assert "the gzip stream ends early" in reading.reason
    damaged = bytearray(gzip.compress(whole))
    damaged[40:60] = bytes(20)
    assert told(bytes(damaged))[1].outcome is Outcome.UNPARSABLE


def test_what_only_begins_like_a_capture_is_told(modern: list[Said]) -> None:
    """Garbage after the head, and a file that shrinks while it is read."""
    _, reading = told(pcap([]) + b"\xff" * 4000)
    assert (reading.outcome, reading.reason[:30]) == (Outcome.UNPARSABLE, "damaged at octet 24: a packet ")

    class Shrinking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(min(size or 0, 600))

    *_, reading_of = read("made.pcap", Shrinking(pcap(map(ethernet, stream(modern)))))
    assert isinstance(reading_of, Reading)
    assert reading_of.reason.startswith("reading failed: input/output error; cut off at octet ")


class Endless(io.RawIOBase):
    """The packets of one client again and again with other addresses, up to a size."""

    def __init__(self, packets: Iterable[bytes], octets: int) -> None:
        whole = pcap(packets)
        self._rest, self._body, self._left, self._number = whole[:24], whole[24:], octets, 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next octets."""
        while len(self._rest) < size and self._left > 0:
            address = (0x0A000000 + self._number).to_bytes(4, "big")
            self._rest += self._body.replace(ip_address(CLIENT).packed, address)
            self._left -= len(self._body)
            self._number += 1
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _peak(modern: list[Said], octets: int) -> tuple[int, Reading]:
    """Return the peak of memory while a stream of new connections is read, and its reading."""
    frames = list(map(ethernet, stream(modern)))
    tracemalloc.start()
    try:
        for last in read("endless", Endless(frames, octets), flows=100, totals=100):  # type: ignore[arg-type]
            found = last
        assert isinstance(found, Reading)
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_capture(modern: list[Said]) -> None:
    """Four times as many connections take the same memory; those still open are told as given up."""
    small, _ = _peak(modern, 3_000_000)
    large, reading = _peak(modern, 12_000_000)
    assert large < 1.3 * small + 1_000_000
    assert "sums of volumes were told in part" in reading.reason


@pytest.mark.slow
def test_ten_gigabytes_are_read_in_flat_memory(modern: list[Said]) -> None:
    """Most of a large capture is content, which is counted and not held."""
    content = [(False, b"\x17\x03\x03\x05\x70" + bytes(1392)) for _ in range(4000)]
    frames = list(map(ethernet, stream([*modern, *content])))
    rss: list[int] = []
    source = Endless(frames, 10_000_000_000)
    for last in read("endless", source):  # type: ignore[arg-type]
        rss.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
        found = last
    assert isinstance(found, Reading)
    assert found.outcome is Outcome.SEEN
    assert max(rss) - rss[len(rss) // 10] < 60_000_000


def _by_tshark(path: Path, ports: Iterable[int], quic: int) -> dict[int, tuple[int, int]]:
    """Return suite and group by the server's port, as tshark reads them."""
    command = ["tshark", "-n", "-r", str(path), "-d", f"udp.port=={quic},quic", "-T", "fields", "-E", "separator=,"]
    command += [word for port in ports for word in ("-d", f"tcp.port=={port},tls")]
    fields = ("tcp.srcport", "udp.srcport", "ciphersuite", "extensions_key_share_group", "server_named_curve")
    for field in fields:
        command += ["-e", field if "port" in field else f"tls.handshake.{field}"]
    command += ["-E", "occurrence=l", "-Y", "tls.handshake.type == 2 or tls.handshake.type == 12"]
    suites, groups = dict[int, int](), dict[int, int]()
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        over_tcp, over_udp, suite, share, curve = line.split(",")
        port = int(over_tcp or over_udp)
        if suite:
            suites[port] = int(suite, 0)
        if share or curve:
            groups[port] = int(share or curve, 0)
    return {port: (suite, groups[port]) for port, suite in suites.items()}


@pytest.mark.system
@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark on this machine")
def test_tshark_reads_the_same_from_one_file(written: tuple[Path, Path], modern: list[Said], tmp_path: Path) -> None:
    """Suite and group of every ServerHello, in TLS 1.3, after a retry, in TLS 1.2 and in QUIC, are those we tell."""
    retried = library_talk(*written, version=ssl.TLSVersion.TLSv1_3, curve="secp384r1")
    older = library_talk(*written, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384")
    talks = {443: modern, 444: retried, 445: older}
    frames = [ethernet(one) for port, said in talks.items() for one in stream(said, Ends(server_port=port))]
    ends = Ends(server_port=446)
    frames += [ethernet(udp(ends, octets, client=client)) for client, octets in quic_talk(*written, 1)]
    path = tmp_path / "made.pcap"
    path.write_bytes(pcap(frames))
    with path.open("rb") as file:
        found = [one for one in read(path.name, file) if isinstance(one, Found)]
    ours = {}
    for endpoint in facts(found, Endpoint):
        where = f"!{endpoint.protocol}://{endpoint.host}:{endpoint.port}"
        codes = {one.fact.function: one.fact.code_point for one in found
                 if one.where == where and isinstance(one.fact, AlgorithmUse)}  # fmt: skip
        ours[endpoint.port] = int(codes[Function.ENCRYPTION], 0), int(codes[Function.KEY_ESTABLISHMENT], 0)
    assert set(ours) == {443, 444, 445, 446}
    assert ours == _by_tshark(path, talks, 446)


@contextmanager
def _captured(path: Path, *ports: int) -> Iterator[None]:
    """Have tcpdump write what passes on the loopback to and from `ports`."""
    wanted = " or ".join(f"port {port}" for port in ports)
    command = ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-w", str(path), wanted]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    line = daemon.stderr.readline()
    if "listening on" not in line:
        daemon.wait()
        daemon.stderr.close()
        pytest.skip(f"tcpdump may not listen: {line.strip()}")
    try:
        yield
        time.sleep(0.3)
    finally:
        daemon.terminate()
        daemon.wait()
        daemon.stderr.close()


@contextmanager
def _running(*command: str) -> Iterator[None]:
    daemon = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        daemon.kill()
        daemon.wait()
        assert daemon.stdin is not None
        daemon.stdin.close()


def _until(done: Callable[[], bool]) -> None:
    for _ in range(50):
        if done():
            return
        time.sleep(0.1)
    pytest.fail("the daemon did not answer")


@pytest.mark.system
@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("tcpdump", "openssl", "ssh", "ssh-keygen"))
    or not Path("/usr/sbin/sshd").exists(),
    reason="no tcpdump, openssl or OpenSSH on this machine",
)
def test_real_daemons_on_the_loopback(written: tuple[Path, Path], tmp_path: Path) -> None:
    """OpenSSL's DTLS and OpenSSH, captured by tcpdump: group, signature, certificate, host key."""
    made, key = map(str, written)
    host_key, settings, path = tmp_path / "host", tmp_path / "sshd.conf", tmp_path / "lo.pcap"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)], check=True)
    settings.write_text(f"Port 18522\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    dtls = ("openssl", "s_server", "-dtls1_2", "-accept", "127.0.0.1:18533", "-cert", made, "-key", key, "-quiet")
    options = ["-p", "18522", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "KexAlgorithms=curve25519-sha256"]

    def dtls_done() -> bool:
        command = ["openssl", "s_client", "-dtls1_2", "-groups", "P-256", "-connect", "127.0.0.1:18533"]
        done = subprocess.run(command, input=b"hello\n", capture_output=True, timeout=5, check=False)
        return b"Server certificate" in done.stdout

    def ssh_done() -> bool:
        command = ["ssh", *options, "nobody@127.0.0.1", "true"]
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
        return b"Permission denied" in done.stderr

    with _captured(path, 18522, 18533), _running(*dtls), _running("/usr/sbin/sshd", "-D", "-e", "-f", str(settings)):
        _until(dtls_done)
        _until(ssh_done)
    with path.open("rb") as file:
        found = [one for one in read(path.name, file) if isinstance(one, Found)]
    over_udp, over_tcp = "!dtls://127.0.0.1:18533", "!ssh://127.0.0.1:18522"
    assert uses(found, over_udp, Function.KEY_ESTABLISHMENT) == {"ECDH-P-256"}
    assert uses(found, over_udp, Function.SIGNATURE) == {"RSA-2048"}
    assert [one.subject for one in facts(found, Certificate)] == ["CN=a.example"]
    assert uses(found, over_tcp, Function.KEY_ESTABLISHMENT) == {"X25519"}
    assert [one.algorithm for one in facts(found, PublicKey)] == ["Ed25519"]
    assert {(one.protocol, one.client, one.transport) for one in facts(found, Flow)} == {
        ("dtls", "127.0.0.1", "udp"),
        ("ssh", "127.0.0.1", "tcp"),
    }
