"""Both ends of a talk in datagrams, for tests: a probe driven over a real socket, and a server in a thread."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keystrand.edge.probes.base import Answer, Job, NetworkProbe
from keystrand.edge.probes.exchange import Address, Exchange
from keystrand.edge.probes.watch import Watch
from keystrand.formats.tls_server_flight import HELLO_RETRY_RANDOM
from keystrand.formats.tls_wire import message, number, vector
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Strength

HOST = "127.0.0.1"
Respond = Callable[[bytes], list[bytes]]


def target_at(port: int, kind: ProbeKind, **more: Any) -> Target:
    """Return a target on this machine."""
    return Target(id="target", probe=kind, system="system", host=HOST, port=port, **more)


def probe(
    asks: NetworkProbe, target: Target, timeout_s: float = 8.0
) -> tuple[list[Observation], Attempt, tuple[Answer, ...]]:
    """Return what `asks` sees of `target`, its attempt, and the answers behind them."""

    async def ask(job: Job) -> Answer:
        with Watch(timeout_s) as watch:
            return await Exchange(job, Address(socket.AF_INET, (HOST, job.port)), watch).answer()

    async def run() -> tuple[Answer, ...]:
        answers: tuple[Answer, ...] = ()
        while jobs := asks.plan(target, answers):
            answers += tuple(await asyncio.gather(*map(ask, jobs)))
        return answers

    answers = asyncio.run(run())
    records = asks.judge(target, answers)
    (ended,) = [record for record in records if isinstance(record, Attempt)]
    return [record for record in records if isinstance(record, Observation)], ended, answers


def uses(observations: list[Observation]) -> set[tuple[Strength, str, str]]:
    """Return strength, name and code point of each algorithm seen."""
    return {
        (seen.strength, seen.fact.algorithm, seen.fact.code_point)
        for seen in observations
        if isinstance(seen.fact, AlgorithmUse)
    }


def facts(observations: list[Observation], kind: type[Any]) -> list[Any]:
    """Return the facts of one kind."""
    return [seen.fact for seen in observations if isinstance(seen.fact, kind)]


@contextmanager
def responding(respond: Respond, port: int = 0) -> Iterator[int]:
    """Answer each datagram with the datagrams that `respond` returns; on a free port where none is given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, port))

        def attend() -> None:
            while True:
                datagram, source = server.recvfrom(65535)
                if datagram == b"stop":
                    return
                for reply in respond(datagram):
                    server.sendto(reply, source)

        thread = threading.Thread(target=attend, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"stop", (HOST, port))
            thread.join(10)


def free_port() -> int:
    """Return a port that nobody listens on now, over UDP or TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as over_tcp:
        over_tcp.bind((HOST, 0))
        port = int(over_tcp.getsockname()[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as over_udp:
            over_udp.bind((HOST, port))
    return port


FULL, QUICK = ScanMode.FULL, ScanMode.QUICK


def certificate_files(folder: Path, names: int = 1) -> tuple[str, str]:
    """Write a self-signed P-256 certificate with so many alternative names, and its key; return both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(f"{n}.example") for n in range(names)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(chain), str(private)


def hello_retry(group: int, suite: int = 0x1301, cookie: bytes = b"") -> bytes:
    """Return a HelloRetryRequest; group 0: it asks for nothing but its cookie."""
    extensions = number(43) + vector(2, number(0x0304))
    extensions += number(51) + vector(2, number(group)) if group else b""
    extensions += number(44) + vector(2, vector(2, cookie)) if cookie else b""
    body = number(0x0303) + HELLO_RETRY_RANDOM + vector(1, b"") + number(suite) + b"\0" + vector(2, extensions)
    return message(2, body)
