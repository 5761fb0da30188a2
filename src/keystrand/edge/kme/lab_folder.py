"""What a laboratory of KMEs is made of: a folder with a PKI and a configuration for each; all are linked to each other.

Nothing in it is worth protecting: the keys are simulated, and everybody who can read the folder has every certificate.
"""

import fcntl
import itertools
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
from msgspec import UNSET, Struct, UnsetType

from keystrand.edge.devices.twin_source import demand_possible
from keystrand.edge.files import write_atomic
from keystrand.edge.kme.pair import reserve_port
from keystrand.edge.pki import Algorithm, Kind, Pki, issue_pki
from keystrand.model.errors import InvalidInput, StoreFailure

NODES_MOST = 8
"""Every pair of KMEs has a link with a source of its own: a machine has no use for more."""
KEY_BITS = 256
STOCK_KEYS = 10_000
"""How many keys a direction of a link stores where nothing else is asked for."""
OPERATOR = "operator"
_DAYS = 30
"""A lab's certificates outlive it by little."""


class LabWish(Struct, frozen=True, kw_only=True):
    """What a lab is asked to be. `stock`: keys in each direction before it is ready, kept up by its sources.

    `bits_per_s` is the rate of each link, both directions together; `block_bits` what its source delivers at once, None
    for about ten blocks a second. `max_key_count`: keys that each direction may store, None for enough.
    """

    nodes: int = 2
    stock: int = 0
    block_bits: int | None = None
    bits_per_s: float = 1_000_000.0
    algorithm: Algorithm = Algorithm.ECDSA_P256
    max_key_count: int | None = None

    @property
    def pool_keys(self) -> int:
        """How many keys each direction of a link may store."""
        return max(STOCK_KEYS, self.stock + STOCK_KEYS // 10) if self.max_key_count is None else self.max_key_count

    def check(self) -> None:
        """Raise `InvalidInput` where no lab can be like that."""
        if not 2 <= self.nodes <= NODES_MOST:
            raise InvalidInput(f"a lab has 2 to {NODES_MOST} KMEs, not {self.nodes}")
        demand_possible(self.bits_per_s, self.block_bits)
        if self.pool_keys <= self.stock:
            raise InvalidInput(
                f"{self.stock} keys do not fit where {self.pool_keys} are the most",
                hint="raise --max-key-count above --stock, or leave it out",
            )


class LabKme(Struct, frozen=True, kw_only=True):
    """One KME of a running lab."""

    id: str
    url: str
    pid: int
    metrics: str | UnsetType = UNSET


class LabSae(Struct, frozen=True, kw_only=True):
    """One SAE of a lab: its PEM files, and the KME it is served by."""

    id: str
    cert: str
    key: str
    kme: str


class LabOperator(Struct, frozen=True, kw_only=True):
    """The PEM files of the lab's operator."""

    cert: str
    key: str


class LabFile(Struct, frozen=True, kw_only=True):
    """The file lab.json: everything that a program needs to use the lab. All paths are absolute."""

    ca: str
    kmes: tuple[LabKme, ...]
    saes: tuple[LabSae, ...]
    operator: LabOperator


class LabLink(Struct, frozen=True, kw_only=True):
    """A link between two KMEs of the lab."""

    id: str
    kmes: tuple[str, str]

    def module(self, kme: str) -> str:
        """Return the ID of the module that delivers for this link at `kme`."""
        return f"module-{self.id}-{kme}"

    def other(self, kme: str) -> str:
        """Return the KME at the other end."""
        return self.kmes[1 - self.kmes.index(kme)]


class LabFolder:
    """The folder of one lab, claimed for as long as this object lives."""

    def __init__(self, folder: Path, wish: LabWish) -> None:
        """Make everything in `folder`, which must be new or empty.

        Raises `InvalidInput` where it is in use, or the wish cannot be met; `StoreFailure` where it cannot be written.
        """
        wish.check()
        self.path, self.wish = folder.absolute(), wish
        self.kmes = tuple(f"kme-{n}" for n in range(1, wish.nodes + 1))
        self.saes = tuple(f"sae-{n}" for n in range(1, wish.nodes + 1))
        self.links = tuple(
            LabLink(id=f"link-{one}-{two}", kmes=(self.kmes[one - 1], self.kmes[two - 1]))
            for one, two in itertools.combinations(range(1, wish.nodes + 1), 2)
        )
        self._claim = _claim(self.path)
        modules = [link.module(kme) for link in self.links for kme in link.kmes]
        self.pki: Pki = issue_pki(
            self.path / "pki", kmes=self.kmes, saes=self.saes, modules=modules, operators=(OPERATOR,),
            algorithm=wish.algorithm, days=_DAYS, now=datetime.now(UTC),
        )  # fmt: skip
        self._ports: dict[str, socket.socket] = {kme: reserve_port() for kme in self.kmes}
        self._metrics: dict[str, socket.socket] = {kme: reserve_port() for kme in self.kmes}
        for kme in self.kmes:
            write_atomic(self.config(kme), self._configuration(kme).encode(), mode=0o600)

    def config(self, kme: str) -> Path:
        """Return the file of a KME's configuration."""
        return self.path / f"{kme}.toml"

    def url(self, kme: str) -> str:
        """Return where a KME answers."""
        return f"https://127.0.0.1:{_number(self._ports[kme])}"

    def _configuration(self, kme: str) -> str:
        lines = [
            f"kme_id = '{kme}'\nport = {_number(self._ports[kme])}\nstore = '{kme}'\nmaster_key = '{kme}.master'",
            f"[keys]\nkey_size = {KEY_BITS}\nmax_key_count = {self.wish.pool_keys}",
            f"[metrics]\nport = {_number(self._metrics[kme])}",
            f"[tls]\nca = 'pki/ca.pem'\ncertificate = 'pki/kme-{kme}.pem'\nkey = 'pki/kme-{kme}.key'",
            "post_quantum_saes = 'prefer'",
            *(f"[[sae]]\nid = '{sae}'\nkme = '{home}'" for sae, home in zip(self.saes, self.kmes, strict=True)),
            *self._link_tables(kme),
            f"[[operator]]\nid = '{OPERATOR}'",
        ]
        return "\n".join(lines) + "\n"

    def _link_tables(self, kme: str) -> Iterator[str]:
        for link in self.links:
            if kme in link.kmes:
                other = link.other(kme)
                yield f"[[link]]\nid = '{link.id}'\npeer_kme = '{other}'\npeer_url = '{self.url(other)}'"
                yield f"[[module]]\nid = '{link.module(kme)}'\nlink = '{link.id}'"

    def write(self, pids: dict[str, int]) -> None:
        """Write lab.json: the KMEs run under `pids`."""
        operator = self.pki.of(Kind.OPERATOR, OPERATOR)
        kmes = tuple(
            LabKme(
                id=kme, url=self.url(kme), pid=pids[kme],
                metrics=f"http://127.0.0.1:{_number(self._metrics[kme])}/metrics",
            )
            for kme in self.kmes
        )  # fmt: skip
        saes = tuple(self._sae(sae, kme) for sae, kme in zip(self.saes, self.kmes, strict=True))
        file = LabFile(
            ca=str(self.pki.ca), kmes=kmes, saes=saes,
            operator=LabOperator(cert=str(operator.certificate), key=str(operator.key)),
        )  # fmt: skip
        write_atomic(self.path / "lab.json", msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")

    def _sae(self, sae: str, kme: str) -> LabSae:
        files = self.pki.of(Kind.SAE, sae)
        return LabSae(id=sae, cert=str(files.certificate), key=str(files.key), kme=kme)

    def close(self) -> None:
        """Give back ports and folder; its files stay."""
        for port in (*self._ports.values(), *self._metrics.values()):
            port.close()
        self._claim.close()


def _number(port: socket.socket) -> int:
    return int(port.getsockname()[1])


def _claim(folder: Path) -> IO[str]:
    """Return what holds `folder` until it is closed. Raises `InvalidInput` where it is in use, or was."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = (folder / ".lab").open("w")
    except OSError as error:
        raise StoreFailure(f"{folder} cannot be made a lab: {error.strerror}") from error
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        raise InvalidInput(f"a lab is running in {folder}", hint="stop it, or name another folder") from None
    if any(entry.name != ".lab" for entry in folder.iterdir()):
        claim.close()
        raise InvalidInput(
            f"{folder} is not empty", hint="every lab is made anew: name a new folder, or remove that one first"
        )
    return claim
