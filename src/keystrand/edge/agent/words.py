"""What two agents say to each other. None of it is secret: keys are named by their IDs and proven by tags."""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.units import Identifier

KeyId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z-]+\Z")]
Hex = Annotated[str, Meta(max_length=4096, pattern=r"^(?:[0-9a-f]{2})*\Z")]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Reason = Annotated[str, Meta(max_length=400)]
NONCE_OCTETS = 32


class _Word(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="say", tag=str.lower):
    """About one consumer, which has the same id at both ends."""

    consumer: Identifier


class _OfKey(_Word, frozen=True, kw_only=True):
    """About one key of its."""

    key_id: KeyId


class Offer(_OfKey, frozen=True, kw_only=True):
    """The initiator names a key and proves that it holds it. `number` is higher than that of any offer before."""

    label: Annotated[str, Meta(max_length=64)]
    substitute: bool
    number: Annotated[int, Meta(ge=1, le=1 << 53)]
    nonce: Nonce
    proof: Hex


class Confirm(_OfKey, frozen=True, kw_only=True):
    """The responder holds the same key."""

    nonce: Nonce
    proof: Hex


class Refuse(_OfKey, frozen=True, kw_only=True):
    """The responder does not take the key. `number` is that of the latest offer it has heard."""

    why: Reason
    number: Annotated[int, Meta(ge=0, le=1 << 53)]


class Install(_OfKey, frozen=True, kw_only=True):
    """The responder shall install the key that it confirmed."""


class Installed(_OfKey, frozen=True, kw_only=True):
    """It has."""


class Proven(_OfKey, frozen=True, kw_only=True):
    """Traffic runs under the key; the one before it may go."""


class Agree(_OfKey, frozen=True, kw_only=True):
    """The initiator's share of a key agreement: an ML-KEM-768 public key (FIPS 203)."""

    share: Hex


class Agreed(_OfKey, frozen=True, kw_only=True):
    """The responder's share: the ciphertext."""

    share: Hex


class Want(_Word, frozen=True, kw_only=True):
    """The responder's consumer has no key in use: the initiator shall begin."""


Asked = Offer | Install | Proven | Agree
"""What an initiator says."""
Answered = Confirm | Refuse | Installed | Agreed | Want
"""What a responder says."""
