"""`keystrand plan vendors`: ask vendors, and compare what they answer."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

VendorArgument = Annotated[str, typer.Argument(metavar="VENDOR", help="The id of the vendor's sheet.")]
_Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What the vendor is called.")]
_File = Annotated[Path, typer.Option("--file", metavar="FILE", help="Where to write it: .xlsx, or .md.")]


@app.command()
def requirements(folder: EstateArgument = Path(), output: OutputOption = Output.TABLE) -> None:
    """Show what vendors are asked: the questions of the catalogue, and those in DIR/requirements."""
    from keystrand.app.plan_vendors_rows import requirement_rows

    emit(output, requirement_rows(folder))


@app.command()
def sheet(vendor: VendorArgument, folder: EstateArgument = Path(), name: _Name = "", as_of: AsOfOption = "") -> None:
    """Begin a vendor's sheet in DIR/vendors: with what was found in public, or empty."""
    from keystrand.app.plan_vendors import write_sheet

    say(f"wrote {write_sheet(folder, vendor, name, as_of=day(as_of))}")


@app.command()
def questionnaire(vendor: VendorArgument, file: _File, folder: EstateArgument = Path()) -> None:
    """Write the questions to a vendor, with what its sheet says so far, to be filled in and sent back."""
    from keystrand.app.plan_vendors import write_questionnaire

    write_questionnaire(folder, vendor, file)
    say(f"wrote {file}; take the answers in with: keystrand plan vendors import {vendor} {file} {folder}")


@app.command("import")
def take_in(
    vendor: VendorArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A questionnaire that came back: .xlsx, or .md.")],
    folder: EstateArgument = Path(),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Put a vendor's answers into its sheet. Your evidence and judgements stay; nothing in the file is evaluated."""
    from keystrand.app.plan_vendors import import_questionnaire
    from keystrand.formats.wording import counted

    path, changes, notes = import_questionnaire(folder, vendor, file, as_of=day(as_of))
    row = {"vendor": vendor, "sheet": str(path), "new_or_changed": changes.new, "gone": changes.withdrawn,
           "left_as_they_were": list(changes.kept)}  # fmt: skip
    emit(output, [row])
    for note in notes:
        say(note)
    told = f"{counted(changes.new, 'answer')} new or changed, {changes.withdrawn} gone"
    say(f"{told}; wrote {path}" if changes.new or changes.withdrawn else f"nothing changed in {path}")


@app.command()
def evaluate(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare the vendors in DIR/vendors on your segments, with the weights and must-haves of DIR/vendors.toml."""
    from keystrand.app.estate import open_estate
    from keystrand.app.plan_vendors import evaluate_vendors
    from keystrand.app.plan_vendors_rows import comparison_rows, summary, warning

    comparison = evaluate_vendors(open_estate(folder), out, as_of=day(as_of))
    emit(output, comparison_rows(comparison), value=comparison)
    if before := warning(comparison):
        say(before)
    say(f"{summary(comparison)}; wrote {out}/vendors.json")
    say(f"see why with: keystrand plan vendors show VENDOR --out {out}, and plan vendors weights --out {out}")


@app.command()
def show(
    vendor: VendorArgument,
    out: OutOption = Path("out"),
    segments: Annotated[bool, typer.Option("--segments", help="Show how the offer fits each segment.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one vendor of the comparison in OUT: every answer, its evidence, its worth, and what is open."""
    from keystrand.app.plan_vendors_rows import answer_rows, saved_comparison, segment_rows

    comparison = saved_comparison(out)
    emit(output, segment_rows(comparison, vendor) if segments else answer_rows(comparison, vendor))
    for note in next(one.notes for one in comparison.vendors if one.vendor == vendor):
        say(note)


@app.command()
def weights(out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """Show between which weights the first vendor of the comparison in OUT stays first, one weight at a time."""
    from keystrand.app.plan_vendors_rows import saved_comparison, summary, weight_rows

    comparison = saved_comparison(out)
    emit(output, weight_rows(comparison))
    say(summary(comparison))
