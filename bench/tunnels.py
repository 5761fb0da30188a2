"""Real tunnels under keys that change: what a rotation loses at about 1,000 packets a second, and what leaves in clear.

The times are of this machine and its load; what counts are the packets.
"""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from tests.edge.consumers.corridor import Corridor
from tests.edge.consumers.ipsec import Ipsec, ipsec
from tests.edge.consumers.wireguard_pair import Tunnel, wireguard_pair

from bench.measure import Missing, Row
from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import Consumer, NewKey
from keystrand.pilot.traffic import Losses

ROTATIONS = 60
_PROGRAMS = ("charon-systemd", "wireguard-go", "nft", "ping")


def rows() -> list[Row]:
    """Return the losses with 95 % intervals, and packets in clear of 1,000. Raises `Missing` for an ordinary user."""
    lacking = [name for name in _PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin:/bin") is None]
    if os.geteuid() or lacking:
        raise Missing(f"needs root{', and ' + ', '.join(lacking) if lacking else ''}")
    with tempfile.TemporaryDirectory() as folder, ipsec(Path(folder)) as pair:
        for end in (pair.made(1), pair.made(0)):
            end.prepare()
        found = [_lost("IPsec (strongSwan, PPK)", pair.corridor, pair.made(0), pair.made(1), 1.0)]
        found += _in_clear("IPsec", pair)
    for forced, most in ((False, 0.0), (True, 1.0)):
        with tempfile.TemporaryDirectory() as folder, wireguard_pair(Path(folder)) as tunnel:
            name = f"WireGuard, {'forced' if forced else 'lazy'}"
            ends = tunnel.made(0, forced=forced), tunnel.made(1)
            _first(tunnel)
            found.append(_lost(name, tunnel.corridor, *ends, most))
    return found


def _install(key_id: str, initiator: Consumer, responder: Consumer) -> None:
    octets = secrets.token_bytes(32)
    for end in (responder, initiator):
        with Secret(octets) as key:
            end.install(NewKey(key_id=key_id, label="qkd", octets=key))


def _first(tunnel: Tunnel) -> None:
    ends = tunnel.made(0, forced=True), tunnel.made(1)
    for end in ends:
        end.prepare()
    _install("first", *ends)
    tunnel.corridor.flood(10)


def _lost(name: str, corridor: Corridor, initiator: Consumer, responder: Consumer, most: float) -> Row:
    def rotate(number: int) -> None:
        _install(f"{number + 1}", initiator, responder)
        for end in (initiator, responder):
            end.retire(f"{number}")

    _install("0", initiator, responder)
    corridor.flood(10)
    return _row(name, corridor.losses_of(rotate, ROTATIONS), most)


def _row(name: str, losses: Losses, most: float) -> Row:
    low, mean, high = losses.range
    return Row(
        name=f"{name}: packets lost a rotation ({len(losses.each)} rotations, {losses.sent} packets, 95 % interval)",
        value=round(mean, 3), unit="packets", low=round(low, 3), high=round(high, 3),
        goal=f"< {most:g}" if most else "0", met=mean < most if most else not mean,
    )  # fmt: skip


def _in_clear(name: str, pair: Ipsec) -> list[Row]:
    """Return what leaves in clear of 1,000 when the key is retired, beside the same without the guard."""
    pair.made(0).retire(f"{ROTATIONS}")
    pair.corridor.send_thousand()
    kept = pair.corridor.in_clear()
    guard.take_down("ipsec0", pair.corridor.a.prefix)
    pair.corridor.send_thousand()
    bare = pair.corridor.in_clear() - kept
    return [
        Row(
            name=f"{name}: packets in clear of 1,000 after the last key is retired", value=kept, unit="packets",
            low=kept, high=kept, peer=f"without the guard {bare}", goal="0", met=kept == 0 and bare >= 1000,
        )
    ]  # fmt: skip
