"""One KME's configuration: a TOML file, read strictly, judged whole before anything starts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from keystrand.edge.files import read_bytes
from keystrand.edge.kme.messages import AGREED_OCTETS
from keystrand.edge.pki import Credentials, Identity, Kind
from keystrand.edge.store.master_key import MasterKeySource, faults
from keystrand.edge.store.pools import LEAST_BLOCK_OCTETS
from keystrand.edge.telemetry.audit_sinks import SinkConfig
from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.key import SourceKind, Strength
from keystrand.model.units import Identifier, PartyId, Ratio

Bits = Annotated[int, Meta(ge=8, le=1 << 20, multiple_of=8, description="bits, a multiple of 8")]
Positive = Annotated[int, Meta(ge=1, le=1 << 31)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every table refuses keys it does not know."""


class TlsFiles(_Part, frozen=True, kw_only=True):
    """PEM files; relative paths start at the configuration's folder.

    `crl`: the authority's revocation list, empty for none. `post_quantum_saes`: KMEs, modules and operators must always
    use a post-quantum group; SAEs only where this is `require`, since many cannot yet. `common_name_saes`: an SAE whose
    certificate names none of our identities is known by its common name.
    """

    ca: str
    certificate: str
    key: str
    crl: str = ""
    post_quantum_saes: Literal["prefer", "require"] = "prefer"
    common_name_saes: bool = False


class KeyLimits(_Part, frozen=True, kw_only=True):
    """What status tells (ETSI GS QKD 014, Table 9), and how long things last, in seconds.

    `wait_for_slave_s`: until a key that its slave has not fetched is destroyed. `retention_s`: how long the ID of a key
    that has ended is remembered. `block_life_s`: until raw key that nobody asked for is destroyed. `epoch_s`: how long
    one data key seals what comes.
    """

    key_size: Bits = 256
    min_key_size: Bits = 64
    max_key_size: Bits = 4096
    max_key_count: Positive = 1000
    max_key_per_request: Annotated[int, Meta(ge=1, le=1024)] = 128
    max_additional_saes: Annotated[int, Meta(ge=0, le=32)] = 8
    wait_for_slave_s: Positive = 3600
    retention_s: Positive = 86_400
    block_life_s: Positive = 604_800
    epoch_s: Positive = 600

    @property
    def pool_bits(self) -> int:
        """How many bits one pool (one direction of one link) may hold."""
        return self.max_key_count * self.key_size


class LinkEnd(_Part, frozen=True, kw_only=True):
    """A link that ends here, and the KME at its other end.

    `peer_url` is https://host:port, or a list of those where several processes are that KME: the first that can be
    reached is asked.
    `regions` are the tags that a key policy compares with those of a profile.
    """

    id: Identifier
    peer_kme: PartyId
    peer_url: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    regions: tuple[Identifier, ...] = ()

    @property
    def peer_urls(self) -> tuple[str, ...]:
        """The URLs of the KME at the other end."""
        return (self.peer_url,) if isinstance(self.peer_url, str) else self.peer_url


class PqcSource(_Part, frozen=True, kw_only=True):
    """Blocks from a key agreement between the two KMEs of `link`: ML-KEM-768 for `pqc`, X25519 for `classical`.

    `bits_per_s` of key are made as long as the stock of this direction is below its limit.
    """

    link: Identifier
    source: Literal["pqc", "classical"] = "pqc"
    bits_per_s: Annotated[int, Meta(ge=8, le=10_000_000)] = 8192


class VendorSource(_Part, frozen=True, kw_only=True):
    """Keys of a vendor's KME that speaks ETSI GS QKD 014, taken by us as the SAE that the certificate names.

    `partner` is the SAE ID by which the KME at the other end of `link` is known to the vendor. `label` is what the
    vendor's keys are believed to be.
    """

    link: Identifier
    url: str
    partner: PartyId
    ca: str
    certificate: str
    key: str
    label: Strength = Strength.INFORMATION_THEORETIC
    key_bits: Bits = 256
    keys_per_block: Annotated[int, Meta(ge=2, le=1024)] = 64

    @property
    def octets(self) -> int:
        """How many bytes one block has."""
        return self.keys_per_block * self.key_bits // 8


class FileSource(_Part, frozen=True, kw_only=True):
    """Blocks that somebody puts in `folder` as files, the same at both ends: `<UUID>.key`, raw bytes.

    `master_kme` says which end may cut keys from them. `qber` is told of their keys where it is known.
    """

    link: Identifier
    folder: str
    master_kme: PartyId
    label: Strength = Strength.INFORMATION_THEORETIC
    qber: Ratio | None = None


class AuditPlace(_Part, frozen=True, kw_only=True):
    """Where the audit and its signing key are; by default beside the store.

    `former_keys`: public keys that signed before the present one. Each `sink` is told over the network too.
    """

    folder: str = ""
    signing_key: str = ""
    former_keys: tuple[str, ...] = ()
    sinks: tuple[SinkConfig, ...] = field(name="sink", default=())


class MetricsPlace(_Part, frozen=True, kw_only=True):
    """Where `/metrics` and `/health` answer without TLS, on the loopback interface only. Port 0: nowhere."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class PostgresStore(_Part, frozen=True, kw_only=True):
    """A store in PostgreSQL that several processes share. `dsn_file` holds the connection string, mode 0600.

    `writer` is this process's own name among them. One that is silent for `lease_s` is fenced off by the others.
    """

    dsn_file: str
    writer: Identifier
    lease_s: Annotated[float, Meta(ge=1, le=60)] = 5.0


class SaeHome(_Part, frozen=True, kw_only=True):
    """Which KME an SAE is served by."""

    id: PartyId
    kme: PartyId


class ModuleLink(_Part, frozen=True, kw_only=True):
    """Which link a module delivers keys for, and of which sources.

    One that delivered the post-quantum strand of a hybrid key beside the quantum one would know both.
    """

    id: PartyId
    link: Identifier
    sources: Annotated[tuple[SourceKind, ...], Meta(min_length=1)] = (SourceKind.QKD,)


class OperatorName(_Part, frozen=True, kw_only=True):
    """Who may look at this KME and change what it does. A certificate alone is not enough."""

    id: PartyId


class KmeConfig(_Part, frozen=True, kw_only=True):
    """Everything one KME knows about itself and its network.

    `store` is a folder; `keyring`, outside of it, the file of the data keys (by default beside the store). `master_key`
    is a file of mode 0600, made with a new store, or a table that says where else it comes from. `home` is set to the
    folder of the file that was read.
    """

    kme_id: PartyId
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="0: any free one")] = 0
    store: str
    master_key: str | MasterKeySource
    keyring: str = ""
    policy: str = ""
    home: str = ""
    tls: TlsFiles
    keys: KeyLimits = KeyLimits()
    audit: AuditPlace = AuditPlace()
    metrics: MetricsPlace = MetricsPlace()
    postgres: PostgresStore | None = None
    links: tuple[LinkEnd, ...] = field(name="link", default=())
    saes: tuple[SaeHome, ...] = field(name="sae", default=())
    modules: tuple[ModuleLink, ...] = field(name="module", default=())
    operators: tuple[OperatorName, ...] = field(name="operator", default=())
    pqc_sources: tuple[PqcSource, ...] = field(name="pqc_source", default=())
    vendor_sources: tuple[VendorSource, ...] = field(name="vendor_source", default=())
    file_sources: tuple[FileSource, ...] = field(name="file_source", default=())

    @property
    def master_key_source(self) -> MasterKeySource:
        """Where the master key comes from."""
        return MasterKeySource(file=self.master_key) if isinstance(self.master_key, str) else self.master_key

    @property
    def identity(self) -> Identity:
        """Who this KME is."""
        return Identity(kind=Kind.KME, id=self.kme_id)

    @property
    def credentials(self) -> Credentials:
        """The files of its TLS identity."""
        return Credentials(
            ca=Path(self.tls.ca), certificate=Path(self.tls.certificate), key=Path(self.tls.key),
            crl=Path(self.tls.crl) if self.tls.crl else None,
        )  # fmt: skip

    def homes(self) -> dict[str, str]:
        """Return the KME of every SAE."""
        return {sae.id: sae.kme for sae in self.saes}


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
    yield from (Fault(("master_key",), fault, "name one place") for fault in faults(config.master_key_source))
    if Path(config.keyring or "keyring").parent == Path(config.store):
        yield Fault(
            ("keyring",), "inside the store's folder", "keep it elsewhere: a copy of the store must not hold it"
        )
    keys, known = config.keys, {config.kme_id, *(link.peer_kme for link in config.links)}
    if not keys.min_key_size <= keys.key_size <= keys.max_key_size:
        yield Fault(("keys", "key_size"), "outside min_key_size to max_key_size", "choose a size between them")
    if keys.retention_s < keys.wait_for_slave_s:
        yield Fault(
            ("keys", "retention_s"), "shorter than wait_for_slave_s: the other end would stop telling of a void order"
            " while its keys still wait there", "make retention_s at least as long as wait_for_slave_s",
        )  # fmt: skip
    for name, ids in (
        ("link", [link.id for link in config.links]),
        ("sae", [sae.id for sae in config.saes]),
        ("module", [module.id for module in config.modules]),
    ):
        yield from (Fault((name, n), f"{i!r} is named twice", "keep one") for n, i in enumerate(ids) if i in ids[:n])
    for n, link in enumerate(config.links):
        if not all(url.startswith("https://") for url in link.peer_urls):
            yield Fault(("link", n, "peer_url"), "not an https URL", 'write "https://host:port"')
        if link.peer_kme in {config.kme_id, *(other.peer_kme for other in config.links[:n])}:
            yield Fault(("link", n, "peer_kme"), "this KME itself, or already the peer of another link", "name another")
    for n, sae in enumerate(config.saes):
        if sae.kme not in known:
            yield Fault(
                ("sae", n, "kme"), "neither this KME nor a peer of a link", f"one of {', '.join(sorted(known))}"
            )
    yield from _link_faults(config)
    yield from _source_faults(config)


def _link_faults(config: KmeConfig) -> Iterator[Fault]:
    links = {link.id for link in config.links}
    for name, named in (
        ("module", [one.link for one in config.modules]),
        ("pqc_source", [one.link for one in config.pqc_sources]),
        ("vendor_source", [one.link for one in config.vendor_sources]),
        ("file_source", [one.link for one in config.file_sources]),
    ):
        for n, link in enumerate(named):
            if link not in links:
                yield Fault((name, n, "link"), "no link of that id ends here", "name a [[link]] of this file")


def _source_faults(config: KmeConfig) -> Iterator[Fault]:
    """Yield what is wrong with the sources: no key may come in twice, and no block may be one that can never fit."""
    agreed = [(one.link, one.source) for one in config.pqc_sources]
    vendors = [one.link for one in config.vendor_sources]
    folders = [Path(one.folder) for one in config.file_sources]
    for name, places in (("pqc_source", agreed), ("vendor_source", vendors), ("file_source", folders)):
        for n, place in enumerate(places):
            if place in places[:n]:
                yield Fault((name, n), "the same source is named twice", "keep one")
    peers = {link.id: link.peer_kme for link in config.links}
    for n, one in enumerate(config.file_sources):
        if one.master_kme not in (config.kme_id, peers.get(one.link)):
            yield Fault((name, n, "master_kme"), "neither end of the link", "name this KME or its peer on that link")
    blocks = [("pqc_source", n, AGREED_OCTETS) for n, _ in enumerate(config.pqc_sources)]
    blocks += [("vendor_source", n, one.octets) for n, one in enumerate(config.vendor_sources)]
    pool = config.keys.pool_bits // 8
    for name, n, octets in blocks:
        if not LEAST_BLOCK_OCTETS <= octets <= pool:
            text = f"its blocks have {octets} bytes, and the pool has room for {LEAST_BLOCK_OCTETS} to {pool}"
            yield Fault((name, n), text, "raise [keys] max_key_count, or change what a block is made of")


def _absolute(config: KmeConfig, folder: Path) -> KmeConfig:
    def at(path: str, default: str = "") -> str:
        return str(folder / (path or default)) if path or default else ""

    tls = config.tls
    files = msgspec.structs.replace(
        tls, ca=at(tls.ca), certificate=at(tls.certificate), key=at(tls.key), crl=at(tls.crl)
    )  # fmt: skip
    audit = msgspec.structs.replace(
        config.audit, folder=at(config.audit.folder, f"{config.store}.audit"),
        signing_key=at(config.audit.signing_key, f"{config.store}.audit.key"),
        former_keys=tuple(map(at, config.audit.former_keys)),
    )  # fmt: skip
    vendors = tuple(
        msgspec.structs.replace(one, ca=at(one.ca), certificate=at(one.certificate), key=at(one.key))
        for one in config.vendor_sources
    )
    postgres = config.postgres and msgspec.structs.replace(config.postgres, dsn_file=at(config.postgres.dsn_file))
    master = config.master_key
    return msgspec.structs.replace(
        config, tls=files, store=at(config.store), keyring=at(config.keyring, f"{config.store}.keyring"),
        master_key=at(master) if isinstance(master, str) else master, home=str(folder), policy=at(config.policy),
        audit=audit,
        vendor_sources=vendors, postgres=postgres,
        file_sources=tuple(msgspec.structs.replace(one, folder=at(one.folder)) for one in config.file_sources),
    )  # fmt: skip
