"""WireGuard under keys of ours, on real wireguard-go: what is proven, what is lost, what leaves in clear."""

import os
import secrets
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.edge.consumers.corridor import CARRIER, FAR, Corridor, corridor

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.wireguard import Uapi, WireGuard, wireguard
from keystrand.edge.daemons import Daemon, program
from keystrand.model.errors import InvalidInput

needs_tunnels = pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("wireguard-go", "nft")),
    reason="needs root, wireguard-go and nftables",
)


class Tunnel(NamedTuple):
    """A corridor with WireGuard over it; `made` makes the consumer of one end."""

    corridor: Corridor
    publics: tuple[str, str]
    devices: tuple[str, str]

    def made(self, at: int, *, forced: bool = False) -> WireGuard:
        """Return the consumer at one end."""
        space = (self.corridor.a, self.corridor.b)[at]
        far = [FAR, "10.8.0.0/24"][: 2 if at == 0 else 0] or ["10.8.0.0/24"]
        path = Path(f"/var/run/wireguard/{self.devices[at]}.sock")
        peer = self.publics[1 - at]
        return WireGuard(Uapi(path), peer, self.devices[at], far, forced=forced, prefix=space.prefix)


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    """Yield two peers that know each other's public keys, with a random device name each."""
    privates = (X25519PrivateKey.generate(), X25519PrivateKey.generate())
    publics = tuple(p.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for p in privates)
    devices = tuple(f"kst{secrets.token_hex(4)}" for _ in range(2))
    with corridor(tmp_path) as made:
        for at, space in enumerate((made.a, made.b)):
            path = Path(f"/var/run/wireguard/{devices[at]}.sock")
            daemon = Daemon(
                [program("wireguard-go", "wireguard-go"), "-f", devices[at]],
                tmp_path / f"{at}.log",
                prefix=space.prefix,
            )
            made.care.add(daemon)
            daemon.start(path.exists)
            allowed = ("10.8.0.0/24", FAR) if at == 0 else ("10.8.0.0/24",)
            lines = [f"private_key={privates[at].private_bytes_raw().hex()}", f"listen_port={51820 + at}",
                     f"public_key={publics[1 - at].hex()}", f"endpoint={CARRIER[1 - at]}:{51820 + 1 - at}",
                     *(f"allowed_ip={network}" for network in allowed)]  # fmt: skip
            Uapi(path).told([*lines, "preshared_key=PSK"], Secret(bytes(32)))
            space.run("ip", "address", "add", f"10.8.0.{at + 1}/24", "dev", devices[at])
            space.run("ip", "link", "set", devices[at], "up")
        made.a.run("ip", "route", "add", FAR, "dev", devices[0], "src", "10.8.0.1", "metric", "10")
        yield Tunnel(made, (b64encode(publics[0]).decode(), b64encode(publics[1]).decode()), (devices[0], devices[1]))


def _key(name: str, octets: bytes) -> NewKey:
    return NewKey(key_id=name, label="qkd", octets=Secret(octets))


def _both(tunnel: Tunnel) -> tuple[WireGuard, WireGuard]:
    initiator, responder = tunnel.made(0, forced=True), tunnel.made(1)
    for end in (responder, initiator):
        end.prepare()
    return initiator, responder


@needs_tunnels
def test_the_same_key_carries_traffic_and_is_proven_by_a_handshake(tunnel: Tunnel) -> None:
    """Before the first key nothing passes, under the same key all does, and only a handshake proves it."""
    initiator, responder = _both(tunnel)
    assert tunnel.corridor.flood(20) == 0
    octets = secrets.token_bytes(32)
    responder.install(_key("one", octets))
    assert not responder.prove("one").in_use
    initiator.install(_key("one", octets))
    assert tunnel.corridor.flood(50) >= 49
    assert initiator.prove("one").in_use
    assert "handshake" in initiator.prove("one").shown_by
    assert not initiator.prove("another").in_use
    assert tunnel.corridor.in_clear() == 0


@needs_tunnels
def test_different_keys_carry_nothing(tunnel: Tunnel) -> None:
    """An end with another key is an end without one."""
    initiator, responder = _both(tunnel)
    responder.install(_key("one", secrets.token_bytes(32)))
    initiator.install(_key("one", secrets.token_bytes(32)))
    assert tunnel.corridor.flood(20) == 0
    assert not initiator.prove("one").in_use


@needs_tunnels
def test_a_lazy_change_loses_nothing(tunnel: Tunnel) -> None:
    """Twenty changes at both ends while pings run: each of them is answered."""
    initiator, responder = _both(tunnel)
    octets = secrets.token_bytes(32)
    responder.install(_key("one", octets))
    initiator.install(_key("one", octets))
    assert tunnel.corridor.flood(5) > 0
    lazy = tunnel.made(0)
    ping = Daemon([program("sh", "dash"), "-c", "ping -n -q -i 0.002 -w 2 10.2.0.1 > /dev/null"],
                  Path("/dev/null"), prefix=tunnel.corridor.a.prefix)  # fmt: skip
    tunnel.corridor.care.add(ping)
    ping.start()
    for number in range(20):
        octets = secrets.token_bytes(32)
        responder.install(_key(f"{number}", octets))
        lazy.install(_key(f"{number}", octets))
        assert tunnel.corridor.flood(20) == 20
        time.sleep(0.01)


@needs_tunnels
@pytest.mark.parametrize("guarded", [True, False], ids=["with the guard", "without it"])
def test_what_is_without_a_key_never_leaves_in_clear(tunnel: Tunnel, *, guarded: bool) -> None:
    """The last key is retired and the device goes down, a route beside it: 0 of 1,000 with the guard, many without."""
    initiator, responder = _both(tunnel)
    octets = secrets.token_bytes(32)
    responder.install(_key("one", octets))
    initiator.install(_key("one", octets))
    assert tunnel.corridor.flood(5) > 0
    initiator.retire("one")
    if not guarded:
        guard.take_down(tunnel.devices[0], tunnel.corridor.a.prefix)
    assert tunnel.corridor.flood(20) == 0
    tunnel.corridor.a.run("ip", "link", "set", tunnel.devices[0], "down")
    assert tunnel.corridor.send_thousand() == 1000
    seen = tunnel.corridor.in_clear()
    assert (seen == 0) if guarded else (seen >= 1000)


@needs_tunnels
def test_a_device_or_peer_that_is_not_there_is_told(tunnel: Tunnel, tmp_path: Path) -> None:
    """The message says which socket, and nothing of any key."""
    with pytest.raises(ConsumerFailure, match="No such file"):
        Uapi(tmp_path / "none.sock").peer("00" * 32)
    with pytest.raises(ConsumerFailure, match="no such peer"):
        Uapi(Path(f"/var/run/wireguard/{tunnel.devices[0]}.sock")).peer("00" * 32)
    with pytest.raises(ConsumerFailure, match="keys of 256 bits, not 128"):
        tunnel.made(0).install(_key("one", bytes(16)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "wg 0", "peer": "x", "far": FAR}, "no name of a device"),
        ({"device": 'wg0"; drop', "peer": "x", "far": FAR}, "no name of a device"),
        ({"device": "wg0", "peer": "x", "far": ""}, "no far network"),
        ({"device": "wg0", "peer": "x", "far": "10.2.0.0/33"}, "is no network"),
        ({"device": "wg0", "peer": "x", "far": "10.2.0.1/24"}, "is no network"),
        ({"device": "wg0", "peer": "short", "far": FAR}, "no public key"),
        ({"device": "wg0", "peer": "A" * 43 + "=", "far": FAR, "change": "now"}, "change is 'now'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, str | int | float | bool], message: str) -> None:
    """Each with what is wrong; nothing that is not a name or a network gets into the guard's script."""
    with pytest.raises(InvalidInput, match=message):
        wireguard(settings, Role.INITIATOR)
