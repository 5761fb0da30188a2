"""All stages, one after the other."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

from keystrand.app.assess import assess_estate
from keystrand.app.documents import FILES
from keystrand.app.estate import open_estate
from keystrand.app.inventory import CBOM, ConnectTo, scan_estate
from keystrand.app.pilot import run_pilot
from keystrand.app.plan import plan_estate
from keystrand.app.report import report_estate
from keystrand.model.stages import PilotReport


class Run(NamedTuple):
    """What a whole run made. `partial` says that some target gave no answer."""

    page: Path
    files: tuple[Path, ...]
    partial: bool
    headline: tuple[str, ...]


def run_all(
    folder: Path,
    out: Path,
    *,
    as_of: date,
    connect_to: ConnectTo | None = None,
    stage: Callable[[str], None] = lambda _: None,
) -> Run:
    """Run every stage on the estate in `folder` and write the documents into `out`.

    The estate is judged before anything is written. `stage` is told the name of each stage as it begins.
    """
    opened = open_estate(folder)
    stage("inventory")
    scanned = scan_estate(opened, out, as_of=as_of, connect_to=connect_to)
    stage("assess")
    assess_estate(opened, out, as_of=as_of)
    stage("plan")
    plan_estate(opened, out, as_of=as_of)
    stage("pilot")
    if opened.estate.pilot:
        run_pilot(opened, out, as_of=as_of)
    else:
        (out / FILES[PilotReport]).unlink(missing_ok=True)
    stage("report")
    report, page = report_estate(opened, out, as_of=as_of)
    files = tuple(out / name for name in (*FILES.values(), CBOM, page.name) if (out / name).exists())
    return Run(page, files, scanned.partial, tuple(f"{f.label}: {f.value}" for f in report.headline))
