"""A wireguard-go at each end of a corridor, set up as by `wg-quick`: peers that know each other, and no common key.

Each has a /run of its own, on a tmpfs that ends with it: the socket that wireguard-go makes there does not outlive it.
"""

import os
import secrets
from base64 import b64encode
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from keystrand.edge.consumers.wireguard_device import PSK_OCTETS, Uapi
from keystrand.edge.daemons import Daemon, program, run
from keystrand.edge.files import write_atomic
from keystrand.edge.pilot.ends import TUNNEL_METRIC, Ends

KEEPALIVE_S = 25
"""wg(8), PersistentKeepalive: `a sensible interval that works with a wide variety of firewalls is 25 seconds`."""
_PORT = 51820
_OWN_RUN = ("sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")


class WireGuards:
    """The pair, with a random device name each."""

    def __init__(self, ends: Ends, *, keepalive_s: int = KEEPALIVE_S) -> None:
        self.ends, self._keepalive_s = ends, keepalive_s
        self.devices = _name(), _name()
        self._privates = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.publics = self._public(0), self._public(1)
        self.daemons = self._made(0), self._made(1)
        self._sockets = [Path(), Path()]

    def begin(self) -> None:
        """Start both, with addresses and routes. Raises `MissingInput`, `PeerUnavailable`."""
        for at, (space, daemon) in enumerate(zip(self.ends.spaces, self.daemons, strict=True)):
            self.ends.care.add(daemon)
            daemon.start(partial(self._found, at))
            write_atomic(self.file(at), self._conf(at), mode=0o600)
            # by /proc, for our folder may lie under the /run that is hidden there
            file = f"/proc/{os.getpid()}/root{self.file(at).resolve()}"
            run(*self.prefix(at), program("wg", "wireguard-tools"), "setconf", self.devices[at], file)
            space.run("ip", "link", "set", self.devices[at], "up")
            self.route(at)

    def route(self, at: int) -> None:
        """Route the other's network into the tunnel at one end, before the ordinary way."""
        self.ends.spaces[at].run(
            "ip", "route", "replace", self.ends.networks[1 - at], "dev", self.devices[at], "src", self.ends.host(at),
            "metric", str(TUNNEL_METRIC),
        )  # fmt: skip

    def file(self, at: int) -> Path:
        """Return the file with the configuration of one end, as wg(8) has it; it holds keys."""
        return self.ends.folder / f"wg-{at}.conf"

    def socket(self, at: int) -> Path:
        """Return where the device at one end is spoken to, by whoever is outside."""
        return self._sockets[at]

    def device(self, at: int) -> Uapi:
        """Return the device at one end."""
        return Uapi(self.socket(at))

    def prefix(self, at: int) -> tuple[str, ...]:
        """Return what lets wg(8) find the device at one end."""
        return program("nsenter", "util-linux"), f"--target={self.daemons[at].pid}", "--net", "--mount", "--"

    def _found(self, at: int) -> bool:
        # not by /var/run, a link that would lead out of the namespace again
        self._sockets[at] = Path(f"/proc/{self.daemons[at].pid}/root/run/wireguard/{self.devices[at]}.sock")
        return self._sockets[at].exists()

    def _public(self, at: int) -> str:
        return b64encode(self._privates[at].public_key().public_bytes_raw()).decode()

    def _made(self, at: int) -> Daemon:
        prefix = (*self.ends.prefix(at), program("unshare", "util-linux"), "--mount", *_OWN_RUN)
        command = (program("wireguard-go", "wireguard-go"), "-f", self.devices[at])
        return Daemon(command, self.ends.folder / f"wireguard-{at}.log", prefix=prefix)

    def _conf(self, at: int) -> bytes:
        """Return the file of one end. Its pre-shared key nobody else has: no handshake before the agent gives one."""
        ends = self.ends
        return b"\n".join((
            b"[Interface]",
            b"PrivateKey = " + b64encode(self._privates[at].private_bytes_raw()),
            b"ListenPort = %d" % (_PORT + at),
            b"",
            b"[Peer]",
            f"PublicKey = {self.publics[1 - at]}".encode(),
            b"PresharedKey = " + b64encode(secrets.token_bytes(PSK_OCTETS)),
            f"Endpoint = {ends.addresses[1 - at]}:{_PORT + 1 - at}".encode(),
            f"AllowedIPs = {ends.networks[1 - at]}".encode(),
            b"PersistentKeepalive = %d" % self._keepalive_s,
            b"",
        ))  # fmt: skip


def _name() -> str:
    return f"kst{secrets.token_hex(4)}"
