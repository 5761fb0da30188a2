"""A WireGuard device and its peers: told over the UAPI socket of wireguard-go, or by wg(8) where the kernel has it.

UAPI: the page `Cross-platform Userspace Implementation` of the project, `Configuration Protocol`.
"""

import base64
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.daemons import program

PSK_OCTETS = 32
_TIMEOUT_S = 5.0
_ANSWER_MOST = 1 << 20
_NO_PEER = "add the peer to the device, then start again"


class Peer(NamedTuple):
    """What a device says of one peer.

    `handshake_s`: the time of the last handshake in s, 0 for none. `keyed`: it has a pre-shared key, whichever.
    `endpoint`: `ADDRESS:PORT`, empty where it is not known. `keepalive_s`: 0 for none. `sent`: octets, since it was put
    there, handshakes included.
    """

    handshake_s: float = 0.0
    keyed: bool = False
    endpoint: str = ""
    keepalive_s: int = 0
    allowed: tuple[str, ...] = ()
    sent: int = 0


class Device(Protocol):
    """One device. Peers are named by their public keys of 32 octets."""

    def peer(self, public: bytes) -> Peer:
        """Return what it says of a peer. Raises `ConsumerFailure` where it has none."""

    def set_key(self, public: bytes, key: Secret, *, anew: bool) -> None:
        """Set the pre-shared key for the next handshake; `anew`: of a peer put back, so that its session ends.

        Raises `ConsumerFailure`.
        """


class Uapi:
    """A device by its socket. What it answers of keys is not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def peer(self, public: bytes) -> Peer:
        """See `Device`."""
        found, ours = Peer(), False
        seen = False
        for line in self._answer(bytearray(b"get=1\n\n")):
            name, _, value = line.partition("=")
            if name == "public_key":
                ours = value == public.hex()
                seen |= ours
            elif ours:
                found = _with(found, name, value)
        if not seen:
            raise ConsumerFailure(f"{self._path}: the device has no such peer", hint=_NO_PEER)
        return found

    def set_key(self, public: bytes, key: Secret, *, anew: bool) -> None:
        """See `Device`. A peer is removed and put back in one transaction."""
        ours = f"public_key={public.hex()}"
        if not anew:
            self.told((ours, "update_only=true", "preshared_key=PSK"), key)
            return
        peer = self.peer(public)
        lines = [ours, "remove=true", ours, "preshared_key=PSK"]
        lines += [f"endpoint={peer.endpoint}"] if peer.endpoint else []
        # last: where it is not 0 it makes the device begin a handshake
        lines += [*(f"allowed_ip={one}" for one in peer.allowed), f"persistent_keepalive_interval={peer.keepalive_s}"]
        self.told(lines, key)

    def told(self, lines: Sequence[str], key: Secret) -> None:
        """Set `lines`, in which the word PSK stands for `key`. Raises `ConsumerFailure`."""
        before, _, after = "\n".join(("set=1", *lines)).partition("PSK")
        text = bytearray(before.encode()) + bytearray(2 * len(key)) + bytearray(f"{after}\n\n".encode())
        for at, octet in enumerate(key.view()):
            text[len(before) + 2 * at : len(before) + 2 * at + 2] = b"%02x" % octet
        try:
            self._answer(text)
        finally:
            text[:] = bytes(len(text))

    def _answer(self, text: bytearray) -> list[str]:
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(_TIMEOUT_S)
                line.connect(str(self._path))
                line.sendall(text)
                while not answer.endswith(b"\n\n") and len(answer) < _ANSWER_MOST and (more := line.recv(65536)):
                    answer += more
        except OSError as error:
            told = error.strerror or error
            raise ConsumerFailure(f"{self._path}: {told}", hint="is wireguard-go running?") from error
        lines = list(map(_without_key, answer.split(b"\n")))
        answer[:] = bytes(len(answer))
        if "errno=0" not in lines:
            raise ConsumerFailure(f"{self._path} refused: {next((x for x in lines if 'errno' in x), 'no answer')}")
        return lines


class WgTool:
    """A device by wg(8), of the kernel or of a program. `prefix`: how a command gets to where the device is."""

    def __init__(self, device: str, prefix: Sequence[str] = ()) -> None:
        self._device, self._prefix = device, tuple(prefix)

    def peer(self, public: bytes) -> Peer:
        """See `Device`."""
        name = base64.b64encode(public).decode()
        handshakes, endpoints, allowed, keepalives, moved = (
            self._shown(what)
            for what in ("latest-handshakes", "endpoints", "allowed-ips", "persistent-keepalive", "transfer")
        )
        if name not in handshakes:
            raise ConsumerFailure(f"{self._device}: the device has no such peer", hint=_NO_PEER)
        return Peer(
            float(handshakes[name]), self._keyed(name), endpoints[name].replace("(none)", ""),
            int(keepalives[name].replace("off", "0")), tuple(allowed[name].replace("(none)", "").split()),
            int(moved[name].partition("\t")[2]),
        )  # fmt: skip

    def set_key(self, public: bytes, key: Secret, *, anew: bool) -> None:
        """See `Device`. The key goes to wg(8) by its standard input."""
        name = base64.b64encode(public).decode()
        words = ["peer", name, "preshared-key", "/dev/stdin"]
        if anew:
            peer = self.peer(public)
            words = ["peer", name, "remove", *words, *(["endpoint", peer.endpoint] if peer.endpoint else [])]
            words += ["allowed-ips", ",".join(peer.allowed), "persistent-keepalive", str(peer.keepalive_s)]
        self._run("set", self._device, *words, given=base64.b64encode(key.view()))

    def _shown(self, what: str) -> dict[str, str]:
        told = self._run("show", self._device, what)
        return {name: value for name, _, value in (line.partition("\t") for line in told.splitlines())}

    def _keyed(self, name: str) -> bool:
        # the form for people says that there is a key, and hides it
        _, _, after = self._run("show", self._device).partition(f"peer: {name}\n")
        return "preshared key:" in after.partition("peer: ")[0]

    def _run(self, *words: str, given: bytes = b"") -> str:
        command = [*self._prefix, program("wg", "wireguard-tools"), *words]
        try:
            done = subprocess.run(  # noqa: S603 - wg as installed, with words that were checked or come from itself
                command, input=given, check=False, capture_output=True, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise ConsumerFailure(f"wg {words[0]} {self._device} was not done within {_TIMEOUT_S:g} s") from None
        if done.returncode:
            told = " ".join(done.stderr.decode(errors="replace").split())
            raise ConsumerFailure(f"wg {words[0]} {self._device}: {told}", hint="is the device there? it needs root")
        return done.stdout.decode(errors="replace")


def _without_key(line: bytearray) -> str:
    """Return a line of UAPI; of one with a secret key only whether there is any."""
    name, _, value = line.partition(b"=")
    if bytes(name) in (b"private_key", b"preshared_key"):
        known = "set" if value.strip(b"0") else ""
        value[:], line[:] = bytes(len(value)), bytes(len(line))
        return f"{name.decode()}={known}"
    return line.decode("ascii", "replace")


def _with(peer: Peer, name: str, value: str) -> Peer:
    match name:
        case "endpoint":
            peer = peer._replace(endpoint=value)
        case "allowed_ip":
            peer = peer._replace(allowed=(*peer.allowed, value))
        case "persistent_keepalive_interval":
            peer = peer._replace(keepalive_s=int(value))
        case "tx_bytes":
            peer = peer._replace(sent=int(value))
        case "preshared_key":
            peer = peer._replace(keyed=bool(value))
        case "last_handshake_time_sec":
            peer = peer._replace(handshake_s=peer.handshake_s + float(value))
        case "last_handshake_time_nsec":
            peer = peer._replace(handshake_s=peer.handshake_s + float(value) * 1e-9)
    return peer
