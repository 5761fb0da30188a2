"""WireGuard with keys from the KMEs as its pre-shared key, over the cross-platform UAPI socket of wireguard-go.

The pre-shared key is mixed into the next handshake (the Noise pattern IKpsk2), not into the session that runs. So a
lazy change loses nothing and acts within two minutes, when WireGuard makes its next handshake; a forced one removes the
peer and puts it back in one transaction, and acts at once. The responder is always changed lazily and first.

Nothing names a key here: the proof is a handshake that came after the key was installed. UAPI: the page `Cross-platform
Userspace Implementation` of the project, `Configuration Protocol`.
"""

import base64
import binascii
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role
from keystrand.model.errors import InvalidInput

PSK_OCTETS = 32
_TIMEOUT_S = 5.0
_ANSWER_MOST = 1 << 20
_KEPT = ("endpoint", "persistent_keepalive_interval", "allowed_ip")
"""What a peer that is put back needs beside its key."""


class Peer(NamedTuple):
    """What a device says of one peer: the lines that make it, and the time of its last handshake in s (0: never)."""

    lines: tuple[str, ...]
    handshake_s: float


class Uapi:
    """The socket of one device. It is asked and told in lines; what it answers never shows a private key to us."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def told(self, lines: Sequence[str], key: Secret) -> None:
        """Set `lines`, in which the word PSK stands for `key`. Raises `ConsumerFailure`."""
        text = bytearray("\n".join(("set=1", *lines)).encode())
        at = text.find(b"PSK")
        text[at : at + 3] = binascii.hexlify(key.view())
        text += b"\n\n"
        try:
            self._answer(text)
        finally:
            text[:] = bytes(len(text))

    def peer(self, public_key: str) -> Peer:
        """Return the peer with this key (hexadecimal). Raises `ConsumerFailure` where the device has none."""
        lines: list[str] = []
        handshake, ours = 0.0, False
        for line in self._answer(b"get=1\n\n"):
            name, _, value = line.partition("=")
            if name == "public_key":
                ours = value == public_key
                lines += [line] if ours else []
            elif ours and name in _KEPT:
                lines.append(line)
            elif ours and name.startswith("last_handshake_time_"):
                handshake += float(value) * (1 if name.endswith("_sec") else 1e-9)
        if not lines:
            raise ConsumerFailure(f"{self._path}: the device has no such peer", hint="add the peer, then start again")
        return Peer(tuple(lines), handshake)

    def _answer(self, text: bytes | bytearray) -> list[str]:
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(_TIMEOUT_S)
                line.connect(str(self._path))
                line.sendall(text)
                while not answer.endswith(b"\n\n") and len(answer) < _ANSWER_MOST and (more := line.recv(65536)):
                    answer += more
        except OSError as error:
            raise ConsumerFailure(
                f"{self._path}: {error.strerror or error}", hint="is wireguard-go running?"
            ) from error
        # what the device says of its own keys is not kept
        lines = [part for part in bytes(answer).decode("ascii", "replace").split("\n") if "private_key" not in part]
        answer[:] = bytes(len(answer))
        if "errno=0" not in lines:
            raise ConsumerFailure(f"{self._path} refused: {next((x for x in lines if 'errno' in x), 'no answer')}")
        return lines


class WireGuard:
    """One peer of one device. `far` are the networks behind it, which the guard keeps to the tunnel.

    `prefix` comes before a command that must run where the device is (`daemons.Space`).
    """

    def __init__(
        self, uapi: Uapi, peer: str, device: str, far: Sequence[str], *, forced: bool, prefix: Sequence[str] = ()
    ) -> None:
        self._uapi, self._device, self._far, self._forced, self._prefix = uapi, device, tuple(far), forced, prefix
        self._peer = _hexadecimal(peer)
        self._current = ""
        self._installed_s = 0.0

    def prepare(self) -> None:
        """Put the guard up, and make a handshake without a key of ours impossible."""
        guard.put_up(self._device, self._far, self._prefix)
        self._uapi.peer(self._peer)
        if not self._current:
            self._shut()

    def install(self, key: NewKey) -> None:
        """Set the key for the next handshake; the session that runs goes on, unless the change is forced."""
        if len(key.octets) != PSK_OCTETS:
            raise ConsumerFailure(f"WireGuard takes keys of {8 * PSK_OCTETS} bits, not {8 * len(key.octets)}")
        self._set(key.octets, anew=self._forced)
        self._current, self._installed_s = key.key_id, time.time()

    def prove(self, key_id: str) -> Proof:
        """Return whether a handshake came since `key_id` was installed."""
        if key_id != self._current:
            return Proof(key_id=key_id, in_use=False, shown_by="another key was installed since")
        at_s = self._uapi.peer(self._peer).handshake_s
        if at_s <= self._installed_s:
            return Proof(key_id=key_id, in_use=False, shown_by="no handshake since the key was installed")
        after_s = at_s - self._installed_s
        return Proof(key_id=key_id, in_use=True, shown_by=f"a handshake {after_s:.3g} s after the key was installed")

    def retire(self, key_id: str) -> None:
        """Forget the key: one that was replaced is gone already; in place of the last one comes a random one."""
        if key_id == self._current:
            self._shut()
            self._current = ""

    def _shut(self) -> None:
        # both ends draw their own: no handshake can succeed, and the session ends with the peer that is put back
        with Secret(secrets.token_bytes(PSK_OCTETS)) as nobodys:
            self._set(nobodys, anew=True)

    def _set(self, key: Secret, *, anew: bool) -> None:
        if anew:
            ours, *rest = self._uapi.peer(self._peer).lines
            self._uapi.told((ours, "remove=true", ours, "preshared_key=PSK", *rest), key)
        else:
            self._uapi.told((f"public_key={self._peer}", "update_only=true", "preshared_key=PSK"), key)


def wireguard(settings: dict[str, str | int | float | bool], role: Role) -> WireGuard:
    """Return the consumer of an agent's table: device, peer, far (networks, with spaces), change, socket.

    Raises `InvalidInput` with the field.
    """
    device = str(settings.get("device", ""))
    far = str(settings.get("far", "")).split()
    guard.rules(device, far)
    change = settings.get("change", "lazy")
    if change not in ("lazy", "forced"):
        raise InvalidInput(f"change is {change!r}", hint='write "lazy" (acts within two minutes) or "forced"')
    path = Path(str(settings.get("socket", f"/var/run/wireguard/{device}.sock")))
    forced = change == "forced" and role is Role.INITIATOR
    return WireGuard(Uapi(path), str(settings.get("peer", "")), device, far, forced=forced)


def _hexadecimal(public_key: str) -> str:
    octets = b""
    with suppress(ValueError):
        octets = base64.b64decode(public_key, validate=True)
    if len(octets) != PSK_OCTETS:
        raise InvalidInput("peer is no public key of WireGuard", hint="write it as `wg show` does, 44 characters")
    return octets.hex()
