"""Scan what the estate names, and make the inventory of it."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec
from msgspec.structs import replace

from keystrand.app.documents import FILES, load, now
from keystrand.app.estate import OpenEstate
from keystrand.app.inventory_due import Due, earlier_at
from keystrand.app.inventory_store import STORE, AssetsOf, Seen, keep_run, kept_run, merge_run
from keystrand.edge.chunks.sweep import engine_of
from keystrand.edge.chunks.task import Engine
from keystrand.edge.files import read_bytes, replacing
from keystrand.edge.loop import runner
from keystrand.edge.partial import partial_at
from keystrand.edge.probes.scheduler import planned, survey
from keystrand.edge.probes.tree import rules_at
from keystrand.edge.source_rules import own_rules
from keystrand.edge.store.observations import ObservationStore
from keystrand.edge.store.observations import opened as store_at
from keystrand.formats.cyclonedx import head_of, write_cbom
from keystrand.inventory.identity import canonical_place
from keystrand.inventory.verdict import worst
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate, ScanMode
from keystrand.model.observation import AlgorithmUse, Attempt, Endpoint, Keystore, Library, Outcome, ProtocolSettings
from keystrand.model.stages import Asset, Inventory, Observations, Occurrence

CBOM = "cbom.json"
PARTIAL = f"{FILES[Observations]}.partial"
Row = dict[str, Any]
ConnectTo = Mapping[tuple[str, int], tuple[str, int]]


INLINE = "inline"


class How(TypedDict, total=False):
    """How a scan is done.

    `resume`: what an interrupted scan into `out` has looked at is not looked at again. `mode` is asked for in place of
    the estate's. With `max_age` only what is due is touched: files that have changed since the last run in `out`,
    endpoints that were asked longer ago or did not answer in full; the rest is taken from that run. `engine`: whose
    workers read files and merge: inline, pool, pool:WORKERS, ray, ray:ADDRESS.
    """

    resume: bool
    mode: str
    max_age: timedelta | None
    engine: str


class Scanned:
    """What a scan made, read from `out` when asked for: it may be large. `partial`: some target gave no answer."""

    def __init__(self, out: Path, *, partial: bool) -> None:
        self._out, self.partial = out, partial

    @cached_property
    def observations(self) -> Observations:
        """Return what was seen."""
        return load(self._out, Observations)[0]

    @cached_property
    def inventory(self) -> Inventory:
        """Return the inventory of it."""
        return load(self._out, Inventory)[0]


def scan_estate(
    opened: OpenEstate,
    out: Path,
    *,
    as_of: date,
    connect_to: ConnectTo | None = None,
    progress: Callable[[int, int], None] | None = None,
    **how: Unpack[How],
) -> Scanned:
    """Probe every target of the estate and write observations and inventory into `out`; memory does not grow with them.

    While it runs, the records of each endpoint are appended to `observations.jsonl.partial`, so an interrupted scan
    keeps what it saw. Raises `InvalidInput` where there is no mode or engine of that name, or a target's own rules are
    wrong; `OutsideScope` before anything is contacted.
    """
    resume, mode, max_age = how.get("resume", False), how.get("mode", ""), how.get("max_age")
    engine = engine_of(how["engine"]) if how.get("engine", INLINE) != INLINE else None
    asked, begun_for = _with_mode(opened.estate, mode), f"{opened.ref.content_sha256} {mode}".strip()
    for target in asked.target:
        own_rules(rules_at(target, opened.folder))
    with (
        partial_at(out / PARTIAL, estate=begun_for, begun=now().isoformat(), resume=resume) as partial,
        earlier_at(out / STORE, max_age) as earlier,
    ):
        due = Due(asked, partial, earlier, connect_to or {}, opened.folder, engine)
        work = survey(
            asked, opened.folder, connect_to=connect_to, progress=progress,
            deliver=due.deliver, due=due.is_due, reader=due.reader,
        )  # fmt: skip
        runner()(work)
        stand_ins = _stand_ins(opened.estate, connect_to or {})
        with store_at(out / STORE) as store, store.transaction():
            seen = keep_run(store, out, partial, made_from=opened.ref, as_of=as_of, stand_ins=stand_ins)
            _merge(opened, out, store, seen, engine)
        (out / PARTIAL).unlink()  # last: until all is made of it, a scan can go on with it, and no other one begins
    return Scanned(out, partial=not seen.head.coverage.complete)


def _with_mode(estate: Estate, mode: str) -> Estate:
    if not mode:
        return estate
    if mode not in set(ScanMode):
        raise InvalidInput(f"there is no mode {mode!r}", hint=f"write one of {', '.join(ScanMode)}")
    targets = tuple(replace(target, mode=None) for target in estate.target)
    return replace(estate, target=targets, scan=replace(estate.scan, mode=ScanMode(mode)))


def _stand_ins(estate: Estate, connect_to: ConnectTo) -> tuple[str, ...]:
    return tuple(target.id for target in estate.target if (target.host, target.port) in connect_to)


def merge_again(opened: OpenEstate, out: Path) -> Inventory:
    """Make inventory and CBOM again from the observations in `out`, for an estate that has changed since the scan.

    Raises `DocumentMismatch` where an observation is of a target that the estate no longer names.
    """
    with store_at(out / STORE) as store, store.transaction():
        _merge(opened, out, store, kept_run(store, out))
    return load(out, Inventory)[0]


def _merge(opened: OpenEstate, out: Path, store: ObservationStore, seen: Seen, engine: Engine | None = None) -> None:
    around = merge_run(store, out, seen, opened.estate, made_from=(opened.ref, seen.ref), engine=engine)
    with replacing(out / CBOM) as file:
        write_cbom(file, head_of(around, opened.estate.organisation.name), AssetsOf(out))


def cbom_of(out: Path) -> bytes:
    """Return the CycloneDX 1.6 CBOM of the inventory in `out`, as it was written beside it."""
    load(out, Inventory)  # names what is missing, and how to make it
    return read_bytes(out / CBOM, hint="make it again: keystrand inventory merge DIR --out OUT")


def planned_contacts(opened: OpenEstate) -> list[Row]:
    """Return what a scan of this estate would contact or read, without doing it."""
    return [{"target": c.target, "probe": c.probe, "place": c.place} for c in planned(opened.estate)]


def target_rows(observations: Observations, inventory: Inventory) -> list[Row]:
    """Return one row a target, or one an endpoint of it: how the work ended, and what it negotiates.

    A folder is one row: what became of its files is in the tally of their outcomes.
    """
    tallied = {record.target for record in observations.records if isinstance(record, Attempt) and record.counts}
    uses, endpoints = _strongest(inventory), _endpoints(inventory)
    return [
        {
            "target": attempt.target,
            "place": attempt.place,
            "outcome": attempt.outcome.value,
            "key_establishment": ", ".join(uses[_where(attempt), Function.KEY_ESTABLISHMENT]),
            "authentication": ", ".join(uses[_where(attempt), Function.SIGNATURE]),
            "verdict": _verdict(uses, endpoints, attempt).value,
            "reason": attempt.reason,
        }
        for attempt in observations.records
        if isinstance(attempt, Attempt) and (attempt.counts or attempt.target not in tallied)
    ]


_Where = tuple[str, str]
"""A target, and the endpoint of it; for files the target alone."""
_Uses = Mapping[tuple[_Where, Function | None], dict[str, Verdict]]
"""By place and function: the algorithms in use with the strongest evidence there is, with their verdicts.

Without a function: what else says something by itself, such as a certificate that is only kept in a file.
"""
_NOT_BY_ITSELF = (Keystore, Library, ProtocolSettings, Endpoint)


def _where(seen: Attempt | Occurrence) -> _Where:
    return seen.target, "" if seen.place.startswith("file:") else canonical_place(seen.place.partition("#")[0])


def _endpoints(inventory: Inventory) -> dict[_Where, Verdict]:
    """Return the verdict of each endpoint that was asked: it knows what is preferred, and what else is taken."""
    found = ((asset.verdict, seen) for asset in inventory.assets if isinstance(asset.fact, Endpoint)
             for seen in asset.occurrences)  # fmt: skip
    return {_where(seen): verdict for verdict, seen in found if _where(seen)[1]}


def _strongest(inventory: Inventory) -> _Uses:
    found: dict[tuple[_Where, Function | None], list[tuple[int, str, Verdict]]] = defaultdict(list)
    for asset in inventory.assets:
        if isinstance(asset.fact, _NOT_BY_ITSELF):
            continue
        if isinstance(asset.fact, AlgorithmUse):
            function, name = _column(asset.fact.function), asset.fact.algorithm
        else:
            function, name = None, asset.id
        for seen in asset.occurrences:
            use = seen.strength.rank, name, asset.verdict
            for where in {_where(seen), (seen.target, "")}:
                found[where, function].append(use)
    best: dict[tuple[_Where, Function | None], dict[str, Verdict]] = defaultdict(dict)
    for key, uses in found.items():
        strongest = min(rank for rank, _, _ in uses)
        best[key] = {name: verdict for rank, name, verdict in sorted(uses) if rank == strongest}
    return best


def _column(function: Function) -> Function | None:
    return function if function in {Function.KEY_ESTABLISHMENT, Function.SIGNATURE} else None


def _verdict(uses: _Uses, endpoints: Mapping[_Where, Verdict], attempt: Attempt) -> Verdict:
    """Return the verdict of the endpoint; of files the worst of all that is in them, each with its strongest evidence.

    Unknown where nothing was seen.
    """
    if attempt.outcome is not Outcome.SEEN:
        return Verdict.UNKNOWN
    at = _where(attempt)
    if at in endpoints:
        return endpoints[at]
    functions = (Function.KEY_ESTABLISHMENT, Function.SIGNATURE, None)
    return worst(verdict for function in functions for verdict in uses[at, function].values())


def asset_rows(out: Path) -> list[Row]:
    """Return one row an asset of the inventory in `out`. `conflicts` counts what its sources tell differently."""
    inventory, _ = load(out, Inventory)
    return [
        {
            "name": asset.name,
            "kind": asset.fact.__struct_config__.tag,
            "verdict": asset.verdict.value,
            "evidence": asset.strength.value,
            "systems": sorted({o.system for o in asset.occurrences}),
            "id": asset.id,
            "conflicts": len(asset.conflicts),
        }
        for asset in inventory.assets
    ]


def asset_of(out: Path, asset_id: str) -> Asset:
    """Return the asset of this id, or the one whose id begins so. Raises `InvalidInput` unless there is one."""
    inventory, _ = load(out, Inventory)
    found = [asset for asset in inventory.assets if asset.id == asset_id] or [
        asset for asset in inventory.assets if asset.id.startswith(asset_id)
    ]
    if len(found) != 1:
        count = f"{len(found)} assets begin" if found else "no asset begins"
        raise InvalidInput(f"{count} with {asset_id!r}", hint="keystrand inventory show lists them")
    return found[0]


def fact_rows(asset: Asset) -> list[Row]:
    """Return what is known of an asset, one row each, and every difference between its sources."""
    fact = msgspec.to_builtins(asset.fact)
    told = {"id": asset.id, "verdict": asset.verdict.value, "evidence": asset.strength.value, **fact}
    rows: list[Row] = [
        {"what": name.replace("_", " "), "value": "not known" if value is None else value}
        for name, value in told.items()
        if value not in ("", [], {})
    ]
    return rows + [{"what": "conflict", "value": conflict} for conflict in asset.conflicts]


def occurrence_rows(asset: Asset) -> list[Row]:
    """Return one row a place where an asset occurs, with the rule of the estate that gave it to its system."""
    return [
        {
            "place": o.place,
            "system": o.system,
            "rule": o.rule,
            "target": o.target,
            "probe": o.probe,
            "evidence": o.strength.value,
        }
        for o in asset.occurrences
    ]
