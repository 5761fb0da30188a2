"""`keystrand qkd attacks` and `keystrand qkd signs`: what attacks do, and what a link's reports show of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keystrand.cli.output import Output, OutputOption, emit, say


def attacks(
    file: Annotated[Path, typer.Argument(metavar="LINK", help="The link and its block (TOML).")],
    block_s: Annotated[float, typer.Option("--block-s", metavar="S", help="How long a block is gathered.")] = 600.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what each known attack does to a link's error ratios, gains and key, and what can NOT be seen of it."""
    from keystrand.app.qkd_attacks import attack_rows
    from keystrand.model.errors import InvalidInput

    if not 0 < block_s <= 1e7:
        raise InvalidInput(f"a block of {block_s:g} s cannot be", hint="give above 0 to 10,000,000 s")
    rows = attack_rows(file, block_s)
    emit(output, [_brief(row) for row in rows] if output is Output.TABLE else rows)
    for row in rows:
        say(f"{row['attack']}: seen by {'; '.join(row['shows'])}")
        say(f"  NOT seen by {'; '.join(row['hides'])}")
    say("modelled, not measured; `-o json` has each attack's parameters and source")


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "attack": row["attack"],
        "key_qber": f"{row['key_qber']:.2%}",
        "test_qber": f"{row['test_qber']:.2%}",
        "gains": ", ".join(f"{one:.3g}x" for one in row["gain_ratios"]),
        "kbit_per_s_before": f"{row['secret_rate_before_bits_per_s'] / 1e3:.4g}",
        "kbit_per_s_after": f"{row['secret_rate_after_bits_per_s'] / 1e3:.4g}",
        "eve_knows_at_most": f"{row['eve_share']:.1%}",
    }


def signs(
    telemetry: Annotated[Path, typer.Argument(metavar="TELEMETRY", help="Reports of links: JSON lines or CSV.")],
    baseline: Annotated[
        int,
        typer.Option("--baseline", metavar="N", min=10, help="The first N reports of each are known good."),
    ] = 30,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what happened to links from their own reports: nothing, a fault, or signs of an attack. One alarm a year."""
    from keystrand.app.qkd_attacks import signs as found

    value = found(telemetry, baseline)
    brief = ("link", "kind", "why", "since_s")
    rows = value["verdicts"]
    emit(output, [{key: row[key] for key in brief} for row in rows] if output is Output.TABLE else rows, value=value)
    for row in rows:
        if row["also"]:
            say(f"{row['link']}: the same figures could come from: {'; '.join(row['also'])}")
    say("what these reports cannot show, whatever happens:")
    for one in value["unseen"]:
        say(f"  {one['attack']}: {one['why']}")
