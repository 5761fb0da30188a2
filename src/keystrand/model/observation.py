"""What a probe saw: one observation is one fact, with the place, the evidence level and the target it came from."""

from datetime import date
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from keystrand.model.algorithm import Function
from keystrand.model.units import Count, Identifier, Port, Sha256


class Strength(StrEnum):
    """How strong the evidence is that an algorithm is really used, strongest first."""

    NEGOTIATED = "negotiated"
    OFFERED = "offered"
    CONFIGURED = "configured"
    LINKED = "linked"
    REFERENCED = "referenced"

    @property
    def rank(self) -> int:
        """Return 0 for the strongest evidence, growing with weakness."""
        return _RANKS[self]


_RANKS = {strength: rank for rank, strength in enumerate(Strength)}


class Outcome(StrEnum):
    """How the attempt on one target ended. Only `seen` says anything about its cryptography."""

    SEEN = "seen"
    NONE = "none"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    UNREADABLE = "unreadable"
    UNPARSABLE = "unparsable"
    SKIPPED = "skipped-by-policy"


class Certificate(Struct, frozen=True, kw_only=True, tag="certificate", forbid_unknown_fields=True):
    """An X.509 certificate, by its facts only. `key_bits` is None where the algorithm's name fixes the size."""

    sha256: Sha256
    spki_sha256: Sha256
    subject: str
    issuer: str
    serial: str
    not_before: date
    not_after: date
    signature_algorithm: str
    key_algorithm: str
    key_bits: int | None = None
    names: tuple[str, ...] = ()
    authority: bool = False


class PublicKey(Struct, frozen=True, kw_only=True, tag="public-key", forbid_unknown_fields=True):
    """A public key by the hash of its public part; a private key found beside it shares this identity."""

    sha256: Sha256
    algorithm: str
    bits: int | None = None
    private_part_present: bool = False


class Endpoint(Struct, frozen=True, kw_only=True, tag="endpoint", forbid_unknown_fields=True):
    """A listening service that speaks a cryptographic protocol.

    Four facts that are often taken for one: `supports_post_quantum` (it accepts such a key exchange from a client that
    offers nothing else), `negotiates_post_quantum` (a client of today gets it), `prefers_post_quantum` (it asks for the
    share that an offer of both left out; False: it silently takes the classical one), and what it authenticates with,
    which is an `AlgorithmUse` of its own. None where a question could not be answered.
    """

    protocol: str
    host: str
    port: Port
    versions: tuple[str, ...] = ()
    software: str = ""
    supports_post_quantum: bool | None = None
    negotiates_post_quantum: bool | None = None
    prefers_post_quantum: bool | None = None


class AlgorithmUse(Struct, frozen=True, kw_only=True, tag="algorithm-use", forbid_unknown_fields=True):
    """An algorithm at work in a place: its canonical name, and the value on the wire if there is one.

    `library` is what provides it, where source code says so; `in_tests`: the place is test code.
    """

    algorithm: str
    function: Function
    code_point: str = ""
    library: str = ""
    in_tests: bool = False


class Keystore(Struct, frozen=True, kw_only=True, tag="keystore", forbid_unknown_fields=True):
    """A container of keys and certificates (PKCS#12, JKS, a token). `entries` is None where it is locked."""

    format: str
    entries: Count | None = None
    encrypted: bool = False


class Library(Struct, frozen=True, kw_only=True, tag="library", forbid_unknown_fields=True):
    """A cryptographic library that is present. That says it can be used, never that it is."""

    name: str
    version: str = ""
    purl: str = ""


class ProtocolSettings(Struct, frozen=True, kw_only=True, tag="protocol-settings", forbid_unknown_fields=True):
    """What a configuration tells a program to speak: the protocol, its versions, and the addresses it listens on."""

    software: str
    protocol: str
    versions: tuple[str, ...] = ()
    listens: tuple[str, ...] = ()


class Flow(Struct, frozen=True, kw_only=True, tag="flow", forbid_unknown_fields=True):
    """Traffic between two addresses that was seen passing, by protocol and key establishment.

    `port` is the server's. `first` and `last` are ISO 8601 in UTC, empty where the source has no clock.
    """

    client: str
    server: str
    port: Port
    transport: Literal["tcp", "udp", "other"]
    protocol: str
    key_establishment: str = ""
    octets_to_server: Count = 0
    octets_to_client: Count = 0
    packets: Count = 0
    first: str = ""
    last: str = ""


Fact = Certificate | PublicKey | Endpoint | AlgorithmUse | Keystore | Library | ProtocolSettings | Flow


class Observation(Struct, frozen=True, kw_only=True, tag_field="record", tag="observation", forbid_unknown_fields=True):
    """One fact that one probe saw at one place (`tls://host:443`, `file:certs/web.pem#1`)."""

    target: Identifier
    probe: str
    place: str
    strength: Strength
    fact: Fact


class Attempt(Struct, frozen=True, kw_only=True, tag_field="record", tag="attempt", forbid_unknown_fields=True):
    """How the work on one target, or on one file or endpoint of it, ended, and why if it did not end well.

    `counts` says how many of its files or endpoints ended in each outcome, where it has several.
    """

    target: Identifier
    probe: str
    place: str
    outcome: Outcome
    reason: str = ""
    counts: tuple[tuple[Outcome, Count], ...] = ()


Record = Observation | Attempt
