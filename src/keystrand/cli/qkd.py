"""`keystrand qkd`: what quantum links could give, and what they gave."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import EstateArgument, Output, OutputOption, PlotOption, draw, emit, say, shortened
from keystrand.cli.qkd_attacks import attacks, signs
from keystrand.cli.qkd_optimise import optimise
from keystrand.cli.qkd_repeater import repeater
from keystrand.cli.qkd_session import session
from keystrand.cli.qkd_simulate import simulate
from keystrand.cli.qkd_validate import validate

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_Hardware = Annotated[
    str, typer.Option("--hardware", metavar="NAME", help="Photon-counting hardware: avalanche or nanowire (assumed).")
]
_Attenuation = Annotated[float, typer.Option("--db-per-km", metavar="DB", help="Attenuation of the fibre.")]
_Connectors = Annotated[int, typer.Option("--connectors", metavar="N", help="Connectors on the way, 0.3 dB each.")]


@app.command()
def compare(
    distance: Annotated[
        str, typer.Option("--distance", metavar="KM", help="START:STOP or START:STOP:STEP, in km.")
    ] = "0:400",
    db_per_km: _Attenuation = 0.2,
    connectors: _Connectors = 2,
    hardware: _Hardware = "nanowire",
    plot: PlotOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare all protocols over distance with what no protocol can exceed: secret bits a pulse, modelled."""
    from keystrand.app import qkd_rates

    span, path, made = (
        qkd_rates.distances(distance),
        qkd_rates.fibre(db_per_km, connectors),
        qkd_rates.hardware(hardware),
    )
    value = qkd_rates.compare_value(span, path, made)
    if plot is not None:
        draw(plot, qkd_rates.compare_chart(span, path, made))
    emit(output, shortened(value["rows"]) if output is Output.TABLE else value["rows"], value=value)
    say(f"models, not measurements, with {made.name} ({made.source})")


@app.command()
def rate(
    distance: Annotated[float | None, typer.Option("--distance", metavar="KM", help="Fibre between the users.")] = None,
    loss_db: Annotated[
        float | None, typer.Option("--loss-db", metavar="DB", help="Loss, instead of a distance.")
    ] = None,
    db_per_km: _Attenuation = 0.2,
    connectors: _Connectors = 2,
    hardware: _Hardware = "nanowire",
    co_mw: Annotated[float, typer.Option("--co-mw", metavar="MW", help="Classical light sent along.")] = 0.0,
    counter_mw: Annotated[float, typer.Option("--counter-mw", metavar="MW", help="Classical light against it.")] = 0.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what each protocol gives at one distance or loss, and what limits it; also beside classical channels."""
    from keystrand.app import qkd_rates
    from keystrand.model.errors import InvalidInput

    if (distance is None) == (loss_db is None):
        raise InvalidInput("give either --distance or --loss-db", hint="for instance --distance 50")
    if distance is None and (co_mw or counter_mw):
        raise InvalidInput("Raman noise grows with length: give --distance, not --loss-db", hint="nothing was computed")
    path, made = qkd_rates.fibre(db_per_km, connectors), qkd_rates.hardware(hardware)
    lost = loss_db if loss_db is not None else qkd_rates.loss_of(path, distance or 0.0)
    made = qkd_rates.lit(made, (co_mw, counter_mw), path, distance or 0.0)
    rows = qkd_rates.rate_rows(lost, made)
    words = qkd_rates.limiting_words(lost, made)
    value = {"simulated": True, "loss_db": lost, "hardware": made, "bb84_limited_by": words, "rows": rows}
    brief = ("name", "bits_per_pulse", "bits_per_s", "share_of_limit")
    emit(
        output,
        shortened([{key: row[key] for key in brief} for row in rows]) if output is Output.TABLE else rows,
        value=value,
    )
    say(f"at {lost:.2f} dB, decoy-state BB84 is limited by: {words}")
    if co_mw or counter_mw:
        say(
            f"with classical light, darks are {made.dark_count_ratio:.3g} a gate and detector, in a filter of 0.8 nm "
            "and gates of 1 ns; the rows of continuous variables leave it out"
        )
    say(f"models, not measurements, with {made.name} ({made.source})")


@app.command()
def budget(
    folder: EstateArgument = Path(),
    segment: Annotated[str, typer.Option("--segment", metavar="ID", help="Only this segment.  [default: all]")] = "",
    plot: PlotOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the loss budget of the estate's segments: what is lost, what is to spare, what limits each link."""
    from keystrand.app import qkd_rates
    from keystrand.app.estate import open_estate

    rows = qkd_rates.budget_rows(open_estate(folder), segment)
    if plot is not None:
        draw(plot, qkd_rates.budget_chart(rows))
    brief = ("segment", "length_km", "loss_db", "loss_basis", "to_spare_db", "qber", "bits_per_s", "demand_bits_per_s",
             "covers_demand", "limited_by")  # fmt: skip
    emit(output, shortened([{key: row[key] for key in brief} for row in rows]) if output is Output.TABLE else rows)
    say(f"models, not measurements: {rows[0]['model']}, with {rows[0]['hardware']}" if rows else "no segment")


@app.command()
def calibrate(
    device: Annotated[Path, typer.Argument(metavar="DEVICE.toml", help="What is known of the device.")],
    telemetry: Annotated[Path, typer.Argument(metavar="TELEMETRY", help="Its reports: JSON lines or CSV.")],
    predict_db: Annotated[
        list[float] | None,
        typer.Option("--predict-db", metavar="DB", help="Predict the rate at this loss; repeatable."),
    ] = None,
    hold_out: Annotated[float, typer.Option("--hold-out", metavar="RATIO", help="Foretell this last part.")] = 0.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Fit a link's model to its telemetry, with uncertainty, and say when the model does not explain it."""
    from keystrand.app.qkd_calibrate import calibrate as fitted

    value = fitted(device, telemetry, predict_db=tuple(predict_db or ()), hold_out=hold_out)
    emit(output, shortened(value["parameters"]) if output is Output.TABLE else value["parameters"], value=value)
    for row in value["foretold"]:
        say(f"{row['channel']}: {row['coverage_of_90']:.0%} of later reports within their 90 % interval")
    for row in value["predictions"]:
        say(
            f"at {row['loss_db']:g} dB: {row['secret_bits_per_s']:.4g} bit/s, "
            f"90 % within {row['low']:.4g} to {row['high']:.4g}"
        )
    say(
        "the model explains the series"
        if value["explained"]
        else "THE MODEL DOES NOT EXPLAIN THE SERIES; do not plan with it"
    )
    for reason in value["reasons"]:
        say(f"  {reason}")


app.command()(attacks)
app.command()(signs)
app.command()(validate)
app.command()(optimise)
app.command()(repeater)
app.command()(simulate)
app.command()(session)
