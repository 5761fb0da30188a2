"""A pair of real wireguard-go over the corridor, for tests of WireGuard."""

import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.edge.consumers.corridor import CARRIER, FAR, Corridor, corridor

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.wireguard import Place, WireGuard
from keystrand.edge.consumers.wireguard_device import Device, Uapi, WgTool
from keystrand.edge.daemons import Daemon, program

PROGRAMS = ("wireguard-go", "wg")


class Tunnel(NamedTuple):
    """A corridor with WireGuard over it; `made` makes the consumer of one end."""

    corridor: Corridor
    publics: tuple[str, str]
    devices: tuple[str, str]
    daemons: tuple[Daemon, Daemon]

    def socket(self, at: int) -> Path:
        """Return where the device at one end is spoken to."""
        return Path(f"/var/run/wireguard/{self.devices[at]}.sock")

    def made(self, at: int, *, forced: bool = False, by_tool: bool = False, far: str = FAR) -> WireGuard:
        """Return the consumer at one end, without memory of an earlier one."""
        space = (self.corridor.a, self.corridor.b)[at]
        networks = (far, "10.8.0.0/24") if at == 0 else ("10.8.0.0/24",)
        place = Place(self.devices[at], networks, self.corridor.folder / "run", space.prefix)
        device: Device = WgTool(self.devices[at], space.prefix) if by_tool else Uapi(self.socket(at))
        return WireGuard(device, self.publics[1 - at], place, forced=forced)


@contextmanager
def wireguard_pair(folder: Path) -> Iterator[Tunnel]:
    """Yield two peers that know each other's public keys, with a random device name each."""
    privates = (X25519PrivateKey.generate(), X25519PrivateKey.generate())
    publics = tuple(p.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for p in privates)
    devices = tuple(f"kst{secrets.token_hex(4)}" for _ in range(2))
    with corridor(folder) as made:
        daemons = []
        for at, space in enumerate((made.a, made.b)):
            path = Path(f"/var/run/wireguard/{devices[at]}.sock")
            daemon = Daemon(
                [program("wireguard-go", "wireguard-go"), "-f", devices[at]],
                folder / f"{at}.log",
                prefix=space.prefix,
            )
            made.care.add(daemon)
            daemon.start(path.exists)
            daemons.append(daemon)
            allowed = ("10.8.0.0/24", FAR) if at == 0 else ("10.8.0.0/24",)
            lines = [f"private_key={privates[at].private_bytes_raw().hex()}", f"listen_port={51820 + at}",
                     f"public_key={publics[1 - at].hex()}", f"endpoint={CARRIER[1 - at]}:{51820 + 1 - at}",
                     *(f"allowed_ip={network}" for network in allowed)]  # fmt: skip
            Uapi(path).told([*lines, "preshared_key=PSK"], Secret(bytes(32)))
            space.run("ip", "address", "add", f"10.8.0.{at + 1}/24", "dev", devices[at])
            space.run("ip", "link", "set", devices[at], "up")
        made.a.run("ip", "route", "add", FAR, "dev", devices[0], "src", "10.8.0.1", "metric", "10")
        names = b64encode(publics[0]).decode(), b64encode(publics[1]).decode()
        yield Tunnel(made, names, (devices[0], devices[1]), (daemons[0], daemons[1]))
