"""WireGuard with keys from the KMEs as its pre-shared key.

The pre-shared key is mixed into the next handshake (the Noise pattern IKpsk2), not into the session that runs. So a
lazy change loses nothing and acts within two minutes, when WireGuard makes its next handshake; a forced one removes the
peer and puts it back in one transaction, and acts at once. The responder is always changed lazily and first.

Nothing names a key here: the proof is a handshake that came after the key was installed.
"""

import base64
import ipaddress
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings, demand_known, unusable
from keystrand.edge.consumers.wireguard_device import PSK_OCTETS, Device, Uapi, WgTool

SOCKETS = Path("/var/run/wireguard")
APART_S = 0.1
"""How far apart two handshakes must be. The peer drops one that comes within 20 ms of the last (wireguard-go,
device/constants.go, HandshakeInitationRate), and the next is tried only after 5 s (RekeyTimeout there).
"""


class WireGuard:
    """One peer of one device. `far` are the networks behind it, which the guard keeps to the tunnel.

    `prefix` comes before a command that must run where the device is (`daemons.Space`).
    """

    def __init__(
        self, device: Device, peer: str, name: str, far: Sequence[str], *, forced: bool, prefix: Sequence[str] = ()
    ) -> None:
        self._device, self._name, self._far, self._forced, self._prefix = device, name, tuple(far), forced, prefix
        self._peer = _octets(peer)
        self._current = ""
        """The key that was installed last, by us: empty where an earlier run did it, or nobody."""
        self._handshake_s = 0.0
        """When the last handshake was that came before it."""

    def prepare(self) -> None:
        """Make a handshake without a key of ours impossible, and put the guard up.

        Where the guard stands the key of the device is ours, of an earlier run perhaps, and stays.
        """
        peer = self._device.peer(self._peer)
        self._demand_outside(peer.endpoint)
        if not (peer.keyed and guard.stands(self._name, self._prefix)):
            self._shut()
        guard.put_up(self._name, self._far, self._prefix)

    def install(self, key: NewKey) -> None:
        """Set the key for the next handshake; the session that runs goes on, unless the change is forced."""
        if len(key.octets) != PSK_OCTETS:
            raise ConsumerFailure(f"WireGuard takes keys of {8 * PSK_OCTETS} bits, not {8 * len(key.octets)}")
        if self._forced:
            self._wait_apart()
        self._device.set_key(self._peer, key.octets, anew=self._forced)
        self._current = key.key_id
        # asked after, so that one that came in between is not taken for one under the key; a peer put back has none
        self._handshake_s = 0.0 if self._forced else self._device.peer(self._peer).handshake_s

    def prove(self, key_id: str) -> Proof:
        """Return whether a handshake came since `key_id` was installed."""
        told = self._lack(key_id)
        return Proof(key_id=key_id, in_use=not told, shown_by=told or "a handshake since the key was installed")

    def retire(self, key_id: str) -> None:
        """Forget the key: one that was replaced is gone already; in place of the last one comes a random one.

        Where an earlier run installed the last one it may be this one, and so it goes.
        """
        if self._current in (key_id, ""):
            self._shut()
            self._current = ""

    def _lack(self, key_id: str) -> str:
        """Return what is missing to say that traffic runs under the key."""
        if not self._current or key_id != self._current:
            return "another key was installed since" if self._current else "it was not installed in this run"
        peer = self._device.peer(self._peer)
        if not peer.keyed:
            return "the device holds no key: it was started anew"
        if peer.handshake_s in (0.0, self._handshake_s):
            idle = "" if peer.keepalive_s else "; without PersistentKeepalive an idle tunnel makes none"
            return f"no handshake since the key was installed{idle}"
        return ""

    def _wait_apart(self) -> None:
        since_s = time.time() - self._device.peer(self._peer).handshake_s
        if 0 <= since_s < APART_S:
            time.sleep(APART_S - since_s)

    def _shut(self) -> None:
        # both ends draw their own: no handshake can succeed, and the session ends with the peer that is put back
        with Secret(secrets.token_bytes(PSK_OCTETS)) as nobodys:
            self._device.set_key(self._peer, nobodys, anew=True)

    def _demand_outside(self, endpoint: str) -> None:
        with suppress(ValueError):
            address = ipaddress.ip_network(endpoint.rpartition(":")[0].strip("[]").partition("%")[0])
            if guard.overlaps(address, self._far):
                raise ConsumerFailure(
                    f"the peer's endpoint {endpoint} lies in a far network: the guard would stop WireGuard itself",
                    hint="leave the carrier's addresses out of far",
                )


def make(settings: Settings, role: Role) -> WireGuard:
    """Return the consumer of an agent's table: device, peer, far (networks, with spaces), change, socket.

    Without a socket of wireguard-go the device is spoken to by wg(8). Raises `InvalidInput` with the field.
    """
    name = str(settings.get("device", ""))
    far = str(settings.get("far", "")).split()
    demand_known(settings, ("device", "peer", "far", "change", "socket"))
    guard.rules(name, far)
    change = settings.get("change", "lazy")
    if change not in ("lazy", "forced"):
        raise unusable("change", f"{change!r} is no change", 'write "lazy" (acts within two minutes) or "forced"')
    path = Path(str(settings.get("socket", SOCKETS / f"{name}.sock")))
    device = Uapi(path) if "socket" in settings or path.exists() else WgTool(name)
    return WireGuard(
        device, str(settings.get("peer", "")), name, far, forced=change == "forced" and role is Role.INITIATOR
    )


def _octets(public_key: str) -> bytes:
    octets = b""
    with suppress(ValueError):
        octets = base64.b64decode(public_key, validate=True)
    if len(octets) != PSK_OCTETS:
        raise unusable("peer", "this is no public key of WireGuard", "write it as `wg show` does, 44 characters")
    return octets
