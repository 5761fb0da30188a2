"""Hold models against published experiments: those that come with the package, or a file of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keystrand.edge.toml_files import TextFile, read_text, shipped
from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import problems_of, read_toml
from keystrand.formats.toml_lines import line_index
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput
from keystrand.qkd.experiment import Experiment, faults
from keystrand.qkd.validation import Validation, Verdict, validate

Row = dict[str, Any]


def open_experiments(path: Path | None) -> tuple[Experiment, ...]:
    """Return the experiment in `path`, or all that come with the package.

    Raises `InvalidInput` with every problem and its line, and `MissingInput`.
    """
    if path is None:
        return tuple(map(_decode, shipped("qkd", "experiments")))
    return (
        _decode(read_text(path, what="the experiment", hint="docs/howto/check-the-models.md shows a complete one")),
    )


def validations(experiments: Sequence[Experiment]) -> tuple[Validation, ...]:
    """Return every experiment with the models' values and verdicts.

    Raises `InvalidInput` where a fitted value and a row's own parameters do not go together.
    """
    return tuple(map(_validated, experiments))


def _validated(experiment: Experiment) -> Validation:
    try:
        return validate(experiment)
    except ValueError as error:
        raise InvalidInput(
            f"the experiment {experiment.id} cannot be: {error}",
            hint="a fit must stay where every row's own parameters allow it: set its low and high closer",
        ) from error


def rows(results: Sequence[Validation]) -> list[Row]:
    """Return one row a published figure."""
    return [
        {
            "experiment": result.id,
            "row": row.id,
            "quantity": row.quantity,
            "published": row.published,
            "model": row.model,
            "unit": row.unit,
            "ratio": row.ratio,
            "tolerance": row.tolerance,
            "free_parameters": result.free_parameters,
            "verdict": row.verdict.value,
            "remark": row.remark,
        }
        for result in results
        for row in result.rows
    ]


def value(results: Sequence[Validation]) -> Row:
    """Return everything: sources, fits, rows, and how many there are of each verdict."""
    return {"simulated": True, "verdicts": verdicts(results), "experiments": results}


def verdicts(results: Sequence[Validation]) -> dict[str, int]:
    """Return how many rows there are of each verdict."""
    all_rows = [row for result in results for row in result.rows]
    return {verdict.value: sum(row.verdict is verdict for row in all_rows) for verdict in Verdict}


def summary(results: Sequence[Validation]) -> str:
    """Return in words what came of it, with every fit."""
    told = verdicts(results)
    lines = [
        f"{counted(told['met'], 'row')} met, {told['missed']} missed, {told['fitted']} used for a fit, "
        f"{told['context']} shown as context"
    ]
    lines += [
        f"{result.id}: {fit.parameter} = {fit.value:.4g} from row {fit.row}"
        + ("" if fit.reached else ", which it does not reach anywhere in its range")
        for result in results
        for fit in result.fitted
    ]
    return "\n".join(lines)


def _decode(file: TextFile) -> Experiment:
    what = f"the experiment {file.name}"
    made = read_toml(file.text, Experiment, file=file.name, what=what)
    if found := problems_of((Fault(path, words) for path, words in faults(made)), line_index(file.text), file.name):
        raise InvalidInput(f"{what} has {counted(len(found), 'problem')}", problems=found)
    return made
