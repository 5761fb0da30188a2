"""What a probe saw: one observation is one fact, with the place, the evidence level and the target it came from."""

from datetime import date
from enum import StrEnum

from msgspec import Struct

from keystrand.model.algorithm import Function
from keystrand.model.units import Identifier, Port, Sha256


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
        return list(Strength).index(self)


class Outcome(StrEnum):
    """How the attempt on one target ended. Only `seen` says anything about its cryptography."""

    SEEN = "seen"
    NONE = "none"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    UNREADABLE = "unreadable"
    UNPARSABLE = "unparsable"
    SKIPPED = "skipped"


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

    `prefers_post_quantum` is None where the question could not be answered.
    """

    protocol: str
    host: str
    port: Port
    versions: tuple[str, ...] = ()
    software: str = ""
    prefers_post_quantum: bool | None = None


class AlgorithmUse(Struct, frozen=True, kw_only=True, tag="algorithm-use", forbid_unknown_fields=True):
    """An algorithm at work in a place: its canonical name, and the value on the wire if there is one."""

    algorithm: str
    function: Function
    code_point: str = ""


Fact = Certificate | PublicKey | Endpoint | AlgorithmUse


class Observation(Struct, frozen=True, kw_only=True, tag_field="record", tag="observation", forbid_unknown_fields=True):
    """One fact that one probe saw at one place (`tls://host:443`, `file:certs/web.pem#1`)."""

    target: Identifier
    probe: str
    place: str
    strength: Strength
    fact: Fact


class Attempt(Struct, frozen=True, kw_only=True, tag_field="record", tag="attempt", forbid_unknown_fields=True):
    """How the work on one target ended, and why if it did not end well."""

    target: Identifier
    probe: str
    place: str
    outcome: Outcome
    reason: str = ""


Record = Observation | Attempt
