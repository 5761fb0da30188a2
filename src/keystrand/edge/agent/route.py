"""The way to the other agent may not be one that its own keys protect: what it keys would cut it off when it fails."""

import json
import socket
import subprocess
from collections.abc import Mapping, Sequence

from keystrand.edge.daemons import program
from keystrand.model.errors import PeerUnavailable, PolicyDenied

_LOOK_S = 5.0


def device_towards(address: str, prefix: Sequence[str] = ()) -> str:
    """Return the network device that packets to the IP `address` leave by, as the kernel tells; empty for none.

    `prefix` is what enters another network namespace than ours.
    """
    command = (*prefix, program("ip", "iproute2"), "-j", "route", "get", address)
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_LOOK_S)  # noqa: S603  # a program found by us, an address
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailable(f"`ip route get {address}` gave no answer") from error
    if done.returncode:
        return ""  # there is no route: connecting will say so
    return str(json.loads(done.stdout)[0].get("dev", ""))


def demand_outside(host: str, devices: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
    """Raise `PolicyDenied` where the way to `host` leaves by a device that one of our consumers makes.

    `devices` gives the consumer of each. Raises `PeerUnavailable` where `host` has no address.
    """
    if not devices:
        return
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PeerUnavailable(f"{host} has no address: {error.strerror}") from error
    for address in sorted({str(one[4][0]) for one in found}):
        device = device_towards(address, prefix)
        if device in devices:
            raise PolicyDenied(
                f"the way to the peer agent at {address} leaves by {device}, which the consumer {devices[device]} keys",
                hint="give the agents a way of their own: another address, or a route beside the tunnel",
            )
