"""The audit chain: JSON lines, each with the hash of the line before it, and signed checkpoints among them. Pure.

A line is one JSON object in a fixed order of members, without spaces, ended by a newline; `prev` is the SHA-256 of all
bytes of the line before, newline included. The first line of each file is its genesis (store, format, key). A line of
the audit itself has the actor `audit` and an action that begins with `audit.`; no other line has either.

What the chain shows: an edit, a cut, an insertion or a swap before the latest checkpoint breaks a hash or a signature.
What it cannot show alone: lines cut off the end, back to an earlier checkpoint. That needs a hash kept elsewhere, by a
sink or a person: `head`.
"""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from keystrand.crypto.labels import AUDIT_CHECKPOINT, bound

FORMAT = 1
START = 64 * "0"
"""What the first line of an audit has for the hash of the line before it."""
AUDITOR = "audit"
ALGORITHM = "ML-DSA-65"
_OWN = f"{AUDITOR}."


class Own(StrEnum):
    """The actions of lines that the audit writes about itself."""

    GENESIS = "audit.genesis"
    """A file begins: store, format, number of the segment, public half of the signing key."""
    CHECKPOINT = "audit.checkpoint"
    """A signature over all lines before."""
    TORN = "audit.torn"
    """An unfinished write at the end, left by a crash, was set aside."""
    RECOVERED = "audit.recovered"
    """The records that follow were committed by the store before a crash and are written only now."""
    VOID = "audit.void"
    """The records of a generation, written before a crash, were never committed: nothing was answered for them."""
    SINK_LOST = "audit.sink-lost"
    """A network sink could not keep up, and records were not sent to it. They are in this file."""


_NO_DETAIL = Raw(b"{}")


class AuditRecord(Struct, frozen=True, kw_only=True, gc=False):
    """What happened: who did what, when (seconds since the epoch), over which TLS group, with what detail."""

    at: float
    actor: str
    action: str
    detail: Raw = _NO_DETAIL
    group: str = ""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A line of the audit. The order of the fields is the order of the members."""

    seq: int
    at: str
    actor: str
    group: str
    action: str
    detail: Raw
    generation: int
    prev: str

    @property
    def own(self) -> bool:
        """Whether the audit speaks of itself."""
        return self.action.startswith(_OWN)


class Genesis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first line of a file says."""

    format: int
    store: str
    segment: int
    algorithm: str
    public_key: bytes


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a checkpoint says."""

    store: str
    signature: bytes


_encode = msgspec.json.Encoder().encode
_entry = msgspec.json.Decoder(Entry).decode
_any_json = msgspec.json.Decoder(Raw).decode


def detail_of(**members: Any) -> Raw:
    """Return the detail of a record, encoded once."""
    return Raw(_encode(members))


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(at: float) -> str:
    """Return `at`, seconds since the epoch, after RFC 3339 in UTC with microseconds."""
    second, microseconds = divmod(int(at * 1_000_000), 1_000_000)
    return f"{_second(second)}.{microseconds:06d}Z"


def line_of(record: AuditRecord, seq: int, generation: int, prev: str) -> tuple[bytes, str]:
    """Return the line of `record` and its hash. Raises `ValueError` where the detail is no JSON object on one line."""
    detail = record.detail
    content = bytes(detail)
    if content[:1] != b"{" or b"\n" in content:
        raise ValueError(f"the detail of {record.action} is not a JSON object on one line")
    _any_json(content)
    entry = Entry(
        seq=seq,
        at=timestamp(record.at),
        actor=record.actor,
        group=record.group,
        action=record.action,
        detail=detail,
        generation=generation,
        prev=prev,
    )
    line = _encode(entry) + b"\n"
    return line, hash_of(line)


def hash_of(line: bytes) -> str:
    """Return the SHA-256 of a line, newline included, in hex."""
    return hashlib.sha256(line).hexdigest()


def own_record(action: Own, at: float, detail: Raw) -> AuditRecord:
    """Return a record of the audit about itself."""
    return AuditRecord(at=at, actor=AUDITOR, action=action.value, detail=detail)


def genesis_record(genesis: Genesis, at: float) -> AuditRecord:
    """Return the record that begins a file."""
    return own_record(Own.GENESIS, at, Raw(_encode(genesis)))


def checkpoint_message(store: str, seq: int, generation: int, at: str, prev: str) -> bytes:
    """Return what the signature of the checkpoint at `seq` signs; `prev` vouches for every line before it."""
    return bound(AUDIT_CHECKPOINT, store, str(seq), str(generation), at, prev)


def checkpoint_record(store: str, at: float, signature: bytes) -> AuditRecord:
    """Return the record of a checkpoint signed with `signature`."""
    return own_record(Own.CHECKPOINT, at, Raw(_encode(Signature(store=store, signature=signature))))


def entry_of(line: bytes) -> Entry:
    """Return what a line says. Raises `ValueError` where it is unfinished, or not in the one form that a line has."""
    if not line.endswith(b"\n"):
        raise ValueError("the line is not finished: an interrupted write, or a cut")
    try:
        entry = _entry(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"this is not a line of an audit: {error}") from None
    if len(entry.prev) != len(START) or _encode(entry) != line[:-1]:
        raise ValueError("the line is not in the form that the audit writes")
    if entry.own != (entry.actor == AUDITOR) or (entry.own and entry.action not in set(Own)):
        raise ValueError("the line claims to be the audit's own and is not one that the audit writes")
    return entry
