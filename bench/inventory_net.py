"""What the network probes cost, in processor time of one core, beside other scanners on the same servers.

The scan has the first core, the servers the last: Node with post-quantum TLS, nginx with classical TLS, and sshd. Each
peer looks at the same servers in the same run, with the parts of it that come nearest to our questions. A peer that
cannot be had has its row all the same, which says why. What can be chosen, by environment:

- `KEYSTRAND_BENCH_NET_REPEATS` (3): samples of our own figures
- `KEYSTRAND_BENCH_NET_PEERS`: peers to run, of nmap sslyze testssl.sh ssh-audit (default: all)
- `KEYSTRAND_BENCH_CACHE`, `KEYSTRAND_TESTS_CACHE`: where peers are kept, and Node
"""

import contextlib
import importlib.util
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.edge.probes.bed import programs
from tests.edge.probes.bed.certificates import Pair, certificates

from bench.inventory_net_scan import HOSTS_HUNG
from bench.measure import Failed, Missing, Row, row
from bench.peers.packages import interpreter
from bench.peers.tls_scanners import installed

_PORTS = 8
_QUICK, _STANDARD, _SSH, _IN_FLIGHT = 4000, 400, 120, 1000
_SCAN_S, _PEER_S = 300.0, 600.0
_NODE = """
const tls = require("tls"), fs = require("fs"), [key, cert, ...ports] = process.argv.slice(2);
const options = {key: fs.readFileSync(key), cert: fs.readFileSync(cert)};
for (const port of ports) {
  const server = tls.createServer(options, (socket) => { socket.on("error", () => {}); socket.end(); });
  server.on("tlsClientError", () => {});
  server.listen({port: +port, host: "127.0.0.1", backlog: 4096});
}
"""
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ {listen} ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};
    ssl_protocols TLSv1.2 TLSv1.3; }}
}}
"""
_SSHD = """
ListenAddress 127.0.0.1
PidFile none
MaxStartups 1000
UsePAM no
LogLevel QUIET
"""


class Peer(NamedTuple):
    """Another scanner: what asks it about so many ports of 127.0.0.1, and how much dearer than ours it should be."""

    name: str
    command: Callable[[Sequence[int], Path], list[str]]
    ports: int
    times: float | None


def _nmap(ports: Sequence[int], _folder: Path) -> list[str]:
    scripts = ["--script", "ssl-enum-ciphers,ssl-cert"]
    return [installed("nmap", "nmap"), "-Pn", "-n", "-p", ",".join(map(str, ports)), *scripts, "127.0.0.1"]


def _sslyze(ports: Sequence[int], _folder: Path) -> list[str]:
    versions = ["--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]
    hosts = [f"127.0.0.1:{port}" for port in ports]
    return [str(interpreter("sslyze")), "-m", "sslyze", "--certinfo", "--elliptic_curves", *versions, *hosts]


def _testssl(ports: Sequence[int], _folder: Path) -> list[str]:
    program = installed("testssl", "testssl.sh")
    return [program, "-q", "--color", "0", "--warnings", "off", "-p", "-f", "-S", f"127.0.0.1:{ports[0]}"]


def _ssh_audit(ports: Sequence[int], folder: Path) -> list[str]:
    listed = folder / "hosts"
    listed.write_text("".join(f"127.0.0.1:{port}\n" for port in ports))
    python = interpreter("ssh-audit")
    # its own test against denial of service floods the server; it is no part of an inventory
    return [str(python.parent / "ssh-audit"), "-j", "--skip-rate-test", "-T", str(listed), "--threads", "8"]


TLS_PEERS = (
    Peer("nmap", _nmap, _PORTS, 12.0),
    Peer("sslyze", _sslyze, _PORTS, 75.0),
    Peer("testssl.sh", _testssl, 1, None),
)
SSH_PEERS = (Peer("ssh-audit", _ssh_audit, _PORTS, 100.0),)


class _Scan(NamedTuple):
    """One of our own scans, as `inventory_net_scan` takes it."""

    ports: tuple[int, ...]
    number: int
    mode: str
    probe: str = "tls"
    at_once: int = 64
    loop: str = "asyncio"

    def run(self) -> dict[str, float]:
        """Return what it took. Raises `Failed` where an endpoint was not seen."""
        words = [",".join(map(str, self.ports)), str(self.number), self.mode, self.probe, str(self.at_once)]
        command = [sys.executable, "-m", "bench.inventory_net_scan", *words]
        environment = os.environ | {"KEYSTRAND_BENCH_LOOP": self.loop}
        try:
            done = subprocess.run(command, check=True, capture_output=True, timeout=_SCAN_S, env=environment)  # noqa: S603  # our own words
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise Failed(f"the scan of {self.mode} did not end well: {error}") from error
        found: dict[str, float] = json.loads(done.stdout)
        if self.mode != "hung" and found["seen"] != self.number:
            raise Failed(f"only {found['seen']:g} of {self.number} endpoints were seen")
        return found

    def cpu_ms(self, runs: int) -> list[float]:
        """Return the processor time an endpoint took, in ms, of each run."""
        return [self.run()["cpu_ms"] for _ in range(runs)]


def rows() -> list[Row]:
    """Start the servers and return the rows of all probes."""
    runs = _repeats()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        pair = certificates(folder)["RSA-2048"]
        hybrid = stack.enter_context(_node(folder, pair))
        classical = stack.enter_context(_nginx(folder, pair))
        return [
            *_quick_rows(hybrid, classical, runs),
            *_standard_rows(hybrid, classical, folder, runs),
            *_ssh_rows(folder, runs),
            _memory_row(runs),
        ]


def _repeats() -> int:
    text = os.environ.get("KEYSTRAND_BENCH_NET_REPEATS", "3")
    if not text.isdecimal() or int(text) < 1:
        raise Missing(f"KEYSTRAND_BENCH_NET_REPEATS must be a number from 1 on, not {text}")
    return int(text)


def _loops() -> tuple[str, ...]:
    """Return the event loops that there are here; a scan takes the last of them."""
    return ("asyncio", "uvloop") if importlib.util.find_spec("uvloop") else ("asyncio",)


def _quick_rows(hybrid: tuple[int, ...], classical: tuple[int, ...], runs: int) -> Iterator[Row]:
    for what, ports in (("post-quantum servers", hybrid), ("classical servers, two connections", classical)):
        for loop in _loops():
            rates = [1000 / ms for ms in _Scan(ports, _QUICK, "quick", loop=loop).cpu_ms(runs)]
            least = 3000.0 if ports is hybrid else None
            yield row(f"TLS quick, {what}, {loop}", rates, "endpoints/s a core", at_least=least)


def _standard_rows(hybrid: tuple[int, ...], classical: tuple[int, ...], folder: Path, runs: int) -> Iterator[Row]:
    yield row(
        "TLS standard, classical servers", _Scan(classical, _STANDARD, "standard").cpu_ms(runs), "CPU-ms", goal=3.0
    )
    ours = _Scan(hybrid, _STANDARD, "standard").cpu_ms(runs)
    yield row("TLS standard, post-quantum servers", ours, "CPU-ms", goal=3.0)
    yield row("TLS full, post-quantum servers", _Scan(hybrid, _STANDARD // 4, "full").cpu_ms(runs), "CPU-ms")
    yield from _peer_rows("TLS standard", TLS_PEERS, hybrid, ours, folder)


def _ssh_rows(folder: Path, runs: int) -> Iterator[Row]:
    try:
        with _sshd(folder) as ports:
            for loop in _loops():
                ours = _Scan(ports, _SSH, "standard", "ssh", at_once=16, loop=loop).cpu_ms(runs)
                yield row(f"SSH, lists and two host keys, {loop}", ours, "CPU-ms", goal=1.5)
                yield from _peer_rows(f"SSH, {loop}", SSH_PEERS, ports, ours, folder)
    except Missing as missing:
        yield row(f"SSH: {missing}", [0.0], "CPU-ms")


def _memory_row(runs: int) -> Row:
    """Hold a thousand connections to servers that accept and say nothing."""
    port = programs.free_ports(1)[0]
    with contextlib.ExitStack() as stack:
        for n in range(HOSTS_HUNG):
            stack.enter_context(socket.create_server((f"127.0.1.{n + 1}", port), backlog=64))
        held = [_Scan((port,), _IN_FLIGHT, "hung", at_once=_IN_FLIGHT).run()["memory_mb"] for _ in range(runs)]
    return row(f"memory with {_IN_FLIGHT} connections in flight", held, "MB", goal=100.0)


def _peer_rows(
    what: str, peers: Sequence[Peer], ports: tuple[int, ...], ours: Sequence[float], folder: Path
) -> Iterator[Row]:
    chosen = os.environ.get("KEYSTRAND_BENCH_NET_PEERS")
    for peer in peers:
        if chosen is not None and peer.name not in chosen.split(","):
            continue
        try:
            theirs = _cpu_ms(peer, ports[: peer.ports], folder)
        except (Missing, Failed) as error:
            yield row(f"{what} beside {peer.name}", ours, "CPU-ms", peer=f"{peer.name}: {error}")
            continue
        yield row(f"{what}: {peer.name}", [theirs], "CPU-ms", peer="keystrand", peer_samples=ours)
        ratios = [theirs / mine for mine in ours]
        yield row(f"{what}: {peer.name} over ours", ratios, "times", peer=peer.name, at_least=peer.times)


def _cpu_ms(peer: Peer, ports: Sequence[int], folder: Path) -> float:
    """Return the processor time that a peer takes for each port, in ms, children included."""
    command = peer.command(ports, folder)
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        subprocess.run(command, capture_output=True, timeout=_PEER_S, check=False, stdin=subprocess.DEVNULL)  # noqa: S603  # our own words
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"gave no answer: {error}") from error
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (end.ru_utime - begin.ru_utime + end.ru_stime - begin.ru_stime) / len(ports)


def _on_last_core(command: Sequence[str | Path]) -> list[str]:
    taskset = programs.found("taskset")
    core = str(max(os.sched_getaffinity(0)))
    return [*([taskset, "-c", core] if taskset else []), *map(str, command)]


@contextlib.contextmanager
def _node(folder: Path, pair: Pair) -> Iterator[tuple[int, ...]]:
    program = programs.node()
    if program is None:
        raise Missing("no Node with post-quantum TLS: the npm registry is not reached")
    script, ports = folder / "servers.js", programs.free_ports(_PORTS)
    script.write_text(_NODE)
    command = _on_last_core([program, script, pair.key, pair.certificate, *map(str, ports)])
    with programs.listening(command, ports[-1], folder / "node.log"):
        yield ports


@contextlib.contextmanager
def _nginx(folder: Path, pair: Pair) -> Iterator[tuple[int, ...]]:
    program = programs.found("nginx")
    if program is None:
        raise Missing("no nginx (on Debian: apt-get install nginx-light)")
    ports = programs.free_ports(_PORTS)
    listen = " ".join(f"listen 127.0.0.1:{port} ssl;" for port in ports)
    written = folder / "nginx.conf"
    written.write_text(_NGINX.format(folder=folder, listen=listen, pair=pair))
    command = _on_last_core([program, "-p", folder, "-c", written])
    with programs.listening(command, ports[0], folder / "nginx.log"):
        yield ports


@contextlib.contextmanager
def _sshd(folder: Path) -> Iterator[tuple[int, ...]]:
    program, keygen = programs.found("sshd"), programs.found("ssh-keygen")
    if program is None or keygen is None:
        raise Missing("no sshd (on Debian: apt-get install openssh-server)")
    ports = programs.free_ports(_PORTS)
    lines = [f"Port {port}" for port in ports]
    for kind in ("rsa", "ecdsa", "ed25519"):
        key = folder / f"host_{kind}"
        subprocess.run([keygen, "-q", "-t", kind, "-N", "", "-f", key], check=True)  # noqa: S603  # our own words
        lines.append(f"HostKey {key}")
    written = folder / "sshd_config"
    written.write_text("\n".join(lines) + _SSHD)
    with contextlib.suppress(OSError):  # as root it wants this folder
        Path("/run/sshd").mkdir(exist_ok=True)
    command = _on_last_core([program, "-D", "-f", written])
    with programs.listening(command, ports[0], folder / "sshd.log"):
        yield ports
