"""A charon at each end of a corridor, with certificates of their own, and no connection yet.

ESP is done in user space (kernel-libipsec), so that no module of the kernel is needed: packets under protection leave
by the device `ipsec0`.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.consumers.strongswan import connection_of
from keystrand.edge.consumers.vici import Message, Vici
from keystrand.edge.daemons import Daemon, program
from keystrand.edge.files import write_atomic
from keystrand.edge.pilot.ends import Ends
from keystrand.edge.pki import Credentials, Kind, issue_pki
from keystrand.model.errors import InvalidInput

DEVICE = "ipsec0"
PLUGIN = Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")
NAMES = ("a", "b")
CHILD = "net"
_PKI_DAYS = 1
_PATH_MOST = 107
"""unix(7): `sun_path` has 108 octets with its end."""
# retransmit_timeout: the peer's answer to IKE_AUTH may be lost, and it sends by the new SA already
_CONF = """
charon-systemd {{
  load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey kdf hmac kernel-libipsec kernel-netlink socket-default vici
  retransmit_tries = 4
  retransmit_timeout = 0.2
  retransmit_base = 1.4
  filelog {{
    log {{
      path = {log}
      default = 1
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
# childless, and no exchange of the child's own: what the responder already sends under the new SA is lost until the
# initiator has it too, so no certificate is checked and no secret computed in between. The child's keys come from the
# IKE_SA, which is a new one with every key. For the same reason the log above is at its ordinary level.
# mobike = false: the site has addresses of other tunnels too, and charon would try to go on by one of them
_CONNECTION = """\
local_addrs = ["{own}"]
remote_addrs = ["{peer}"]
proposals = ["aes256gcm16-prfsha384-ecp384"]
encap = true
childless = "force"
mobike = false

[local]
auth = "pubkey"
id = "CN=sae {name}"
certs = ["pki/sae-{name}.pem"]

[remote]
auth = "pubkey"
id = "CN=sae {other}"

[children.{child}]
local_ts = ["{near}"]
remote_ts = ["{far}"]
esp_proposals = ["aes256gcm16"]
"""


class Charons:
    """The pair. The folder has all files."""

    def __init__(self, ends: Ends) -> None:
        self.ends, self.folder = ends, ends.folder
        self.files: tuple[Credentials, Credentials]
        self.daemons = self._made(0), self._made(1)

    def begin(self) -> None:
        """Write what an operator would, and start both.

        Raises `InvalidInput` where the folder's name is too long, `MissingInput`, `PeerUnavailable`, `ConsumerFailure`.
        """
        if len(os.fsencode(self.socket(0))) > _PATH_MOST:
            raise InvalidInput(
                f"{self.socket(0)} is too long for the name of a socket", hint="use a folder with a shorter path"
            )
        pki = issue_pki(self.folder / "pki", kmes=(), saes=NAMES, days=_PKI_DAYS, now=datetime.now(UTC))
        self.files = pki.of(Kind.SAE, NAMES[0]), pki.of(Kind.SAE, NAMES[1])
        for at, daemon in enumerate(self.daemons):
            write_atomic(self.confs[at], _CONF.format(socket=self.socket(at), log=self.log(at)).encode())
            write_atomic(self.file(at), self._connection(at).encode())
            self.ends.care.add(daemon)
            self.start(at)

    def start(self, at: int) -> None:
        """Start the charon at one end and give it its credentials."""
        self.daemons[at].start(lambda: _answers(self.socket(at)))
        self.give_credentials(at)

    def give_credentials(self, at: int) -> None:
        """Give the charon at one end what `swanctl --load-creds` would."""
        with Vici(self.socket(at)) as charon:
            charon.command("load-cert", {"type": "x509", "flag": "CA", "data": self.files[at].ca.read_bytes()})
            charon.command("load-key", {"type": "any", "data": self.files[at].key.read_bytes()})

    def socket(self, at: int) -> Path:
        """Return where the charon at one end is spoken to."""
        return self.folder / f"{at}.vici"

    def log(self, at: int) -> Path:
        """Return where it says what it does."""
        return self.folder / f"ike-{at}.log"

    def file(self, at: int) -> Path:
        """Return the file with the connection of one end."""
        return self.folder / f"{at}.toml"

    def connection(self, at: int) -> Message:
        """Return the connection at one end, as it is given to charon."""
        return connection_of(self.file(at), [self.ends.networks[1 - at]])

    @property
    def confs(self) -> tuple[Path, Path]:
        """Return the files with the settings of each."""
        return self.folder / "0.conf", self.folder / "1.conf"

    def _made(self, at: int) -> Daemon:
        return Daemon(
            [program("charon-systemd", "charon-systemd")], self.folder / f"charon-{at}.log",
            env={"STRONGSWAN_CONF": str(self.confs[at])}, prefix=self.ends.prefix(at),
        )  # fmt: skip

    def _connection(self, at: int) -> str:
        addresses, networks = self.ends.addresses, self.ends.networks
        return _CONNECTION.format(
            own=addresses[at], peer=addresses[1 - at], name=NAMES[at], other=NAMES[1 - at], child=CHILD,
            near=networks[at], far=networks[1 - at],
        )  # fmt: skip


def _answers(path: Path) -> bool:
    try:
        with Vici(path) as charon:
            return bool(charon.command("version"))
    except ConsumerFailure:
        return False
