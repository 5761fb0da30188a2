"""Ask vendors, take their answers, and compare them."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from keystrand import __version__
from keystrand.app.documents import FILES, load, now, require_estate, save
from keystrand.app.estate import OpenEstate
from keystrand.edge.files import sha256_hex, write_atomic
from keystrand.edge.toml_files import TextFile
from keystrand.edge.vendor_files import (
    SHEETS,
    SheetFile,
    evaluation,
    public_sheets,
    requirements,
    returned_questionnaire,
    vendor_sheets,
)
from keystrand.formats.decode import faults_of
from keystrand.formats.documents import canonical_hash
from keystrand.formats.questionnaire import Changes, Returned, sheet_of
from keystrand.formats.questionnaire_markdown import questionnaire_markdown, read_markdown
from keystrand.formats.questionnaire_workbook import read_xlsx
from keystrand.formats.vendor_toml import sheet_to_toml, weights_of
from keystrand.formats.wording import joined
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, Problem
from keystrand.model.stages import PilotReport, Plan
from keystrand.model.stages.compared import VendorComparison
from keystrand.model.units import Identifier
from keystrand.model.vendor import Requirement, VendorSheet
from keystrand.model.words import shown
from keystrand.plan.vendors import Asked, Grounds, compare_vendors


def evaluate_vendors(opened: OpenEstate, out: Path, *, as_of: date) -> VendorComparison:
    """Compare the vendors whose sheets stand beside the estate, and write the result into `out`.

    The plan and the pilot's report in `out` take part where they are there.
    """
    asked = requirements(opened.folder)
    sheets = vendor_sheets(opened.folder, asked)
    counts, file = evaluation(opened.folder, asked)
    refs = [opened.ref, _ref("vendor-requirements", tuple(asked.values()), None)]
    if file:
        refs.append(_ref("vendor-weights", counts, file))
    refs += [_ref("vendor-sheet", one.sheet, one.file) for one in sheets]
    _require_known_pilots(sheets, opened)
    grounds, more = _grounds(opened, out)
    comparison = compare_vendors(
        grounds,
        [one.sheet for one in sheets],
        Asked(asked, weights_of(counts, asked), counts.gate),
        as_of=as_of,
        made_from=(*refs, *more),
        created_at=now(),
        tool_version=__version__,
    )
    save(out, comparison)
    return comparison


def _ref(kind: str, value: object, file: TextFile | None) -> InputRef:
    said = canonical_hash(value)
    return InputRef(kind=kind, content_sha256=said, file_sha256=sha256_hex(file.text.encode()) if file else said)


def _require_known_pilots(sheets: Sequence[SheetFile], opened: OpenEstate) -> None:
    known = [pilot.id for pilot in opened.estate.pilot]
    problems = tuple(
        Problem(message=f"the estate has no pilot {name!r}", file=one.file.name, field="pilots",
                hint=f"pilots of the estate: {joined(known, most=20) or 'none'}")
        for one in sheets
        for name in one.sheet.pilots
        if name not in known
    )  # fmt: skip
    if problems:
        raise InvalidInput("sheets of vendors name pilots that are not there", problems=problems)


def _grounds(opened: OpenEstate, out: Path) -> tuple[Grounds, list[InputRef]]:
    """Return what vendors are judged on. Raises `DocumentMismatch` where a plan or pilot is of another estate."""
    refs: list[InputRef] = []
    plan: Plan | None = None
    pilot: PilotReport | None = None
    if (out / FILES[Plan]).exists():
        plan, ref = load(out, Plan)
        require_estate(plan, opened.ref)
        refs.append(ref)
    if (out / FILES[PilotReport]).exists():
        pilot, ref = load(out, PilotReport)
        require_estate(pilot, opened.ref)
        refs.append(ref)
    return Grounds(opened.estate, plan, pilot), refs


def write_sheet(home: Path, vendor: str, name: str, *, as_of: date) -> Path:
    """Write a new sheet for `vendor`: with what was found in public, or empty. Raises `InvalidInput` for one there is.

    `name` is needed for a vendor of whom nothing was found.
    """
    _require_folder(home)
    asked = requirements(home)
    if any(one.sheet.id == vendor for one in vendor_sheets(home, asked)):
        raise InvalidInput(f"{vendor} has a sheet already", hint="edit it, or send its questionnaire")
    if faults := faults_of(vendor, Identifier):
        raise InvalidInput(f"{vendor!r}: {faults[0].message}", hint=faults[0].hint)
    public = public_sheets(asked)
    if vendor not in public and not name:
        known = joined(sorted(public), most=20)
        raise InvalidInput(
            f"nothing is known of {vendor!r}", hint=f"give its --name; public facts are there of {known}"
        )
    sheet = public.get(vendor) or VendorSheet(id=vendor, name=name, offer="not said yet", as_of=as_of)
    if name and (faults := faults_of({"id": vendor, "name": name, "offer": "x", "as_of": as_of}, VendorSheet)):
        raise InvalidInput(f"--name {name!r}: {faults[0].message}", hint=faults[0].hint)
    path = home / SHEETS / f"{vendor}.toml"
    write_atomic(path, sheet_to_toml(replace(sheet, name=name or sheet.name)).encode())
    return path


def _require_folder(home: Path) -> None:
    if not home.is_dir():
        raise MissingInput(f"{home} is not a folder", hint="name the folder that holds estate.toml")


def _sheet(home: Path, vendor: str, asked: dict[str, Requirement]) -> SheetFile:
    sheets = vendor_sheets(home, asked)
    found = next((one for one in sheets if one.sheet.id == vendor), None)
    if found is None:
        known = joined([one.sheet.id for one in sheets], most=20)
        hint = (
            f"sheets are there of {known}"
            if sheets
            else f"write one with: keystrand plan vendors sheet {vendor} {home}"
        )
        raise MissingInput(f"no sheet of {vendor!r} in {home / SHEETS}", hint=hint)
    return found


def write_questionnaire(home: Path, vendor: str, file: Path) -> None:
    """Write the questions to `vendor` into `file`: a workbook, or Markdown, by the ending of its name.

    Raises `InvalidInput` where the file is there: it may hold answers.
    """
    _require_folder(home)
    if file.exists():
        raise InvalidInput(f"{file} is there already, and is left as it is", hint="choose another name for --file")
    asked = requirements(home)
    sheet = _sheet(home, vendor, asked).sheet
    if file.suffix == ".md":
        content = questionnaire_markdown(sheet, list(asked.values())).encode()
    elif file.suffix == ".xlsx":
        content = _workbook(sheet, list(asked.values()))
    else:
        raise InvalidInput(f"{file} is neither workbook nor Markdown", hint="give --file a name in .xlsx or .md")
    write_atomic(file, content)


def _workbook(sheet: VendorSheet, asked: list[Requirement]) -> bytes:
    try:
        from keystrand.formats.questionnaire_xlsx import questionnaire_xlsx  # noqa: PLC0415 - an extra that may be absent
    except ImportError as error:
        raise KeystrandError(
            "a workbook needs the package openpyxl, which is not installed",
            hint="install keystrand[plan], or give --file a name that ends in .md",
        ) from error
    return questionnaire_xlsx(sheet, asked)


class Imported(NamedTuple):
    """What came of a questionnaire: the sheet's file, what changed in it, and what to know."""

    path: Path
    changes: Changes
    notes: tuple[str, ...]


def import_questionnaire(home: Path, vendor: str, file: Path, *, as_of: date) -> Imported:
    """Put what `vendor` sent back into its sheet; where nothing changed, the sheet's file is left as it is.

    Raises `InvalidInput` with every problem, each with its line or cell, and where the file speaks for another vendor:
    then nothing is written.
    """
    _require_folder(home)
    asked = requirements(home)
    returned = _returned(file)
    if returned.vendor != vendor:
        raise InvalidInput(
            f"{file} speaks for {shown(returned.vendor)!r}, not for {vendor!r}",
            hint="a vendor's file must not change another's sheet: name the vendor that it is from",
        )
    before = next((one for one in vendor_sheets(home, asked) if one.sheet.id == returned.vendor), None)
    changes = sheet_of(returned, before.sheet if before else None, asked, as_of=as_of)
    path = Path(before.file.name) if before else home / SHEETS / f"{changes.sheet.id}.toml"
    if before is None or changes.sheet != before.sheet:
        write_atomic(path, sheet_to_toml(changes.sheet).encode())
    return Imported(path, changes, _differences(returned, changes))


def _differences(returned: Returned, changes: Changes) -> tuple[str, ...]:
    """Return what the file says otherwise than the sheet, and what it does not have: both are left as they were."""
    sheet = changes.sheet
    heads = (("name", returned.name, sheet.name), ("offer", returned.offer, sheet.offer))
    notes = [
        f"the file has another {name}, {shown(said)!r}: the sheet's is kept" for name, said, our in heads if said != our
    ]
    absent = [f"not in the file, and left as they were: {joined(changes.kept)}"] if changes.kept else []
    return (*notes, *absent)


def _returned(file: Path) -> Returned:
    content = returned_questionnaire(file)
    if file.suffix == ".md":
        return read_markdown(content, str(file))
    if file.suffix == ".xlsx":
        return read_xlsx(content, str(file))
    raise InvalidInput(f"{file} is neither workbook nor Markdown", hint="only .xlsx and .md are read")
