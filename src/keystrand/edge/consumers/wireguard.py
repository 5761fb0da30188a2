"""WireGuard with keys from the KMEs as its pre-shared key.

The pre-shared key is mixed into the next handshake (the Noise pattern IKpsk2), not into the session that runs. So a
lazy change loses nothing and acts within two minutes, when WireGuard makes its next handshake; a forced one removes the
peer and puts it back in one transaction, and acts at once. The responder is always changed lazily and first.

Nothing names a key here: the proof is a handshake that came after the key was installed. Which key that was, and when
the last handshake before it, stands in a file that lives as long as the device, not as long as we do.
"""

import base64
import ipaddress
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings, unusable
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.consumers.wireguard_device import PSK_OCTETS, Device, Uapi, WgTool
from keystrand.edge.files import write_atomic
from keystrand.model.errors import StoreFailure

SOCKETS = Path("/var/run/wireguard")
RUN = Path("/run/keystrand")
"""Where we remember what the device holds: on a tmpfs, so that no restart of the machine leaves it there."""
APART_S = 0.1
"""How far apart two handshakes must be. The peer drops one that comes within 20 ms of the last (wireguard-go,
device/constants.go, HandshakeInitationRate), and the next is tried only after 5 s (RekeyTimeout there).
"""
ANSWER_S = 0.5
"""How long a forced handshake may go unanswered before it is begun anew; more than the way there and back takes."""
TRIES = 3
"""How often it is begun in all. The last is left to WireGuard, for a way that is longer than `ANSWER_S`."""
_IDLE_S = 0.1
"""How long a peer put back may have sent nothing, before it counts as one with nothing to send: it tries none then."""
_LOOK_S = 0.005


class Place(NamedTuple):
    """A device by name, the networks behind it, which the guard keeps to it, and the folder where we remember.

    `prefix` comes before a command that must run where the device is (`daemons.Space`).
    """

    name: str
    far: tuple[str, ...]
    run: Path = RUN
    prefix: tuple[str, ...] = ()


class Installed(Struct, frozen=True, kw_only=True):
    """The key that the device was given last, and when the last handshake before it was (s, 0 for none)."""

    key_id: str
    handshake_s: float


class WireGuard:
    """One peer of one device."""

    def __init__(self, device: Device, peer: str, place: Place, *, forced: bool) -> None:
        self._device, self._place, self._forced = device, place, forced
        self._peer = _octets(peer)
        self._file = place.run / f"wireguard-{place.name}-{self._peer.hex()[:16]}.json"
        self._begun_s = 0.0

    def prepare(self) -> None:
        """Put the guard up, and make a handshake without a key of ours impossible; one of ours stays."""
        try:
            peer = self._device.peer(self._peer)
        except ConsumerFailure:
            self._guard()  # what would go by a device that is not there goes by another
            raise
        self._demand_outside(peer.endpoint)
        self._guard()
        if not (peer.keyed and self._installed()):
            self._shut()

    def install(self, key: NewKey) -> None:
        """Set the key for the next handshake; the session that runs goes on, unless the change is forced."""
        if len(key.octets) != PSK_OCTETS:
            raise ConsumerFailure(f"WireGuard takes keys of {8 * PSK_OCTETS} bits, not {8 * len(key.octets)}")
        self._guard()
        if self._forced:
            self._put_back(key.octets)
        else:
            self._device.set_key(self._peer, key.octets, anew=False)
        # asked after, so that one that came in between is not taken for one under the key; a peer put back has none
        handshake_s = 0.0 if self._forced else self._device.peer(self._peer).handshake_s
        self._remember(Installed(key_id=key.key_id, handshake_s=handshake_s))
        if self._forced:
            self._insist(key.octets)

    def prove(self, key_id: str) -> Proof:
        """Return whether a handshake came since `key_id` was installed."""
        told = self._lack(key_id)
        return Proof(key_id=key_id, in_use=not told, shown_by=told or "a handshake since the key was installed")

    def retire(self, key_id: str) -> None:
        """Forget the key: one that was replaced is gone already; in place of the last one comes a random one.

        Where it is not known which key the device holds it may be this one, and so it goes.
        """
        installed = self._installed()
        if installed is None or installed.key_id == key_id:
            self._shut()
            self._file.unlink(missing_ok=True)

    def _lack(self, key_id: str) -> str:
        """Return what is missing to say that traffic runs under the key."""
        installed = self._installed()
        if installed is None or installed.key_id != key_id:
            return "another key was installed since" if installed else "it was not installed"
        peer = self._device.peer(self._peer)
        if not peer.keyed:
            return "the device holds no key: it was started anew"
        if peer.handshake_s in (0.0, installed.handshake_s):
            idle = "" if peer.keepalive_s else "; without PersistentKeepalive an idle tunnel makes none"
            return f"no handshake since the key was installed{idle}"
        return ""

    def _guard(self) -> None:
        guard.put_up(self._place.name, self._place.far, self._place.prefix)

    def _installed(self) -> Installed | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Installed)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConsumerFailure(
                f"{self._file}: not to be read: {error}",
                hint="remove it: the key in use is then taken for a stranger's",
            ) from error

    def _remember(self, installed: Installed) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._file, msgspec.json.encode(installed), mode=0o600)
        except (OSError, StoreFailure) as error:
            raise ConsumerFailure(f"{self._file} cannot be written: {error}; the device holds the new key") from error

    def _put_back(self, key: Secret) -> None:
        """Put the peer back with `key`, which ends its session: the next packet, or its keepalive, begins another."""
        # one that got no answer counts too, and no device tells of it
        since_s = time.time() - max(self._begun_s, self._device.peer(self._peer).handshake_s)
        if 0 <= since_s < APART_S:
            time.sleep(APART_S - since_s)
        self._device.set_key(self._peer, key, anew=True)
        self._begun_s = time.time()

    def _insist(self, key: Secret) -> None:
        """Begin the handshake anew where nobody answers it: one that is lost WireGuard tries again only after 5 s."""
        for _ in range(TRIES - 1):
            if not self._unanswered():
                return
            self._put_back(key)

    def _unanswered(self) -> bool:
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < ANSWER_S:
            peer = self._device.peer(self._peer)
            if peer.handshake_s or (not peer.sent and passed_s > _IDLE_S):
                return False
            time.sleep(_LOOK_S)
        return True

    def _shut(self) -> None:
        # both ends draw their own: no handshake can succeed, and the session ends with the peer that is put back
        with Secret(secrets.token_bytes(PSK_OCTETS)) as nobodys:
            self._put_back(nobodys)

    def _demand_outside(self, endpoint: str) -> None:
        with suppress(ValueError):
            address = ipaddress.ip_network(endpoint.rpartition(":")[0].strip("[]").partition("%")[0])
            if guard.overlaps(address, self._place.far):
                raise ConsumerFailure(
                    f"the peer's endpoint {endpoint} lies in a far network: the guard would stop WireGuard itself",
                    hint="leave the carrier's addresses out of far",
                )


class WireGuardSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer's table. `far`: networks, with spaces between them. `change`: lazy acts within two minutes.

    `socket` is that of wireguard-go; where it is not there either the device is spoken to by wg(8). `run` is the folder
    that remembers which key the device holds; it should not outlive a start of the machine.
    """

    device: str
    peer: str
    far: str
    change: Literal["lazy", "forced"] = "lazy"
    socket: str = ""
    run: str = str(RUN)


def make(settings: Settings, role: Role) -> WireGuard:
    """Return the consumer of an agent's table. Raises `InvalidInput` with the fields."""
    told = read_settings(settings, WireGuardSettings)
    far = tuple(told.far.split())
    guard.rules(told.device, far)
    path = Path(told.socket) if told.socket else SOCKETS / f"{told.device}.sock"
    device = Uapi(path) if told.socket or path.exists() else WgTool(told.device)
    forced = told.change == "forced" and role is Role.INITIATOR
    return WireGuard(device, told.peer, Place(told.device, far, Path(told.run)), forced=forced)


def _octets(public_key: str) -> bytes:
    octets = b""
    with suppress(ValueError):
        octets = base64.b64decode(public_key, validate=True)
    if len(octets) != PSK_OCTETS:
        raise unusable("peer", "this is no public key of WireGuard", "write it as `wg show` does, 44 characters")
    return octets
