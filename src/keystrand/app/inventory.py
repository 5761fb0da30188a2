"""Scan what the estate names, and make the inventory of it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from keystrand import __version__
from keystrand.app.documents import FILES, load, now, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.files import open_for_append, read_bytes, write_atomic
from keystrand.edge.probes.scheduler import planned, scan
from keystrand.formats.cyclonedx import cbom
from keystrand.formats.documents import encode_record
from keystrand.inventory.coverage import attempts_coverage
from keystrand.inventory.merge import merge
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.model.estate import Estate, ProbeKind
from keystrand.model.observation import AlgorithmUse, Attempt, Outcome, Record
from keystrand.model.stages import Inventory, Observations

CBOM = "cbom.json"
PARTIAL = f"{FILES[Observations]}.partial"
Row = dict[str, Any]
ConnectTo = Mapping[tuple[str, int], tuple[str, int]]


class Scanned(NamedTuple):
    """What a scan made. `partial` says that some target gave no answer."""

    observations: Observations
    inventory: Inventory
    partial: bool


def scan_estate(
    opened: OpenEstate,
    out: Path,
    *,
    as_of: date,
    connect_to: ConnectTo | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scanned:
    """Probe every target of the estate and write observations and inventory into `out`.

    While it runs, each record is appended to `observations.jsonl.partial`, so an interrupted scan keeps what it saw.
    """
    partial = out / PARTIAL
    with open_for_append(partial) as file:
        records = asyncio.run(
            scan(opened.estate, opened.folder, sink=_appender(file), connect_to=connect_to, progress=progress)
        )
    observations = Observations(
        format_version=FORMAT_VERSION,
        tool_version=__version__,
        as_of=as_of,
        created_at=now(),
        made_from=(opened.ref,),
        seed=None,
        coverage=attempts_coverage(records),
        stand_ins=_stand_ins(opened.estate, connect_to or {}),
        records=records,
    )
    ref = save(out, observations)
    with suppress(FileNotFoundError):
        partial.unlink()
    inventory = _merge(opened, out, observations, ref)
    return Scanned(observations, inventory, partial=not observations.coverage.complete)


def _stand_ins(estate: Estate, connect_to: ConnectTo) -> tuple[str, ...]:
    return tuple(target.id for target in estate.target if (target.host, target.port) in connect_to)


def merge_again(opened: OpenEstate, out: Path) -> Inventory:
    """Make inventory and CBOM again from the observations in `out`, for an estate that has changed since the scan.

    Raises `DocumentMismatch` where an observation is of a target that the estate no longer names.
    """
    observations, ref = load(out, Observations)
    return _merge(opened, out, observations, ref)


def _merge(opened: OpenEstate, out: Path, observations: Observations, ref: InputRef) -> Inventory:
    made_from = (opened.ref, ref)
    inventory = merge(opened.estate, observations, made_from=made_from, created_at=now(), tool_version=__version__)
    save(out, inventory)
    write_atomic(out / CBOM, cbom(inventory, name=opened.estate.organisation.name))
    return inventory


def _appender(file: BinaryIO) -> Callable[[Record], None]:
    def append(record: Record) -> None:
        try:
            file.write(encode_record(record))
            file.flush()
        except OSError as error:
            raise StoreFailure(f"{file.name} could not be written: {error.strerror}") from error

    return append


def cbom_of(out: Path) -> bytes:
    """Return the CycloneDX 1.6 CBOM of the inventory in `out`, as it was written beside it."""
    load(out, Inventory)  # names what is missing, and how to make it
    return read_bytes(out / CBOM, hint="make it again: keystrand inventory merge DIR --out OUT")


def planned_contacts(opened: OpenEstate) -> list[Row]:
    """Return what a scan of this estate would contact or read, without doing it."""
    return [{"target": c.target, "probe": c.probe, "place": c.place} for c in planned(opened.estate)]


def target_rows(observations: Observations, inventory: Inventory) -> list[Row]:
    """Return one row a target: how the work on it ended, and what it negotiates."""
    return [
        {
            "target": attempt.target,
            "place": attempt.place,
            "outcome": attempt.outcome.value,
            "key_establishment": _best(inventory, attempt.target, Function.KEY_ESTABLISHMENT),
            "authentication": _best(inventory, attempt.target, Function.SIGNATURE),
            "verdict": _verdict(inventory, attempt).value,
            "reason": attempt.reason,
        }
        for attempt in observations.records
        if isinstance(attempt, Attempt)
    ]


def _uses(inventory: Inventory, target: str, function: Function) -> list[tuple[int, str, Verdict]]:
    return sorted(
        (occurrence.strength.rank, asset.fact.algorithm, asset.verdict)
        for asset in inventory.assets
        if isinstance(asset.fact, AlgorithmUse) and asset.fact.function is function
        for occurrence in asset.occurrences
        if occurrence.target == target
    )


def _best(inventory: Inventory, target: str, function: Function) -> str:
    uses = _uses(inventory, target, function)
    return ", ".join(name for rank, name, _ in uses if rank == uses[0][0])


def _verdict(inventory: Inventory, attempt: Attempt) -> Verdict:
    """Return the worst verdict of what the target uses with the strongest evidence; unknown where nothing was seen."""
    if attempt.outcome is not Outcome.SEEN:
        return Verdict.UNKNOWN
    function = Function.SIGNATURE if attempt.probe == ProbeKind.X509 else Function.KEY_ESTABLISHMENT
    uses = _uses(inventory, attempt.target, function)
    seen = {verdict for rank, _, verdict in uses if rank == uses[0][0]}
    return next(
        (v for v in (Verdict.QUANTUM_VULNERABLE, Verdict.UNKNOWN, Verdict.QUANTUM_SAFE) if v in seen), Verdict.UNKNOWN
    )


def asset_rows(out: Path) -> list[Row]:
    """Return one row an asset of the inventory in `out`."""
    inventory, _ = load(out, Inventory)
    return [
        {
            "name": asset.name,
            "kind": asset.fact.__struct_config__.tag,
            "verdict": asset.verdict.value,
            "evidence": asset.strength.value,
            "systems": sorted({o.system for o in asset.occurrences}),
            "id": asset.id,
        }
        for asset in inventory.assets
    ]


def occurrence_rows(out: Path, asset_id: str) -> list[Row]:
    """Return one row a place where an asset occurs. Raises `InvalidInput` unless one id begins so."""
    inventory, _ = load(out, Inventory)
    found = [asset for asset in inventory.assets if asset.id == asset_id] or [
        asset for asset in inventory.assets if asset.id.startswith(asset_id)
    ]
    if len(found) != 1:
        count = f"{len(found)} assets begin" if found else "no asset begins"
        raise InvalidInput(f"{count} with {asset_id!r}", hint="keystrand inventory show lists them")
    (asset,) = found
    return [
        {
            "id": asset.id,
            "verdict": asset.verdict.value,
            "place": o.place,
            "system": o.system,
            "target": o.target,
            "probe": o.probe,
            "evidence": o.strength.value,
        }
        for o in asset.occurrences
    ]
