"""The guard of a tunnel: what is meant for the far networks leaves through the tunnel's device, or not at all.

It stands before the first key and stays when the last one is gone, whatever else routes there: a tunnel that is taken
down with an ordinary route beside it sends everything in clear. One table of nftables for each device, put up again
with every key: whoever loads a firewall that begins with `flush ruleset` takes it down.
"""

import ipaddress
import re
import subprocess
from collections.abc import Sequence

from keystrand.edge.consumers.base import ConsumerFailure, unusable
from keystrand.edge.daemons import program

DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}\Z")
"""Names of devices: IFNAMSIZ is 16 with its end (if.h); of the rest what needs no quoting."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_TIMEOUT_S = 10.0


def table(device: str) -> str:
    """Return the name of the table that guards `device`, and no other."""
    return f"keystrand_{''.join(f'_{ord(c):02x}' if not c.isalnum() else c for c in device)}"


def rules(device: str, far: Sequence[str]) -> str:
    """Return the guard in the language of nft(8). Raises `InvalidInput` for a name or a network that is none."""
    if not DEVICE.match(device):
        raise unusable("device", f"{device!r} is no name of a device", "write it as `ip link` shows it, such as wg0")
    if not far:
        raise unusable("far", "no far network is named", "name what lies behind the tunnel, such as 10.2.0.0/24")
    drops = "\n".join(
        f'        {"ip" if network.version == 4 else "ip6"} daddr {network} oifname != "{device}" drop'
        for network in map(_network, far)
    )
    name = table(device)
    chains = "\n".join(
        f"    chain {hook} {{\n        type filter hook {hook} priority raw; policy accept;\n{drops}\n    }}"
        for hook in ("output", "postrouting")
    )
    # created, emptied and filled in one transaction: at no moment is there no guard
    return f"table inet {name} {{}}\ndelete table inet {name}\ntable inet {name} {{\n{chains}\n}}\n"


def put_up(device: str, far: Sequence[str], prefix: Sequence[str] = ()) -> None:
    """Put the guard of `device` up, in place of one that stands. Raises `ConsumerFailure`, and as `rules` does."""
    _nft(rules(device, far), prefix)


def take_down(device: str, prefix: Sequence[str] = ()) -> None:
    """Take the guard down: for who gives the consumer up, never between two keys. Raises `ConsumerFailure`."""
    name = table(device)
    _nft(f"table inet {name} {{}}\ndelete table inet {name}\n", prefix)


def overlaps(network: Network, far: Sequence[str]) -> bool:
    """Return whether `network` has an address in one of the far networks."""
    return any(network.version == one.version and network.overlaps(one) for one in map(_network, far))


def _nft(script: str, prefix: Sequence[str]) -> None:
    command = [*prefix, program("nft", "nftables"), "-f", "-"]
    try:
        done = subprocess.run(  # noqa: S603 - nft as installed, and a script of checked words
            command, input=script, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ConsumerFailure(f"nft was not done within {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise ConsumerFailure(f"the guard does not stand: {' '.join(done.stderr.split())}", hint="it needs root")


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise unusable("far", f"{text!r} is no network: {error}", "write it as 10.2.0.0/24") from None
