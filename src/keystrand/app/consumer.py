"""Consume keys: the two ends of a TLS 1.3 echo, and of a proxy, that take a fresh key for every handshake."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import NamedTuple

from keystrand.edge.consumers.psk_ends import PskTerms, Suite
from keystrand.edge.consumers.tls_proxy import (
    Address,
    Bounds,
    ClientSide,
    Counts,
    Proxy,
    ServerSide,
    demand_local,
)
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
    at = address_of(address)
    with _client(kme) as client:
        return echo(at.host, at.port, client, slave_sae, message)


class ProxySide(StrEnum):
    """Which end of a proxied connection this is: the client takes keys, the server fetches those that are named."""

    CLIENT = "client"
    SERVER = "server"


class ProxyPlan(NamedTuple):
    """What a proxy is told. `peer_sae` is who the keys are shared with; `listen` and `to` are HOST:PORT."""

    side: ProxySide
    listen: str
    to: str
    peer_sae: str
    suite: Suite
    post_quantum_group: bool
    bounds: Bounds


def serve_proxy(kme: KmeAccess, plan: ProxyPlan, stop: Event, ready: Callable[[str], None]) -> Counts:
    """Proxy until `stop` is set, and return what became of the connections. `ready` is told where it listens.

    Raises `InvalidInput` for an address that is none or whose traffic would pass in clear over a network.
    """
    listen, to = address_of(plan.listen, listens=True), address_of(plan.to)
    terms = PskTerms(suite=plan.suite, post_quantum_group=plan.post_quantum_group)
    with _client(kme) as client:
        if plan.side is ProxySide.CLIENT:
            demand_local(listen, "what it listens on")
            side: ClientSide | ServerSide = ClientSide(client, plan.peer_sae, to, terms)
        else:
            demand_local(to, "the service")
            side = ServerSide(client, plan.peer_sae, to, terms)
        with Proxy(side, listen, plan.bounds) as proxy:
            ready(str(proxy.address))
            stop.wait()
            return proxy.counts


def address_of(text: str, *, listens: bool = False) -> Address:
    """Return HOST:PORT as an address; port 0, any free one, only where it `listens`. Raises `InvalidInput`."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not (0 if listens else 1) <= int(port) <= 65535:
        raise InvalidInput(f"{text!r} is not HOST:PORT", hint="write for example 127.0.0.1:4433")
    return Address(host.strip("[]"), int(port))
