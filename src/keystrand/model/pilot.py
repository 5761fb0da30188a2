"""The pilots that an estate declares, with the criteria that decide; and how one is run with real consumers of keys."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from keystrand.model.noun import Noun
from keystrand.model.units import Identifier, Ratio, Text

Seconds = Annotated[float, Meta(gt=0, le=86_400, description="seconds")]
Times = Annotated[int, Meta(ge=1, le=100)]
MOST_CONSUMERS = 20
"""Each runs programs and threads of its own, all on one machine: more of them measure the machine."""


class Criteria(Noun, frozen=True, kw_only=True):
    """What a pilot must show, decided before it runs."""

    secret_key_rate_min_bits_per_s: Annotated[float, Meta(gt=0)]
    handshake_median_max_ms: Annotated[float, Meta(gt=0)]
    key_delivery_median_max_ms: Annotated[float, Meta(gt=0)]
    recovery_max_s: Annotated[float, Meta(gt=0)]
    failed_handshakes_max_ratio: Ratio = 0.0


class Pilot(Noun, frozen=True, kw_only=True):
    """A bounded trial on one segment, with the criteria it will be judged by."""

    id: Identifier
    name: Text
    segment: Identifier
    handshakes: Annotated[int, Meta(ge=20, le=100_000)] = 100
    criteria: Criteria


class SourceChoice(StrEnum):
    """Where the keys of a pilot come from."""

    TWIN = "twin"
    VENDOR = "vendor"


class ConsumerKind(StrEnum):
    """The consumers of keys that a pilot can run. `tls` and `age` name their key in band; the others have agents."""

    TLS = "tls"
    IPSEC = "ipsec"
    WIREGUARD = "wireguard"
    AGE = "age"
    HSM = "hsm"


class EventKind(StrEnum):
    """What a campaign can do to a corridor. `impaired`: delay, loss and less rate on the classical carrier."""

    NORMAL = "normal"
    RATE_SAG = "rate-sag"
    LINK_CUT = "link-cut"
    KME_DEATH = "kme-death"
    AGENT_DEATH = "agent-death"
    EAVESDROPPER = "eavesdropper"
    MAINTENANCE = "maintenance"
    CLOCK_SKEW = "clock-skew"
    CERTIFICATE_EXPIRY = "certificate-expiry"
    IMPAIRED = "impaired"
    CARRIER_CUT = "carrier-cut"


class VendorEnd(Noun, frozen=True, kw_only=True):
    """A vendor's KME at one site, by ETSI GS QKD 014, with the files of our SAE there. Paths from the file's folder."""

    url: Annotated[str, Meta(pattern=r"^https://", description="https URL")]
    sae: Text
    ca: Text
    certificate: Text
    key: Text
    require_post_quantum: bool = True


class KeySource(Noun, frozen=True, kw_only=True):
    """Where the keys come from: the twin of the corridor's link, or a vendor's two KMEs, at site a and at site b.

    `stock_keys`: how many keys each direction of the twin's link may hold, few, so that a cut is felt soon.
    `commands`: what an operator would do to a vendor's equipment, by event and its end, such as `link-cut` and
    `link-cut-end`; an event without is not run.
    """

    kind: SourceChoice = SourceChoice.TWIN
    stock_keys: Annotated[int, Meta(ge=4, le=100_000)] = 40
    a: VendorEnd | None = None
    b: VendorEnd | None = None
    commands: dict[str, str] = field(default_factory=dict)


class CarrierTerms(Noun, frozen=True, kw_only=True):
    """The classical way between the sites while `impaired`: one-way delay, loss, and rate (None: not held down)."""

    delay_ms: Annotated[float, Meta(ge=0, le=1000)] = 5.0
    loss_ratio: Ratio = 0.01
    rate_mbit_per_s: Annotated[float, Meta(gt=0, le=100_000)] | None = None


class PilotConsumer(Noun, frozen=True, kw_only=True):
    """One consumer of keys in the pilot. `policy` and its times are those of an agent's file; none for `tls`, `age`."""

    id: Identifier
    kind: ConsumerKind
    policy: str = ""
    rotate_every_s: Seconds = 1.5
    max_age_s: Seconds = 4.0
    ttl_s: Seconds | None = None
    fallback_most_s: Seconds | None = None
    per_s: Annotated[float, Meta(gt=0, le=1000)] = 20.0
    """How many handshakes, files or operations a second; packets of a tunnel: `packets_per_s` of the campaign."""


class Event(Noun, frozen=True, kw_only=True):
    """One event of the campaign, `times` over; it lasts `seconds` each time before it is undone."""

    kind: EventKind
    seconds: Seconds = 8.0
    times: Times = 1


class CampaignCriteria(Noun, frozen=True, kw_only=True):
    """What the consumers must show, beside the criteria of the estate's pilot. Each is judged for every consumer.

    `failover_max_s`: from an outage until traffic stands on what its policy names, after its key has become too old.
    `traffic_gap_max_s`: the longest silence of a consumer whose policy keeps it running. `key_age_max_s`: no key in
    use may be older, but where a policy says so. `detection_max_s`: an alarm after a fault.
    """

    rotation_p95_max_s: Seconds
    rotation_lost_max_packets: Annotated[float, Meta(ge=0)]
    failover_max_s: Seconds
    traffic_gap_max_s: Seconds
    leaked_max_packets: Annotated[int, Meta(ge=0)] = 0
    key_age_max_s: Seconds
    throughput_min_ratio: Ratio
    audit_min_ratio: Ratio = 1.0
    detection_max_s: Seconds
    recovery_max_s: Seconds


class PilotPlan(Noun, frozen=True, kw_only=True):
    """`pilot.toml`: how the pilot `pilot` of the estate is run with real consumers. `name` tells it from others."""

    pilot: Identifier
    name: Text
    packets_per_s: Annotated[int, Meta(ge=10, le=2000)] = 1000
    source: KeySource = field(default_factory=KeySource)
    carrier: CarrierTerms = field(default_factory=CarrierTerms)
    consumers: Annotated[tuple[PilotConsumer, ...], Meta(min_length=1, max_length=MOST_CONSUMERS)] = field(
        name="consumer"
    )
    events: Annotated[tuple[Event, ...], Meta(min_length=1)] = field(name="event")
    criteria: CampaignCriteria
