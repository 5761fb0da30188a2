"""One KME's configuration: a TOML file, read strictly, judged whole before anything starts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from keystrand.edge.files import read_bytes
from keystrand.edge.pki import Credentials, Identity, Kind
from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.units import Identifier

PartyId = Annotated[
    str, Meta(min_length=1, max_length=128, description="a KME, SAE or module ID, unique in the network")
]
Bits = Annotated[int, Meta(ge=8, le=1 << 20, multiple_of=8, description="bits, a multiple of 8")]
Positive = Annotated[int, Meta(ge=1, le=1 << 31)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every table refuses keys it does not know."""


class TlsFiles(_Part, frozen=True, kw_only=True):
    """PEM files; relative paths start at the configuration's folder.

    `require_post_quantum_saes`: KMEs and modules must always use a post-quantum group, SAEs unless this is false.
    """

    ca: str
    certificate: str
    key: str
    require_post_quantum_saes: bool = True


class KeyLimits(_Part, frozen=True, kw_only=True):
    """What status tells (ETSI GS QKD 014, Table 9), and how long a key waits for its slave before it is destroyed."""

    key_size: Bits = 256
    min_key_size: Bits = 64
    max_key_size: Bits = 4096
    max_key_count: Positive = 1000
    max_key_per_request: Annotated[int, Meta(ge=1, le=1024)] = 128
    wait_for_slave_s: Positive = 3600

    @property
    def pool_bits(self) -> int:
        """How many bits one pool (one direction of one link) may hold."""
        return self.max_key_count * self.key_size


class LinkEnd(_Part, frozen=True, kw_only=True):
    """A quantum link that ends here, and the KME at its other end (`peer_url`: https://host:port)."""

    id: Identifier
    peer_kme: PartyId
    peer_url: str


class SaeHome(_Part, frozen=True, kw_only=True):
    """Which KME an SAE is served by."""

    id: PartyId
    kme: PartyId


class ModuleLink(_Part, frozen=True, kw_only=True):
    """Which link a QKD module delivers keys for."""

    id: PartyId
    link: Identifier


class KmeConfig(_Part, frozen=True, kw_only=True):
    """Everything one KME knows about itself and its network. `store` is a folder, `master_key` a file of mode 0600."""

    kme_id: PartyId
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="0: any free one")] = 0
    store: str
    master_key: str
    tls: TlsFiles
    keys: KeyLimits = KeyLimits()
    links: tuple[LinkEnd, ...] = field(name="link", default=())
    saes: tuple[SaeHome, ...] = field(name="sae", default=())
    modules: tuple[ModuleLink, ...] = field(name="module", default=())

    @property
    def identity(self) -> Identity:
        """Who this KME is."""
        return Identity(kind=Kind.KME, id=self.kme_id)

    @property
    def credentials(self) -> Credentials:
        """The files of its TLS identity."""
        return Credentials(ca=Path(self.tls.ca), certificate=Path(self.tls.certificate), key=Path(self.tls.key))

    def kme_of(self, sae_id: str) -> str | None:
        """Return the KME that serves `sae_id`, None where nobody does."""
        return next((sae.kme for sae in self.saes if sae.id == sae_id), None)

    def link_to(self, kme_id: str | None) -> LinkEnd | None:
        """Return the link whose other end is at `kme_id`."""
        return next((link for link in self.links if link.peer_kme == kme_id), None)


def load_config(file: Path) -> KmeConfig:
    """Return the configuration in `file` with its paths made absolute.

    Raises `MissingInput`, or `InvalidInput` with every problem at its line.
    """
    raw_bytes = read_bytes(file, hint="name the TOML file of the key management entity")
    try:
        text = raw_bytes.decode()
    except ValueError as error:
        raise InvalidInput(f"{file} is not UTF-8: {error}") from None
    config = read_toml(text, KmeConfig, file=str(file), what=f"the configuration {file}", further=_further_faults)
    return _absolute(config, file.absolute().parent)


def _further_faults(raw: dict[str, Any]) -> Iterable[Fault]:
    try:
        config = msgspec.convert(raw, KmeConfig)
    except msgspec.ValidationError:
        return ()  # what is wrong alone is told first
    return _cross_faults(config)


def _cross_faults(config: KmeConfig) -> Iterator[Fault]:
    """Yield what is wrong between values that are right alone."""
    keys, known = config.keys, {config.kme_id, *(link.peer_kme for link in config.links)}
    if not keys.min_key_size <= keys.key_size <= keys.max_key_size:
        yield Fault(("keys", "key_size"), "outside min_key_size to max_key_size", "choose a size between them")
    for name, ids in (
        ("link", [link.id for link in config.links]),
        ("sae", [sae.id for sae in config.saes]),
        ("module", [module.id for module in config.modules]),
    ):
        yield from (Fault((name, n), f"{i!r} is named twice", "keep one") for n, i in enumerate(ids) if i in ids[:n])
    for n, link in enumerate(config.links):
        if not link.peer_url.startswith("https://"):
            yield Fault(("link", n, "peer_url"), "not an https URL", 'write "https://host:port"')
        if link.peer_kme in {config.kme_id, *(other.peer_kme for other in config.links[:n])}:
            yield Fault(("link", n, "peer_kme"), "this KME itself, or already the peer of another link", "name another")
    for n, sae in enumerate(config.saes):
        if sae.kme not in known:
            yield Fault(
                ("sae", n, "kme"), "neither this KME nor a peer of a link", f"one of {', '.join(sorted(known))}"
            )
    for n, module in enumerate(config.modules):
        if module.link not in {link.id for link in config.links}:
            yield Fault(("module", n, "link"), "no link of that id ends here", "name a [[link]] of this file")


def _absolute(config: KmeConfig, folder: Path) -> KmeConfig:
    files = msgspec.structs.replace(
        config.tls, **{name: str(folder / getattr(config.tls, name)) for name in ("ca", "certificate", "key")}
    )
    return msgspec.structs.replace(
        config, tls=files, store=str(folder / config.store), master_key=str(folder / config.master_key)
    )
