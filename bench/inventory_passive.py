"""Captures and sensor logs: packets a second beside tshark on the same file, memory, and lines a second.

The capture is made in the run: real handshakes of TLS 1.3, TLS 1.2 and QUIC, each with content after it, again and
again with other addresses. Rates are of processor time, one core. What can be chosen, by environment:

- `KEYSTRAND_BENCH_PASSIVE_GB` (1) size of the stream whose reading must not take memory; 10 is the goal's
- `KEYSTRAND_BENCH_PASSIVE_TRACES` a folder of captures, such as Zeek's test traces: servers found there, and missed
"""

import io
import os
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from tests.formats.capture_wire import (
    CLIENT,
    Ends,
    certificate,
    ethernet,
    library_talk,
    modern_talk,
    pcap,
    quic_talk,
    stream,
    udp,
)

from bench.measure import Failed, Row, interleaved, row
from keystrand.edge.probes import capture as captures
from keystrand.edge.probes import sensor_logs
from keystrand.model.observation import Endpoint, Flow, Outcome
from keystrand.model.reading import Found, Reading

LEAST_PACKETS, LEAST_RATIO, MOST_MB, REPEATS = 150_000, 3.0, 200, 3
_CLIENTS, _CONTENT, _LINES = 400, 30, 300_000
_HEAD_OCTETS = 24
_TSHARK_S = 600.0
_FILTER = "tls.handshake.type == 2"
_HELLOS = ("tls", "dtls", "quic")
_MEMORY = """
import collections, pathlib, sys
from bench.inventory_passive import Stream
from bench.measure import peak_mb
from keystrand.edge.probes.capture import read
stream = Stream(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
(reading,) = collections.deque(read("stream", stream), maxlen=1)
print(int(peak_mb()), reading.outcome.value)
"""


def say(text: str) -> None:
    """Tell how far it is, beside the rows."""
    sys.stderr.write(f"bench inventory: {text}\n")


def rows() -> list[Row]:
    """Return all rows."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path, packets = capture_of(place, place / "made.pcap")
        single, _ = capture_of(place, place / "single.pcap", clients=1)
        return [*_speed_rows(path, packets), _memory_row(single), *_log_rows(place), *_trace_rows()]


def capture_of(folder: Path, path: Path, clients: int = _CLIENTS) -> tuple[Path, int]:
    """Write a capture of real handshakes of that many clients; return where it is and how many packets it holds."""
    made, key = certificate(folder)
    frames: list[bytes] = []
    for n, said in enumerate((modern_talk(made, key), library_talk(made, key, version=ssl.TLSVersion.TLSv1_2))):
        content = [(turn % 3 == 0, b"\x17\x03\x03\x04\xb0" + bytes(1200)) for turn in range(_CONTENT)]
        frames += map(ethernet, stream([*said, *content], Ends(client_port=50000 + n)))
    for n, version in enumerate((1, 0x6B3343CF)):
        content = [(turn % 3 == 0, b"\x40" + bytes(1200)) for turn in range(_CONTENT)]
        said = [*quic_talk(made, key, version), *content]
        frames += (ethernet(udp(Ends(client_port=51000 + n), octets, client=client)) for client, octets in said)
    template = pcap(frames)
    with path.open("wb") as file:
        file.write(template[:_HEAD_OCTETS])
        for n in range(clients):
            file.write(moved(template[_HEAD_OCTETS:], ip_address(CLIENT).packed, n))
    return path, len(frames) * clients


def moved(packets: bytes, address: bytes, number: int) -> bytes:
    """Return packets with the client's address replaced: 10.0.0.0 and on."""
    return packets.replace(address, (0x0A000000 + number).to_bytes(4, "big"))


class Stream(io.RawIOBase):
    """A capture of any size, made as it is read: the packets of one client again and again, with other addresses."""

    def __init__(self, path: Path, octets: int) -> None:
        whole = path.read_bytes()
        self._rest, self._body = whole[:_HEAD_OCTETS], whole[_HEAD_OCTETS:]
        self._left, self._number = octets, 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next octets."""
        while len(self._rest) < size and self._left > 0:
            self._rest += moved(self._body, b"\x0a\0\0\0", self._number)
            self._left -= len(self._body)
            self._number += 1
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _speed_rows(path: Path, packets: int) -> list[Row]:
    megabytes = path.stat().st_size / 1e6
    ours: Callable[[], float] = lambda: packets / _cpu_s_of(path)  # noqa: E731 - a job for `interleaved`
    title = f"capture of {packets:,} packets, {megabytes:.0f} MB, TLS and QUIC"
    if (tshark := shutil.which("tshark")) is None:
        say("tshark not available (on Debian: apt-get install tshark)")
        (rates,) = interleaved(REPEATS, ours)
        missing = Row(name=f"{title}: times tshark", value=0, unit="", low=0, high=0, peer="tshark: not available",
                      goal=f">= {LEAST_RATIO}", met=False)  # fmt: skip
        return [row(f"{title}: read", rates, "packets/s", at_least=LEAST_PACKETS), missing]
    rates, theirs = interleaved(REPEATS, ours, lambda: packets / _tshark_cpu_s(tshark, path))
    ratios = [mine / other for mine, other in zip(rates, theirs, strict=True)]
    return [
        row(f"{title}: read", rates, "packets/s", peer="tshark", peer_samples=theirs, at_least=LEAST_PACKETS),
        row(f"{title}: times tshark", ratios, "x", at_least=LEAST_RATIO),
    ]


def _cpu_s_of(path: Path) -> float:
    """Return the processor time of reading a capture. Raises `Failed` where a handshake is missing."""
    begin = time.process_time()
    with path.open("rb") as stream_of:
        protocols = {
            one.fact.protocol
            for one in captures.read(path.name, stream_of)
            if isinstance(one, Found) and isinstance(one.fact, Flow) and one.fact.key_establishment
        }
    spent = time.process_time() - begin
    if protocols != {"tls", "quic"}:
        raise Failed(f"handshakes of {', '.join(sorted(protocols)) or 'nothing'} were read, not of TLS and QUIC")
    return spent


def _tshark_cpu_s(tshark: str, path: Path) -> float:
    fields = ["-T", "fields", "-e", "ip.src", "-e", "tls.handshake.ciphersuite"]
    fields += ["-e", "tls.handshake.extensions_key_share_group"]
    before = _children_s()
    _run([tshark, "-n", "-r", str(path), "-Y", _FILTER, *fields])
    return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[str]) -> bytes:
    try:
        return subprocess.run(command, check=True, capture_output=True, timeout=_TSHARK_S).stdout  # noqa: S603  # ours
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command[0]} did not run: {error}") from error


def _memory_row(single: Path) -> Row:
    gigabytes = float(os.environ.get("KEYSTRAND_BENCH_PASSIVE_GB", "1"))
    out = _run([sys.executable, "-c", _MEMORY, str(single), str(int(gigabytes * 1e9))]).split()
    if out[1:] != [Outcome.SEEN.value.encode()]:
        raise Failed("the stream was not read to its end")
    return row(f"stream of {gigabytes:g} GB of new connections: peak memory", [float(out[0])], "MB", goal=MOST_MB)


def _log_rows(folder: Path) -> Iterator[Row]:
    for name, lines in (("ssl.log", _zeek_lines()), ("conn.log", _conn_lines()), ("eve.json", _eve_lines())):
        path = folder / name
        path.write_bytes(b"".join(lines))
        (rates,) = interleaved(REPEATS, lambda path=path: _LINES / _log_cpu_s(path))  # type: ignore[misc]  # mypy#15459
        yield row(f"{name} of {_LINES:,} lines: read", rates, "lines/s")


def _zeek_lines() -> Iterator[bytes]:
    fields = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p version cipher curve established"
    yield b"#separator \\x09\n#path\tssl\n#fields\t" + fields.replace(" ", "\t").encode() + b"\n"
    curves = "x25519", "X25519MLKEM768", "secp256r1"
    for n in range(_LINES):
        client, server = f"10.0.{n >> 8 & 1}.{n & 255}", f"10.1.0.{n % 200}"
        ends = f"{client}\t50000\t{server}\t443"
        yield f"{1790000000 + n / 100:.6f}\tC{n}\t{ends}\tTLSv13\tTLS_AES_128_GCM_SHA256\t{curves[n % 3]}\tT\n".encode()


def _conn_lines() -> Iterator[bytes]:
    """Yield the volumes of the connections in `_zeek_lines`, which are read together with them."""
    fields = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes"
    yield b"#separator \\x09\n#path\tconn\n#fields\t" + fields.replace(" ", "\t").encode() + b"\n"
    for n in range(_LINES):
        ends = f"10.0.{n >> 8 & 1}.{n & 255}\t50000\t10.1.0.{n % 200}\t443"
        yield f"{1790000000 + n / 100:.6f}\tC{n}\t{ends}\ttcp\tssl\t1.5\t900\t9000\n".encode()


def _eve_lines() -> Iterator[bytes]:
    for n in range(_LINES // 2):
        ends = f'"src_ip":"10.0.{n >> 8 & 1}.{n & 255}","src_port":50000,"dest_ip":"10.1.0.{n % 200}","dest_port":443'
        head = f'{{"timestamp":"2026-09-21T14:13:20.251547+0000","flow_id":{n},{ends},"proto":"TCP",'
        yield f'{head}"event_type":"tls","tls":{{"version":"TLS 1.2","ja3s":{{"string":"771,49199,"}}}}}}\n'.encode()
        volumes = '"pkts_toserver":5,"pkts_toclient":7,"bytes_toserver":900,"bytes_toclient":9000'
        yield f'{head}"event_type":"flow","app_proto":"tls","flow":{{{volumes}}}}}\n'.encode()


def _log_cpu_s(path: Path) -> float:
    begin = time.process_time()
    with path.open("rb") as stream_of:
        *_, reading = sensor_logs.read(path.name, stream_of)
    spent = time.process_time() - begin
    if not isinstance(reading, Reading) or reading.outcome is not Outcome.SEEN:
        raise Failed(f"{path.name} was not read to its end")
    return spent


Server = tuple[str, int]


def _trace_rows() -> Iterator[Row]:
    """Yield how many servers are found in the captures of the named folder, and how many that tshark finds are not."""
    folder, tshark = os.environ.get("KEYSTRAND_BENCH_PASSIVE_TRACES"), shutil.which("tshark")
    if not folder or not tshark:
        return
    found = missed = theirs = 0
    for path in sorted(Path(folder).rglob("*")):
        with suppress(OSError), path.open("rb") as stream_of:
            if not captures.wants(path.name, stream_of.read(4096)):
                continue
            stream_of.seek(0)
            ours, others = _servers(captures.read(path.name, stream_of)), _tshark_servers(tshark, path)
            found, theirs, missed = found + len(ours), theirs + len(others), missed + len(others - ours)
    title = "captures of the named folder, servers of TLS, DTLS and QUIC"
    yield row(f"{title}: found", [float(found)], "servers", peer="tshark", peer_samples=[float(theirs)])
    yield row(f"{title}: found by tshark and missed", [float(missed)], "servers")


def _servers(found: Iterator[Found | Reading]) -> set[Server]:
    facts = (one.fact for one in found if isinstance(one, Found))
    return {(one.host, one.port) for one in facts if isinstance(one, Endpoint) and one.protocol in _HELLOS}


def _tshark_servers(tshark: str, path: Path) -> set[Server]:
    """Return who sent a ServerHello. tshark fails on a capture that is cut off, and tells what came before."""
    command = [tshark, "-n", "-r", str(path), "-Y", f"{_FILTER} or dtls.handshake.type == 2", "-T", "fields"]
    for field in ("ip.src", "ipv6.src", "tcp.srcport", "udp.srcport"):
        command += ["-e", field]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TSHARK_S)  # noqa: S603  # ours
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {((a or b).rpartition(",")[2], int((c or d).rpartition(",")[2])) for a, b, c, d in lines}
