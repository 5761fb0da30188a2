"""A pilot's plan beside the estate: begun, read, and a recorded campaign judged by it."""

from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from keystrand import __version__
from keystrand.app.documents import FILES, load, now, require_estate, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.files import read_bytes, sha256_hex, write_new
from keystrand.edge.toml_files import read_text
from keystrand.formats.documents import canonical_hash, decode
from keystrand.formats.pilot_starter import starter_plan
from keystrand.formats.pilot_toml import pilot_plan_from_toml
from keystrand.formats.wording import plain_number
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, KeystrandError, StoreFailure
from keystrand.model.pilot import Pilot, PilotPlan
from keystrand.model.stages import PilotReport
from keystrand.model.stages.proved import CriterionResult
from keystrand.model.stages.recorded import PilotRecord
from keystrand.pilot.comparing import PilotComparison, compare_pilots
from keystrand.pilot.judging import PLAN_KIND, Origin, judge

PILOT_FILE = "pilot.toml"


class PartlyRun(KeystrandError):
    """A campaign ran and was judged, but consumers or events that were declared are left out of it."""

    id = "partly-run"
    exit_code = 3
    default_hint = "the reasons stand above; the scorecard counts what was not run as not measured"


class OpenPlan(NamedTuple):
    """A pilot's plan that passed every check, the estate's pilot that it runs, and the reference documents carry."""

    plan: PilotPlan
    pilot: Pilot
    ref: InputRef


def pilot_named(opened: OpenEstate, name: str = "") -> Pilot:
    """Return the estate's pilot called `name`, or its first. Raises `InvalidInput`."""
    names = [pilot.id for pilot in opened.estate.pilot]
    if not names:
        raise InvalidInput("the estate declares no pilot", hint="add a [[pilot]] table to estate.toml")
    if name and name not in names:
        raise InvalidInput(f"no pilot is called {name!r}", hint=f"the estate has: {', '.join(names)}")
    return next(pilot for pilot in opened.estate.pilot if pilot.id == (name or names[0]))


def init_plan(opened: OpenEstate, name: str = "") -> Path:
    """Write a first plan for the estate's pilot `name` beside the estate. Raises `InvalidInput` where there is one."""
    file = opened.folder / PILOT_FILE
    text = starter_plan(opened.estate, pilot_named(opened, name), str(opened.folder))
    try:
        write_new(file, text.encode())
    except FileExistsError as error:
        raise InvalidInput(
            f"{file} already exists, and is left as it is", hint="edit it, or move it away first"
        ) from error
    except OSError as error:
        raise StoreFailure(f"{file} could not be written: {error.strerror}") from error
    return file


def plan_file(opened: OpenEstate, file: Path | None = None) -> Path:
    """Return where the pilot's plan is: `file` where one is named, else beside the estate."""
    return file or opened.folder / PILOT_FILE


def open_plan(opened: OpenEstate, file: Path | None = None) -> OpenPlan:
    """Read and judge the pilot's plan. Raises `InvalidInput` with every problem, or `MissingInput`."""
    file = plan_file(opened, file)
    told = read_text(file, what="the pilot's plan", hint=f"begin one with: keystrand pilot init {opened.folder}")
    plan = pilot_plan_from_toml(told.text, str(file), [pilot.id for pilot in opened.estate.pilot])
    ref = InputRef(kind=PLAN_KIND, content_sha256=canonical_hash(plan), file_sha256=sha256_hex(told.text.encode()))
    return OpenPlan(plan, pilot_named(opened, plan.pilot), ref)


def score_record(opened: OpenEstate, out: Path, *, as_of: date, file: Path | None = None) -> PilotReport:
    """Judge the record in `out` by the pilot's plan in `file`, or beside the estate, and write the report there."""
    plan = open_plan(opened, file)
    record, record_ref = load(out, PilotRecord)
    require_estate(record, opened.ref)
    inputs = dict.fromkeys((opened.ref, *(ref for ref in record.made_from if ref.kind != plan.ref.kind), plan.ref))
    origin = Origin(as_of=as_of, made_from=(*inputs, record_ref), created_at=now(), tool_version=__version__)
    report = judge(plan.pilot, plan.plan, record, origin)
    save(out, report)
    return report


def require_whole(report: PilotReport) -> None:
    """Raise `PartlyRun` where something that was declared did not run."""
    if report.left_out:
        raise PartlyRun(f"{len(report.left_out)} of what was declared did not run")


def compare_reports(first: Path, second: Path, *, unlike: bool = False) -> PilotComparison:
    """Compare the pilots' reports in two files, or in two folders of runs."""
    return compare_pilots(*(_report(path) for path in (first, second)), unlike=unlike)


def _report(path: Path) -> PilotReport:
    file = path / FILES[PilotReport] if path.is_dir() else path
    content = read_bytes(file, hint="name the pilot.json of a campaign, or the folder of its run")
    return decode(content, PilotReport, file=str(file))


def comparison_rows(made: PilotComparison) -> list[dict[str, Any]]:
    """Return one row a criterion."""
    return [
        {
            "consumer": pair.consumer,
            "criterion": pair.name,
            "goal": next(one.goal for one in (pair.first, pair.second) if one is not None),
            "first": _cell(pair.first),
            "second": _cell(pair.second),
            "better": pair.better,
            "why": pair.words,
        }
        for pair in made.criteria
    ]


def _cell(result: CriterionResult | None) -> str:
    if result is None:
        return "not asked"
    seen = result.measured
    return f"{result.state}: {plain_number(seen.value, 3)} {seen.unit}" if seen else result.state.value
