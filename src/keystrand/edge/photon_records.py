"""One end's record of a simulated run as a file: what Alice sent in the slots announced, or what Bob received.

A file is a line that says what it is, the SHA-256 of the rest, and the rest in MessagePack with packed little-endian
arrays. The digest finds accidents, not forgers. Records hold what keys are made of, so nobody but the owner may read
them (mode 0600); and a key made from simulated photons protects nothing.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from keystrand.edge.files import read_bytes, shred, write_atomic
from keystrand.model.errors import InvalidInput, MissingInput, Problem, StoreFailure, UnsupportedFormat
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.detections import Received, Sent
from keystrand.qkd.response import DOUBLE

FORMAT_VERSION = 1
_TITLE = b"keystrand photon record "
_DIGEST_BYTES = 32
_PRIVATE = 0o600
_HINT = "make the records again with 'keystrand qkd simulate' and another seed"

_Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Row = TypeVar("_Row", Sent, Received)


class RunFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a record belongs to: the link, pulses sent, and the seed of the simulation.

    `sent_pulses` counts pulses by intensity and basis, shape (intensities, 2); Alice's record has it, Bob's has None.
    `simulated` is always true: no device writes these files.
    """

    link: Bb84Link
    pulses: _Whole
    seed: _Whole
    sent_pulses: tuple[tuple[_Whole, _Whole], ...] | None = None
    simulated: bool = True

    def __post_init__(self) -> None:
        if not self.simulated:
            raise ValueError("a photon record is simulated")
        if self.sent_pulses is None:
            return
        if len(self.sent_pulses) != len(self.link.transmitter.intensities):
            raise ValueError("sent_pulses needs one row an intensity")
        if sum(map(sum, self.sent_pulses)) != self.pulses:
            raise ValueError("sent_pulses must add up to the pulses")


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in the file. `marks` are the columns beside the slots, in the order of the tuple's fields."""

    end: str
    facts: RunFacts
    slots: bytes
    marks: tuple[bytes, ...]


def write_sent(path: Path, facts: RunFacts, record: Sent) -> None:
    """Write Alice's record. Raises ValueError for one that cannot be, `StoreFailure` where it cannot be written."""
    _write(path, facts, record)


def write_received(path: Path, facts: RunFacts, record: Received) -> None:
    """Write Bob's record, as `write_sent` does; how often Alice sent what is left out, since he does not know."""
    _write(path, msgspec.structs.replace(facts, sent_pulses=None), record)


def read_sent(path: Path) -> tuple[RunFacts, Sent]:
    """Return Alice's record and what it belongs to.

    Raises `MissingInput`; `UnsupportedFormat` for another version; `InvalidInput` with the file and field for what is
    cut short, altered, of the other end, or cannot be.
    """
    facts, record = _read(path, Sent)
    if facts.sent_pulses is None:
        _refuse(path, "the pulses sent by intensity and basis are missing", field="sent_pulses")
    return facts, record


def read_received(path: Path) -> tuple[RunFacts, Received]:
    """Return Bob's record and what it belongs to; raises as `read_sent` does."""
    return _read(path, Received)


def check_usable(path: Path) -> None:
    """Raise `MissingInput`, or `InvalidInput` where others read the record, or it could not be removed once used."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise MissingInput(f"{path} does not exist", hint=f"it may be used up; {_HINT}") from error
    if mode & 0o077:
        raise InvalidInput(f"{path} can be read by others than its owner", hint=f"{_HINT}, or chmod 600 it")
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"{path} makes one key, and could not be removed after", hint="copy it to a folder of yours")


def use_up(path: Path) -> None:
    """Overwrite and remove a record, of two callers for one only. Raises `StoreFailure`, also where it is gone.

    A record makes one key: what correction disclosed of its bits in one session, no other session counts.
    """
    record = path.resolve()  # a link to it is not what must go
    used = record.with_name(f".{record.name}.used")
    try:
        record.rename(used)
        shred(used)
    except OSError as error:
        raise StoreFailure(f"{path} could not be used up, so it makes no key: {error.strerror}", hint=_HINT) from error


def _write(path: Path, facts: RunFacts, record: Sent | Received) -> None:
    if fault := _fault(facts, record):
        raise ValueError(f"{fault[0]}: {fault[1]}")
    if isinstance(record, Sent) and facts.sent_pulses is None:
        raise ValueError("sent_pulses: Alice's record says how many pulses she sent of each kind")
    slots, *marks = record
    columns = tuple(column.astype(np.uint8).tobytes() for column in marks)
    end = type(record).__name__
    body = msgspec.msgpack.encode(_Body(end=end, facts=facts, slots=slots.astype("<i8").tobytes(), marks=columns))
    write_atomic(path, b"%s%d\n" % (_TITLE, FORMAT_VERSION) + sha256(body).digest() + body, mode=_PRIVATE)


def _read(path: Path, kind: type[_Row]) -> tuple[RunFacts, _Row]:
    body = _decoded(path, _checked(path, read_bytes(path, hint=_HINT)))
    if body.end != kind.__name__:
        ends = {"Sent": "Alice", "Received": "Bob"}
        _refuse(
            path, f"this is the record of {ends.get(body.end, 'nobody')}, not of {ends[kind.__name__]}", field="end"
        )
    if len(body.marks) != len(kind._fields) - 1 or len(body.slots) % 8:
        _refuse(path, "the columns are not those of such a record", field="marks")
    slots = np.frombuffer(body.slots, dtype="<i8").astype(np.int64)
    record: Any = kind(slots, *(np.frombuffer(column, dtype=np.uint8).copy() for column in body.marks))
    if fault := _fault(body.facts, record):
        _refuse(path, fault[1], field=fault[0])
    return body.facts, record


def _checked(path: Path, content: bytes) -> bytes:
    """Return the body of a file that is whole."""
    title, _, rest = content.partition(b"\n")
    version = title.removeprefix(_TITLE)
    if not title.startswith(_TITLE) or not version.isdigit():
        _refuse(path, "this is no photon record, or one cut short")
    if version != b"%d" % FORMAT_VERSION:
        problem = Problem(message="another version", file=str(path), field="format_version")
        raise UnsupportedFormat(
            f"{path} is a photon record of version {version[:9].decode()}; this release reads {FORMAT_VERSION}",
            problems=(problem,),
        )
    if sha256(rest[_DIGEST_BYTES:]).digest() != rest[:_DIGEST_BYTES]:
        _refuse(path, "cut short or altered: the content does not have the digest it was written with")
    return rest[_DIGEST_BYTES:]


def _decoded(path: Path, body: bytes) -> _Body:
    try:
        return msgspec.msgpack.decode(body, type=_Body)
    except msgspec.MsgspecError as error:
        message, _, place = str(error).partition(" - at `$.")
        _refuse(path, message, field=place.rstrip("`"))


def _fault(facts: RunFacts, record: Sent | Received) -> tuple[str, str] | None:
    """Return the field that cannot be, and why; None where the record is right."""
    if isinstance(record, Sent):
        most = {"intensity": len(facts.link.transmitter.intensities) - 1, "basis": 1, "bit": 1}
    else:
        most = {"basis": 1, "outcome": DOUBLE}
    slot: NDArray[np.int64] = record.slot
    for field, highest in most.items():
        column = getattr(record, field)
        if column.shape != slot.shape:
            return field, f"{column.size} entries for {slot.size} slots"
        if column.size and (column.max() > highest or column.min() < 0):
            return field, f"values reach from {column.min()} to {column.max()}, but lie within 0 to {highest}"
    if slot.size and (slot[0] < 0 or slot[-1] >= facts.pulses or np.any(slot[1:] <= slot[:-1])):
        return "slot", f"slots must rise strictly, from 0 or more, and stay below the {facts.pulses} pulses"
    return None


def _refuse(path: Path, message: str, *, field: str = "") -> NoReturn:
    problem = Problem(message=message, file=str(path), field=field, hint=_HINT)
    raise InvalidInput(f"{path} is not a valid photon record", problems=(problem,), hint=_HINT)
