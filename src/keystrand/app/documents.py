"""Where the documents of a run live, and that they belong together."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from keystrand.edge.files import read_bytes, replacing, sha256_hex, write_atomic
from keystrand.formats.documents import content_hash, decode, encode
from keystrand.formats.streamed import ContentHash, Piece
from keystrand.model.document import Document, InputRef
from keystrand.model.errors import DocumentMismatch
from keystrand.model.stages import (
    Assessment,
    CostReport,
    Inventory,
    Observations,
    OperationsReport,
    PilotRecord,
    PilotReport,
    Plan,
)
from keystrand.model.stages.compared import VendorComparison
from keystrand.model.stages.designed import TopologyDesign
from keystrand.model.stages.targeted import TargetDocument

D = TypeVar("D", bound=Document)

FILES: dict[type[Document], str] = {
    Observations: "observations.jsonl",
    Inventory: "inventory.json",
    Assessment: "assessment.json",
    Plan: "plan.json",
    TargetDocument: "target.json",
    TopologyDesign: "topology.json",
    CostReport: "cost.json",
    VendorComparison: "vendors.json",
    PilotRecord: "pilot-record.json",
    PilotReport: "pilot.json",
    OperationsReport: "report.json",
}
"""The file name of each document in a run's folder."""

MADE_BY = {
    Observations: "keystrand inventory scan",
    Inventory: "keystrand inventory scan",
    Assessment: "keystrand assess run",
    Plan: "keystrand plan make",
    TargetDocument: "keystrand plan target",
    TopologyDesign: "keystrand plan topology",
    CostReport: "keystrand plan cost",
    VendorComparison: "keystrand plan vendors evaluate",
    PilotRecord: "keystrand pilot run",
    PilotReport: "keystrand pilot run",
    OperationsReport: "keystrand report make",
}
"""The command that makes each document."""


def now() -> datetime:
    """Return the moment, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def reference(document: Document, content: bytes) -> InputRef:
    """Return the reference to `document`, whose file holds `content`."""
    return InputRef(kind=document.kind(), content_sha256=content_hash(document), file_sha256=sha256_hex(content))


def save(folder: Path, document: Document) -> InputRef:
    """Write `document` into `folder` under its own name, in one step, and return its reference."""
    content = encode(document)
    write_atomic(folder / FILES[type(document)], content)
    return reference(document, content)


def save_pieces(folder: Path, kind: type[Document], pieces: Iterable[Piece]) -> InputRef:
    """Write a document of `kind` as `save` does, piece by piece, and return its reference."""
    said, file_hash = ContentHash(), hashlib.sha256()
    with replacing(folder / FILES[kind]) as file:
        for octets in said.shown(pieces):
            file_hash.update(octets)
            file.write(octets)
    return InputRef(kind=kind.kind(), content_sha256=said.hex, file_sha256=file_hash.hexdigest())


def load(folder: Path, kind: type[D]) -> tuple[D, InputRef]:
    """Return the document of `kind` in `folder` and its reference."""
    path = folder / FILES[kind]
    content = read_bytes(path, hint=f"make it first: {MADE_BY[kind]}")
    document = decode(content, kind, file=str(path))
    return document, reference(document, content)


def pilot_of(estate: InputRef, folder: Path) -> tuple[PilotReport | None, tuple[InputRef, ...]]:
    """Return the pilot's report in `folder` and its reference, where it is of the estate as it is now; else nothing."""
    if not (folder / FILES[PilotReport]).exists():
        return None, ()
    pilot, ref = load(folder, PilotReport)
    return (pilot, (ref,)) if _is_of(pilot, estate) else (None, ())


def _is_of(document: Document, estate: InputRef) -> bool:
    return any(ref.kind == estate.kind and ref.content_sha256 == estate.content_sha256 for ref in document.made_from)


def require_estate(document: Document, estate: InputRef) -> None:
    """Raise `DocumentMismatch` unless `document` was made for what the estate says now; its layout may have changed."""
    if _is_of(document, estate):
        return
    raise DocumentMismatch(
        f"the {document.kind()} document was made from another estate, or the estate has changed since",
        hint="keystrand inventory merge DIR --out OUT makes the inventory again without scanning; then run the stages "
        "after it again",
    )


def require_made_from(document: Document, source: InputRef) -> None:
    """Raise `DocumentMismatch` unless `document` was made from the document that `source` refers to."""
    for ref in document.made_from:
        if ref.kind == source.kind and ref.file_sha256 == source.file_sha256:
            return
    raise DocumentMismatch(
        f"the {document.kind()} document was not made from this {source.kind}: one of them has changed since",
        hint=f"make the {document.kind()} document again",
    )
