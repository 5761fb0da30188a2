"""Consume keys: the two ends of a TLS 1.3 echo that takes a fresh key from its KME for every handshake."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple

from keystrand.edge.consumers.tls_psk import EchoResult, EchoServer, echo
from keystrand.edge.kme.client import Client014
from keystrand.model.errors import InvalidInput


class KmeAccess(NamedTuple):
    """How an SAE reaches its key management entity."""

    url: str
    ca: Path
    certificate: Path
    key: Path


@contextmanager
def _client(kme: KmeAccess) -> Iterator[Client014]:
    with Client014(kme.url, kme.ca, kme.certificate, kme.key) as client:
        yield client


def serve_echo(kme: KmeAccess, master_sae: str, stop: Event, ready: Callable[[str, int], None]) -> None:
    """Echo to whoever holds a key that `master_sae` shares with us, until `stop` is set. `ready` is told where."""
    with _client(kme) as client, EchoServer(client, master_sae) as server:
        ready(server.host, server.port)
        stop.wait()


def echo_once(kme: KmeAccess, slave_sae: str, address: str, message: bytes) -> EchoResult:
    """Echo `message` once under a fresh key. Raises `NoKeyAvailable` where the KME has none: nothing is sent then."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput(f"{address!r} is not HOST:PORT", hint="write for example 127.0.0.1:4433")
    with _client(kme) as client:
        return echo(host.strip("[]"), int(port), client, slave_sae, message)
