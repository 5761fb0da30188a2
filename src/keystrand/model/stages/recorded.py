"""What one campaign of a pilot saw, before it is judged: kept, so that it can be judged anew by other criteria."""

from enum import StrEnum

from keystrand.model.document import Document, Measured, Part
from keystrand.model.link import LinkRate
from keystrand.model.pilot import ConsumerKind, EventKind, SourceChoice
from keystrand.model.units import Count


class DeedKind(StrEnum):
    """What a pilot asks of people and machines."""

    CONFIG_LINES = "config-lines"
    COMMAND = "command"
    RESTART = "restart"
    ACTION = "action"


class Deed(Part, frozen=True, kw_only=True):
    """Something that an operator had to do: `count` lines, commands, restarts or actions, for one consumer or none.

    `event` names the event that called for it; empty while setting up.
    """

    kind: DeedKind
    what: str
    count: Count = 1
    consumer: str = ""
    event: str = ""


class FootingChange(Part, frozen=True, kw_only=True):
    """A change of what a consumer's traffic stands on, as its initiator's audit says it. `at_s` from the start."""

    at_s: Measured[float]
    footing: str
    label: str


class Rotation(Part, frozen=True, kw_only=True):
    """One changeover: seconds from the offer to the proof, packets lost meanwhile (None: not counted)."""

    at_s: Measured[float]
    took_s: Measured[float]
    lost: Measured[Count | None] = None


class Alarm(Part, frozen=True, kw_only=True):
    """What monitoring said, `after_s` the event began. `who`: an agent, a KME, the link's telemetry."""

    after_s: Measured[float]
    who: str
    text: str


class CutEvidence(Part, frozen=True, kw_only=True):
    """What consumers got while the quantum link was cut. The counts of old and zero keys must be 0."""

    requests: Measured[Count]
    refused_with_503: Measured[Count]
    keys_from_stock: Measured[Count]
    handshakes_without_key: Count
    old_keys: Count
    zero_keys: Count
    consumer_error: str
    recovered: bool
    recovery_s: Measured[float | None]


class Seen(Part, frozen=True, kw_only=True):
    """What one consumer went through during one repetition of one event, from its beginning until all was well again.

    `tried`, `failed`: packets, handshakes or files. `tried_without`: packets tried while it stood on no fresh key.
    `in_clear`: packets seen unprotected on the carrier, None where no packet of this consumer could be. `outage`:
    whether the event took its fresh keys away. `failover_s`: from the end of its key's time (`max_age_s`) until it
    stood on what its policy names. `recovery_s`: from the end of the event until a fresh key was proven again, None
    where that never came within `waited_s`; both None where nothing lapsed.
    `wrong_keys`: keys given twice, and empty ones.
    """

    consumer: str
    tried: Measured[Count]
    failed: Measured[Count]
    tried_without: Measured[Count] = 0
    longest_gap_s: Measured[float | None] = None
    in_clear: Measured[Count | None] = None
    outage: Measured[bool] = False
    failover_s: Measured[float | None] = None
    recovery_s: Measured[float | None] = None
    waited_s: Measured[float] = 0.0
    oldest_key_s: Measured[float | None] = None
    rotations: Measured[tuple[Rotation, ...]] = ()
    footings: Measured[tuple[FootingChange, ...]] = ()
    wrong_keys: Count = 0
    changes: Measured[Count] = 0
    """Changes of key or footing that took place, by the consumer itself or the agents' journals."""
    audited: Measured[Count] = 0
    """How many of them both ends' audits hold, before they took effect."""


class Episode(Part, frozen=True, kw_only=True):
    """One repetition of one event. `not_run` says why it did not take place; the rest is empty then."""

    event: EventKind
    number: Count
    began_s: Measured[float] = 0.0
    undone_s: Measured[float] = 0.0
    ended_s: Measured[float] = 0.0
    seen: tuple[Seen, ...] = ()
    alarms: Measured[tuple[Alarm, ...]] = ()
    not_run: str = ""
    told: Measured[str] = ""
    """What else is worth a sentence, such as what part of the impairment the kernel could not do."""


class Flow(Part, frozen=True, kw_only=True):
    """What one consumer does on the quiet corridor, with keys of keystrand or (plain) without: samples.

    `operation_s`: a handshake, a file, an operation, or the way of a packet and back. `bits_per_s`: throughput.
    """

    consumer: str
    plain: bool
    how: str
    tried: Measured[Count] = 0
    failed: Measured[Count] = 0
    operation_s: Measured[tuple[float, ...]] = ()
    bits_per_s: Measured[tuple[float, ...]] = ()
    not_measured: str = ""


class RunConsumer(Part, frozen=True, kw_only=True):
    """One consumer of the pilot: what it is, or why it did not run. `programs` are those of others that it takes."""

    id: str
    kind: ConsumerKind
    policy: str
    max_age_s: float | None
    may_serve_s: float | None
    """How long one key may be in use by its policy, in all; None in band, where a key serves once."""
    how: str
    programs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Rights and packages it asks for."""
    not_run: str = ""


class KeyService(Part, frozen=True, kw_only=True):
    """What the key source and both ends of the key service did in quiet times, and what a cut of the link showed.

    `secret_key_rates_bits_per_s`: one value for each interval watched (simulated where the source is the twin).
    `handshakes`: attempts of the `tls` consumer, whose successes used `key_ids` different keys; zero without it.
    """

    secret_key_rates_bits_per_s: Measured[tuple[float, ...]] = ()
    enc_keys_ms: Measured[tuple[float, ...]] = ()
    dec_keys_ms: Measured[tuple[float, ...]] = ()
    handshakes_ms: Measured[tuple[float, ...]] = ()
    handshakes: Count = 0
    failed_handshakes: Count = 0
    key_ids: Count = 0
    key_exchange: tuple[str, ...] = ()
    cut: CutEvidence | None = None


class PilotRecord(Document, frozen=True, kw_only=True, tag="pilot-record"):
    """The record of one campaign. `keys_ms`: how long enc_keys and dec_keys took; `rates`: what the source made."""

    pilot: str
    name: str
    segment: str
    source: SourceChoice
    source_words: str
    rate: LinkRate
    key_service: KeyService
    consumers: tuple[RunConsumer, ...]
    episodes: tuple[Episode, ...]
    flows: tuple[Flow, ...]
    deeds: tuple[Deed, ...]
    limits: tuple[str, ...]
    took_s: Measured[float]
    machine: Measured[str] = ""
