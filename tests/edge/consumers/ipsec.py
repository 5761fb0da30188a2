"""A pair of real charons over the corridor, for tests of strongSwan."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.edge.consumers.corridor import CARRIER, FAR, Corridor, corridor

from keystrand.edge.consumers.base import ConsumerFailure, Role
from keystrand.edge.consumers.strongswan import StrongSwan, connection_of
from keystrand.edge.consumers.vici import Message, Vici
from keystrand.edge.daemons import Daemon, program
from keystrand.edge.pki import Credentials, Kind, issue_pki

NEAR = "10.1.0.0/24"
PROGRAMS = ("charon-systemd", "swanctl", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")
_CONF = """
charon-systemd {{
  load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey kdf hmac kernel-libipsec kernel-netlink socket-default vici
  retransmit_tries = 2
  retransmit_timeout = 0.5
  retransmit_base = 1.4
  filelog {{
    log {{
      path = {log}
      default = 2
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
  }}
}}
"""
_CONNECTION = """
local_addrs = ["{own}"]
remote_addrs = ["{peer}"]
proposals = ["aes256gcm16-prfsha384-ecp384"]
encap = true

[local]
auth = "pubkey"
id = "CN=sae {name}"
certs = ["pki/sae-{name}.pem"]

[remote]
auth = "pubkey"
id = "CN=sae {other}"

[children.net]
local_ts = ["{near}"]
remote_ts = ["{far}"]
esp_proposals = ["aes256gcm16-ecp384"]
"""


class Ipsec(NamedTuple):
    """A corridor with a charon at each end, site a the initiator; the folder has all files."""

    corridor: Corridor
    folder: Path
    charons: tuple[Daemon, Daemon]
    files: tuple[Credentials, Credentials]

    def start(self, at: int) -> None:
        """Start the charon at one end with its credentials."""
        self.charons[at].start(lambda: _answers(self.socket(at)))
        self.give_credentials(at)

    def give_credentials(self, at: int) -> None:
        """Give the charon at one end what `swanctl --load-creds` would."""
        with Vici(self.socket(at)) as charon:
            charon.command("load-cert", {"type": "x509", "flag": "CA", "data": self.files[at].ca.read_bytes()})
            charon.command("load-key", {"type": "any", "data": self.files[at].key.read_bytes()})

    def socket(self, at: int) -> Path:
        """Return where the charon at one end is spoken to."""
        return self.folder / f"{at}.vici"

    def made(self, at: int) -> StrongSwan:
        """Return the consumer at one end, without memory of an earlier one."""
        space = (self.corridor.a, self.corridor.b)[at]
        role = (Role.INITIATOR, Role.RESPONDER)[at]
        far = (FAR, NEAR)[at]
        return StrongSwan(
            self.socket(at), "corridor", self.connection(at), role, [far], device="ipsec0", prefix=space.prefix
        )  # fmt: skip

    def connection(self, at: int) -> Message:
        """Return the connection at one end, as it is given to charon."""
        return connection_of(self.folder / f"{at}.toml", [(FAR, NEAR)[at]])


@contextmanager
def ipsec(folder: Path) -> Iterator[Ipsec]:
    """Yield the pair, each with its certificate and private key, and no connection."""
    pki = issue_pki(folder / "pki", kmes=(), saes=("a", "b"), days=1, now=datetime.now(UTC))
    with corridor(folder) as made:
        made.a.run("ip", "address", "add", "10.1.0.1/24", "dev", "lo")
        made.b.run("ip", "route", "add", NEAR, "via", CARRIER[0], "metric", "100")
        charons = []
        for at, (space, name) in enumerate(((made.a, "a"), (made.b, "b"))):
            path = folder / f"{at}.vici"
            (folder / f"{at}.conf").write_text(_CONF.format(socket=path, log=folder / f"ike-{at}.log"))
            daemon = Daemon([program("charon-systemd", "charon-systemd")], folder / f"charon-{at}.log",
                            env={"STRONGSWAN_CONF": str(folder / f"{at}.conf")}, prefix=space.prefix)  # fmt: skip
            made.care.add(daemon)
            (folder / f"{at}.toml").write_text(
                _CONNECTION.format(
                    own=CARRIER[at], peer=CARRIER[1 - at], name=name, other="ba"[at],
                    near=(NEAR, FAR)[at], far=(FAR, NEAR)[at],
                )
            )  # fmt: skip
            charons.append(daemon)
        pair = Ipsec(made, folder, (charons[0], charons[1]), (pki.of(Kind.SAE, "a"), pki.of(Kind.SAE, "b")))
        for at in (0, 1):
            pair.start(at)
        yield pair


def _answers(path: Path) -> bool:
    try:
        with Vici(path) as charon:
            return bool(charon.command("version"))
    except ConsumerFailure:
        return False
