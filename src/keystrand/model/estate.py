"""The estate: what an organisation has, as its own people declare it. The only noun that is written by hand."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from keystrand.model.algorithm import Function
from keystrand.model.noun import Noun
from keystrand.model.pilot import Pilot
from keystrand.model.planning import Demand, Freeze, Planning, Price, Waiver
from keystrand.model.starttls import StartTls
from keystrand.model.units import (
    MOST,
    Answer,
    Decibels,
    DecibelsPerKm,
    Identifier,
    Kilometres,
    Latitude,
    Longitude,
    Port,
    Text,
    Years,
)


class Layer(StrEnum):
    """The layers of a link or system that each need an owner (mission row M3)."""

    LINK = "link"
    ALGORITHMS = "algorithms"
    KEYS = "keys"
    GOVERNANCE = "governance"


class Place(StrEnum):
    """Where cryptography lives, the places that are forgotten included (mission row M2)."""

    REPLICATION = "replication"
    ADMIN_TUNNEL = "admin-tunnel"
    API = "api"
    PARTNER_LINK = "partner-link"
    BACKUP_ARCHIVE = "backup-archive"
    CODE_SIGNING = "code-signing"
    FIRMWARE = "firmware"
    IDENTITY = "identity"
    APPLICATION = "application"
    DATABASE = "database"
    MAIL = "mail"
    WEB = "web"
    VPN = "vpn"
    STORAGE = "storage"
    MONITORING = "monitoring"


class Sensitivity(StrEnum):
    """How much harm disclosure does."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def weight(self) -> int:
        """Return 1 (low) to 4 (critical); for ordering only, never for arithmetic on risk."""
        return list(Sensitivity).index(self) + 1


class Exposure(StrEnum):
    """Which networks the traffic crosses."""

    INTERNAL = "internal"
    PARTNER = "partner"
    INTERNET = "internet"


class SiteKind(StrEnum):
    """What a site is to the organisation."""

    DATA_CENTRE = "data-centre"
    RECOVERY = "recovery"
    HUB = "hub"
    OFFICE = "office"
    PARTNER = "partner"
    LABORATORY = "laboratory"


class LossBasis(StrEnum):
    """Where a segment's loss figure comes from."""

    MEASURED = "measured"
    ASSUMED = "assumed"


class SegmentReach(StrEnum):
    """Metro links stay within one span of quantum hardware; long-haul links need nodes on the way."""

    METRO = "metro"
    LONG_HAUL = "long-haul"


class Continuity(StrEnum):
    """What the traffic does when no fresh key comes: it may wait, or it must go on by a fallback."""

    MAY_WAIT = "may-wait"
    MUST_CONTINUE = "must-continue"


class Purpose(StrEnum):
    """What a segment is for."""

    PRODUCTION = "production"
    RESEARCH = "research"


class Organisation(Noun, frozen=True, kw_only=True):
    """Whose estate it is. `obligations` names the policies that bind it; the others are judged as outlook.

    `has_none` lists the places where the organisation states that it has no cryptography at all. `national_security`:
    whether its systems are national security systems, for which states have rules of their own.
    """

    name: Text
    sector: Text
    obligations: tuple[Identifier, ...] = ()
    national_security: Answer = Answer.UNKNOWN
    has_none: tuple[Place, ...] = ()


class Region(Noun, frozen=True, kw_only=True):
    """A legal area; `jurisdiction` is an ISO 3166 code or `EU`."""

    id: Identifier
    name: Text
    jurisdiction: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z", description="two capital letters: ISO 3166, or EU")]


class TrustZone(Noun, frozen=True, kw_only=True):
    """A set of sites that trust each other with keys."""

    id: Identifier
    name: Text


class Owner(Noun, frozen=True, kw_only=True):
    """A team or a role that owns layers; never a person. `engineers`: how many can work on changes at the same time."""

    id: Identifier
    name: Text
    engineers: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class Owners(Noun, frozen=True, kw_only=True):
    """Who owns each layer. A layer left out has no owner and is listed as work."""

    link: Identifier | None = None
    algorithms: Identifier | None = None
    keys: Identifier | None = None
    governance: Identifier | None = None

    def of(self, layer: Layer) -> str | None:
        """Return the owner's id for `layer`, or None where nobody owns it."""
        owner: str | None = getattr(self, layer.value)
        return owner


class Site(Noun, frozen=True, kw_only=True):
    """A place with equipment. `controlled`: the organisation decides who enters; `staffed`: people are there all day;
    `may_host_node`: a trusted node may stand there."""

    id: Identifier
    name: Text
    kind: SiteKind
    latitude: Latitude
    longitude: Longitude
    region: Identifier
    trust_zone: Identifier
    controlled: Answer = Answer.UNKNOWN
    staffed: Answer = Answer.UNKNOWN
    may_host_node: Answer = Answer.UNKNOWN


class DataClass(Noun, frozen=True, kw_only=True):
    """A kind of data by how long it must stay secret; `retention_range_years` where that is not one number."""

    id: Identifier
    name: Text
    retention_years: Years
    retention_range_years: tuple[Years, Years] | None = None
    sensitivity: Sensitivity
    regulations: tuple[Text, ...] = ()


class System(Noun, frozen=True, kw_only=True):
    """Something that uses cryptography, where it stands, what it carries, and when it may change.

    `migration_years` is the shortest and longest time its owner expects the change to take. `engineers` are bound by it
    meanwhile. `volume_per_year` is what it carries in a year, in one unit for the whole estate (such as terabytes).
    `vendor_ready`: from when its supplier delivers post-quantum algorithms, and `vendor_evidence` says who said so.
    `post_quantum_path` is no where there is none before it retires: `compensating` then says what protects it until
    then. `verifiers_until`: until when devices in the field go on trusting the old signature, and cannot be changed.
    `high_impact`: whether it is a high-value asset or of high impact (FIPS 199) by its owner's own classification.
    """

    id: Identifier
    name: Text
    place: Place
    site: Identifier
    functions: Annotated[tuple[Function, ...], Meta(min_length=1)]
    data_classes: tuple[Identifier, ...] = ()
    segments: tuple[Identifier, ...] = ()
    exposure: Exposure
    owners: Owners = field(default_factory=Owners)
    migration_years: tuple[Years, Years] = (1.0, 3.0)
    depends_on: tuple[Identifier, ...] = ()
    refresh: date | None = None
    contract_ends: date | None = None
    retires: date | None = None
    engineers: Annotated[int, Meta(ge=1, le=10_000)] = 1
    volume_per_year: Annotated[float, Meta(gt=0, le=MOST)] | None = None
    vendor_ready: date | None = None
    vendor_evidence: Text | None = None
    post_quantum_path: Answer = Answer.UNKNOWN
    compensating: Text | None = None
    verifiers_until: date | None = None
    high_impact: Answer = Answer.UNKNOWN


class QuantumCase(Noun, frozen=True, kw_only=True):
    """The organisation's answers to what a quantum link asks of it; left out is unknown, and becomes a question.

    `accepted_sensitivity`: the most sensitive data whose keys the nodes may see; left out: all.
    `controlled_wavelength`: on a lit fibre the organisation has one of its own and knows what its neighbours carry.
    """

    dedicated_optics: Answer = Answer.UNKNOWN
    trusted_nodes: Answer = Answer.UNKNOWN
    specialised_operation: Answer = Answer.UNKNOWN
    accepted_by: Identifier | None = None
    accepted_sensitivity: Sensitivity | None = None
    controlled_wavelength: Answer = Answer.UNKNOWN


class Segment(Noun, frozen=True, kw_only=True):
    """The fibre between two sites. Give `loss_db` (end to end) or `loss_db_per_km`, and say where it comes from.

    `via` lists the sites on the way, where a trusted node could stand; each hop between them is one span.
    """

    id: Identifier
    name: Text
    a: Identifier
    b: Identifier
    reach: SegmentReach
    length_km: Kilometres
    loss_db: Decibels | None = None
    loss_db_per_km: DecibelsPerKm | None = None
    loss_basis: LossBasis
    dark_fibre: Answer = Answer.UNKNOWN
    carrier: Text
    via: tuple[Identifier, ...] = ()
    purpose: Purpose = Purpose.PRODUCTION
    programme: Text | None = None
    continuity: Continuity = Continuity.MUST_CONTINUE
    key_demand_bits_per_s: Annotated[float, Meta(ge=0)] = 0.0
    quantum: QuantumCase = field(default_factory=QuantumCase)
    owners: Owners = field(default_factory=Owners)
    contract_ends: date | None = None

    @property
    def total_loss_db(self) -> float:
        """Return the end-to-end loss in dB, from whichever form was given."""
        return self.loss_db if self.loss_db is not None else (self.loss_db_per_km or 0.0) * self.length_km

    @property
    def spans(self) -> int:
        """Return the number of fibre spans: one more than the sites on the way."""
        return len(self.via) + 1


class ProbeKind(StrEnum):
    """The probes that this release has: over the network, and in files."""

    TLS = "tls"
    SSH = "ssh"
    QUIC = "quic"
    DTLS = "dtls"
    IKE = "ike"
    DNS = "dns"
    X509 = "x509"
    CONFIG = "config"
    SOURCE = "source"
    BINARY = "binary"
    CAPTURE = "capture"
    REPORT = "report"
    FILES = "files"

    @property
    def reads_files(self) -> bool:
        """Return whether the probe reads files, and contacts nobody."""
        return self in _FILE_PROBES


_FILE_PROBES = frozenset({ProbeKind.X509, ProbeKind.CONFIG, ProbeKind.SOURCE, ProbeKind.BINARY, ProbeKind.CAPTURE,
                          ProbeKind.REPORT, ProbeKind.FILES})  # fmt: skip


class ScanMode(StrEnum):
    """How much a network probe asks: is it post-quantum; what it supports, prefers and gives; everything it accepts."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


class Target(Noun, frozen=True, kw_only=True):
    """What a scan may contact or read, and nothing else.

    `host` is a name, an address, or a range of addresses such as `10.1.0.0/24`, which `allow` under `[scan]` must hold.
    `ports` are asked beside `port`. `path` is a file or folder: relative to the estate's folder and within it, or
    absolute, and then what it names and nothing above it. `zone` is the domain a `dns` target asks its server for.
    `passwords` are tried on keystores found at `path`: for the well-known ones that protect nothing, not for secrets.
    `rules` are files or folders of rules for source code beside ours, found as `path` is.
    """

    id: Identifier
    probe: ProbeKind
    system: Identifier
    host: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    port: Port | None = None
    ports: tuple[Port, ...] = ()
    starttls: StartTls | None = None
    mode: ScanMode | None = None
    zone: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    path: Text | None = None
    passwords: tuple[str, ...] = ()
    rules: tuple[Text, ...] = ()


class Rule(Noun, frozen=True, kw_only=True):
    """Says which system a thing belongs to, whatever target it was found by. The first rule that holds counts.

    Every condition given must hold. `place` is a pattern with `*` over the whole place, such as `file:backup/*`.
    `address` is a range that the host of an endpoint, or an end of a flow, lies in. `name` is a pattern over host
    names, the names in a certificate and its subject.
    """

    id: Identifier
    system: Identifier
    place: Text | None = None
    address: Text | None = None
    name: Text | None = None


class Scan(Noun, frozen=True, kw_only=True):
    """How gently a scan works.

    `allow` lists all that may be contacted: names, `*.` with a domain, addresses and ranges; empty: exactly the hosts
    that the targets name. `window` is the time of day in UTC in which new connections begin, such as `22:00-05:00`.
    """

    allow: tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...] = ()
    window: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d\Z")] | None = None
    mode: ScanMode = ScanMode.STANDARD
    connections_per_host: Annotated[int, Meta(ge=1, le=8)] = 2
    connections_at_once: Annotated[int, Meta(ge=1, le=1024)] = 64
    connections_per_s: Annotated[float, Meta(gt=0, le=10_000)] = 50.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0


class Estate(Noun, frozen=True, kw_only=True):
    """Everything in `estate.toml`."""

    format_version: Annotated[str, Meta(pattern=r"^1(\.\d+)?\Z", description='"1", or "1." and a number')]
    organisation: Organisation
    region: tuple[Region, ...]
    trust_zone: tuple[TrustZone, ...]
    owner: tuple[Owner, ...]
    site: tuple[Site, ...]
    data_class: tuple[DataClass, ...]
    system: tuple[System, ...]
    segment: tuple[Segment, ...] = ()
    target: tuple[Target, ...] = ()
    rule: tuple[Rule, ...] = ()
    scan: Scan = field(default_factory=Scan)
    pilot: tuple[Pilot, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    waiver: tuple[Waiver, ...] = ()
    demand: tuple[Demand, ...] = ()
    price: tuple[Price, ...] = ()
    planning: Planning = field(default_factory=Planning)
