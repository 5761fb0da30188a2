"""What probing over UDP costs: QUIC beside aioquic's client, Initial packets opened beside aioquic, IKE and DNSSEC.

Servers run in processes of their own, so that the CPU measured is the scanner's. The QUIC server is aioquic's; IKE and
DNS are answered by the responders of the tests, for ike-scan (Debian) likewise. In quick mode a QUIC server is asked
two questions and, as aioquic has no HelloRetryRequest, a third with every post-quantum share; aioquic's own client
completes one handshake with X25519. Rates are of processor time, one core.
"""

import asyncio
import json
import multiprocessing
import os
import resource
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.edge.probes.datagram_ends import HOST, certificate_files, free_port, hello_retry, target_at
from tests.edge.probes.ike_gateway import HYBRID, Gateway
from tests.edge.probes.test_dns_probe import SIGNED, Zone
from tests.edge.probes.test_quic_probe import answered, replying

from bench.measure import Failed, Missing, Row, interleaved, row
from bench.peers.packages import asked, interpreter
from keystrand.edge.probes.base import Answer, Job, NetworkProbe
from keystrand.edge.probes.dns import DnsProbe
from keystrand.edge.probes.exchange import Address, Exchange
from keystrand.edge.probes.ike import IkeProbe
from keystrand.edge.probes.quic import QuicProbe
from keystrand.edge.probes.watch import Watch
from keystrand.formats.quic_frames import crypto_frame, frames
from keystrand.formats.quic_packets import V1, InitialKeys, LongPacket, PacketKind, long_packets
from keystrand.model.estate import ProbeKind, ScanMode, Target

_RUNS, _PROBES, _CONNECTIONS = 5, 60, 2000
_SCRIPT = Path(__file__).parent / "peers" / "aioquic_package.py"


def rows() -> list[Row]:
    """Measure in turns what can be measured here; a peer that is not there leaves its rows without a ratio."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return [*_opened(folder), *_quic(stack, folder), *_ike(stack), *_dns(stack)]


def _peer() -> Path | None:
    try:
        return interpreter("aioquic")
    except Missing:
        return None


def _asked(command: list[str | Path], figure: str) -> float:
    return asked(command)[figure]


def _opened(folder: Path) -> list[Row]:
    """Open both directions' first packets of many connections, each with its own keys."""
    packets: list[tuple[bytes, bytes, int, bool]] = []
    for _ in range(_CONNECTIONS):
        destination = secrets.token_bytes(8)
        keys = InitialKeys(V1, destination)
        outline = LongPacket(V1, PacketKind.INITIAL, destination, b"client", b"", b"", 0)
        for by_client, protection in ((True, keys.client), (False, keys.server)):
            whole = protection.seal(outline, 0, crypto_frame(0, bytes(1100)))
            packets.append((destination, whole, long_packets(whole)[0].number_at, by_client))
    listed = folder / "packets"
    listed.write_text(json.dumps([(a.hex(), b.hex(), at, by_client) for a, b, at, by_client in packets]))
    python = _peer()
    theirs = partial(_asked, [python, _SCRIPT, "open", listed], "packets_per_s") if python else float
    ours, beside = interleaved(_RUNS, partial(_open, packets), theirs)
    name, unit = "QUIC: Initial packets opened, new keys every other packet", "packets/s"
    return [row(name, ours, unit, peer="aioquic" if python else "", peer_samples=beside)]


def _open(packets: list[tuple[bytes, bytes, int, bool]]) -> float:
    keys: dict[bytes, InitialKeys] = {}
    begin = time.process_time()
    for destination, octets, _, by_client in packets:
        mine = keys.get(destination) or keys.setdefault(destination, InitialKeys(V1, destination))
        for packet in long_packets(octets):
            opened = (mine.client if by_client else mine.server).open(packet)
            if opened is None or not frames(opened.frames).crypto:
                raise Failed("a packet that was sealed did not open")
    return len(packets) / (time.process_time() - begin)


def _quic(stack: ExitStack, folder: Path) -> list[Row]:
    retrying = replying(lambda first: [answered(first, crypto_frame(0, hello_retry(0x11EC)))])
    target = target_at(stack.enter_context(_responder(retrying)), ProbeKind.QUIC, mode=ScanMode.QUICK)
    (ours,) = interleaved(_RUNS, partial(_cpu_ms, QuicProbe(), target))
    quick = row("QUIC: quick mode, one HelloRetryRequest", ours, "CPU ms/endpoint")
    return [quick, *_beside_aioquic(stack, folder)]


def _beside_aioquic(stack: ExitStack, folder: Path) -> list[Row]:
    if (python := _peer()) is None:
        return []
    port = free_port()
    command = [str(python), str(_SCRIPT), "serve", str(port), *certificate_files(folder)]
    server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))  # noqa: S603 - our own words
    stack.callback(server.terminate)
    if not server.stdout or not server.stdout.readline():
        raise Failed("aioquic does not serve")
    target = target_at(port, ProbeKind.QUIC, mode=ScanMode.QUICK)
    client = partial(_asked, [python, _SCRIPT, "connect", str(port), str(_PROBES)], "cpu_ms")
    ours, beside = interleaved(_RUNS, partial(_cpu_ms, QuicProbe(), target), client)
    return [
        row(
            "QUIC: quick mode, a server without it",
            ours,
            "CPU ms/endpoint",
            peer="aioquic, one handshake",
            peer_samples=beside,
        )
    ]


def _ike(stack: ExitStack) -> list[Row]:
    port = stack.enter_context(_responder(Gateway(HYBRID, (16435, 16438))))
    target = target_at(port, ProbeKind.IKE, mode=ScanMode.STANDARD)
    program = shutil.which("ike-scan")
    theirs = partial(_ike_scan_ms, program, port) if program else lambda: 0.0
    ours, beside = interleaved(_RUNS, partial(_cpu_ms, IkeProbe(), target), theirs)
    peer = "ike-scan -2, one proposal" if program else ""
    return [row("IKE: standard mode", ours, "CPU ms/endpoint", peer=peer, peer_samples=beside, goal=1.5)]


def _ike_scan_ms(program: str, port: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(10):
        command = [program, "-2", "-s", "0", "-d", str(port), "-r", "1", "-t", "200", HOST]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - our own words
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 100 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _dns(stack: ExitStack) -> list[Row]:
    port = stack.enter_context(_responder(Zone(SIGNED)))
    target = target_at(port, ProbeKind.DNS, zone="bank.example", mode=ScanMode.STANDARD)
    (ours,) = interleaved(_RUNS, partial(_cpu_ms, DnsProbe(), target))
    return [row("DNSSEC: standard mode", ours, "CPU ms/zone")]


def _cpu_ms(probe: NetworkProbe, target: Target) -> float:
    """Return CPU milliseconds of one look at `target`, of many in a row."""

    async def ask(job: Job) -> Answer:
        with Watch(5.0) as watch:
            return await Exchange(job, Address(socket.AF_INET, (HOST, job.port)), watch).answer()

    async def run() -> None:
        for _ in range(_PROBES):
            answers: tuple[Answer, ...] = ()
            while jobs := probe.plan(target, answers):
                answers += tuple(await asyncio.gather(*map(ask, jobs)))
            if len(probe.judge(target, answers)) < 2:
                raise Failed(f"nothing seen by {probe.kind}")

    begin = time.process_time()
    asyncio.run(run())
    return 1000 * (time.process_time() - begin) / _PROBES


@contextmanager
def _responder(respond: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Answer datagrams in another process."""
    port = free_port()
    ready = multiprocessing.get_context("fork").Event()
    responder = multiprocessing.get_context("fork").Process(target=_answer, args=(respond, port, ready), daemon=True)
    responder.start()
    try:
        if not ready.wait(20):
            raise Failed("a responder did not start")
        yield port
    finally:
        responder.terminate()
        responder.join(10)


def _answer(respond: Callable[[bytes], list[bytes]], port: int, ready: "multiprocessing.synchronize.Event") -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, port))
        ready.set()
        while True:
            datagram, source = server.recvfrom(65535)
            for reply in respond(datagram):
                server.sendto(reply, source)
            os.sched_yield()
