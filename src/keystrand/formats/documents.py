"""Documents to bytes and back: canonical JSON, JSON Lines for observations, content hashes, JSON Schemas."""

import hashlib
import json
from typing import Any, TypeVar, get_args

import msgspec

from keystrand.model.document import FORMAT_VERSION, Document, without_measured
from keystrand.model.errors import InvalidInput, Problem, UnsupportedFormat
from keystrand.model.observation import Attempt, Fact, Observation, Record
from keystrand.model.stages import (
    Assessment,
    Asset,
    CostReport,
    Inventory,
    Observations,
    OperationsReport,
    PilotReport,
    Plan,
)
from keystrand.model.stages.compared import VendorComparison
from keystrand.model.stages.designed import TopologyDesign
from keystrand.model.stages.targeted import TargetDocument

D = TypeVar("D", bound=Document)

DOCUMENTS: tuple[type[Document], ...] = (
    Observations, Inventory, Assessment, Plan, TargetDocument, TopologyDesign, CostReport, VendorComparison,
    PilotReport, OperationsReport,
)  # fmt: skip
"""The six documents in the order they are made, and after the plan those that are made from it."""


_QUICK = msgspec.json.Encoder(order="sorted")
_WITHOUT_FRACTIONS = (Observation, Attempt, Asset, *get_args(Fact))
"""What there may be millions of. But for fractions, which are none of it, both encoders write the same."""
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> bytes:
    """Return what `value` says, without measured values, as UTF-8 JSON with sorted keys and no spaces.

    Equal values give equal bytes, whatever the order of their keys.
    """
    said = without_measured(value)
    return _QUICK.encode(said) if isinstance(value, _WITHOUT_FRACTIONS) else _ENCODER.encode(said).encode()


def canonical_hash(value: Any) -> str:
    """Return the SHA-256 (hex) of what `value` says, without measured values and whatever the order of its keys."""
    return hashlib.sha256(canonical(value)).hexdigest()


def content_hash(document: Document) -> str:
    """Return the content hash of a document; see `canonical_hash`."""
    return canonical_hash(document)


def encode(document: Document) -> bytes:
    """Return the document's file content: indented JSON with fields in the order of the type, one final newline.

    Observations become JSON Lines: the head first, then one record a line.
    """
    if isinstance(document, Observations):
        return _encode_lines(document)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _encode_lines(document: Observations) -> bytes:
    head = msgspec.to_builtins(document, str_keys=True)
    records = head.pop("records")
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (head, *records))


def encode_record(record: Record) -> bytes:
    """Return one record as its line in `observations.jsonl`."""
    return msgspec.json.encode(record) + b"\n"


def decode(content: bytes, kind: type[D], *, file: str = "") -> D:
    """Return the document in `content`.

    Raises `InvalidInput` where it is not one, and `UnsupportedFormat` where its major version is not ours.
    """
    try:
        if issubclass(kind, Observations):
            return _decode_lines(content, kind)
        _check_version(content)
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        problem = Problem(
            message=str(error), file=file, hint=f"this must be a document of kind {kind.kind()} as keystrand writes it"
        )
        raise InvalidInput(
            f"{file or 'input'} is not a valid document of kind {kind.kind()}", problems=(problem,)
        ) from error


def _decode_lines(content: bytes, kind: type[D]) -> D:
    head, *lines = content.splitlines() or [b""]
    _check_version(head)
    raw = msgspec.json.decode(head, type=dict[str, Any])
    raw["records"] = [msgspec.json.decode(line) for line in lines if line.strip()]
    return msgspec.convert(raw, type=kind)


class _Head(msgspec.Struct):
    format_version: str


def _check_version(content: bytes) -> None:
    version = msgspec.json.decode(content, type=_Head).format_version
    if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise UnsupportedFormat(f"format version {version} is not one this release reads ({FORMAT_VERSION})")


def schema(kind: type[Any]) -> dict[str, Any]:
    """Return the published JSON Schema (2020-12) of `kind`, made from its type."""
    (made,), definitions = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    text = json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "$defs": definitions})
    # Python's end of text; ECMA 262, which JSON Schema names, writes it so
    published: dict[str, Any] = json.loads(text.replace(r"\\Z", "$"))
    return published
