"""A published experiment against its model: what the model says of each row, and how many parameters were fitted.

A fitted parameter is fitted on one named row, which is then judged no more. A miss is a result like any other: it is
listed, and no parameter is turned until it goes away.
"""

from enum import StrEnum

from msgspec import Struct
from scipy.optimize import brentq

from keystrand.qkd.experiment import Experiment, Fit, Measured
from keystrand.qkd.experiment_models import Model, value_of, with_values

_SWEEPS = 12
"""Over the fits, one after the other, where there are several."""
_SETTLED = 1e-6


class Verdict(StrEnum):
    """What came of a row."""

    MET = "met"
    MISSED = "missed"
    FITTED = "fitted"
    CONTEXT = "context"


class Judged(Struct, frozen=True, kw_only=True):
    """A row with the model's value and ratio model / published; both None where no model of ours computes it."""

    id: str
    quantity: str
    unit: str
    published: float
    model: float | None
    ratio: float | None
    tolerance: float | None
    verdict: Verdict
    remark: str
    source: str


class Fitted(Struct, frozen=True, kw_only=True):
    """The value a fit found; `reached` is False where none in its range gives the row, and the nearer end is used."""

    parameter: str
    row: str
    value: float
    reached: bool


class Validation(Struct, frozen=True, kw_only=True):
    """An experiment, judged."""

    id: str
    name: str
    source: str
    checked: str
    assumed: str
    free_parameters: int
    fitted: tuple[Fitted, ...]
    rows: tuple[Judged, ...]


def validate(experiment: Experiment) -> Validation:
    """Return every row with the model's value and a verdict. `faults` must have nothing to say."""
    model, found = _fit_all(experiment)
    fitted_rows = {fit.row for fit in experiment.fit}
    return Validation(
        id=experiment.id,
        name=experiment.name,
        source=experiment.source,
        checked=experiment.checked,
        assumed=experiment.assumed,
        free_parameters=len(found),
        fitted=found,
        rows=tuple(_judged(experiment, model, row, fitted=row.id in fitted_rows) for row in experiment.row),
    )


def _judged(experiment: Experiment, model: Model | None, row: Measured, *, fitted: bool) -> Judged:
    value = value_of(with_values(model, row.at), row.quantity) if model is not None and row.quantity else None
    ratio = None if value is None else value / row.published
    return Judged(
        id=row.id,
        quantity=row.quantity,
        unit=row.unit,
        published=row.published,
        model=value,
        ratio=ratio,
        tolerance=row.tolerance,
        verdict=_verdict(row, ratio, fitted=fitted),
        remark=row.context,
        source=row.source or experiment.source,
    )


def _verdict(row: Measured, ratio: float | None, *, fitted: bool) -> Verdict:
    if fitted:
        return Verdict.FITTED
    if ratio is None or row.tolerance is None:
        return Verdict.CONTEXT
    return Verdict.MET if abs(ratio - 1) <= row.tolerance else Verdict.MISSED


def _fit_all(experiment: Experiment) -> tuple[Model | None, tuple[Fitted, ...]]:
    """Fit one parameter after the other, several times over where there are several, until none moves."""
    model = experiment.model
    rows = {row.id: row for row in experiment.row}
    values: dict[str, float] = {}
    found: tuple[Fitted, ...] = ()
    if model is None:
        return None, ()
    for _ in range(_SWEEPS if len(experiment.fit) > 1 else 1):
        before = dict(values)
        found = tuple(_fit_one(model, values, fit, rows[fit.row]) for fit in experiment.fit)
        if all(abs(values[name] - before.get(name, float("inf"))) <= _SETTLED * abs(values[name]) for name in values):
            break
    return with_values(model, values), found


def _fit_one(model: Model, values: dict[str, float], fit: Fit, row: Measured) -> Fitted:
    """Put into `values` what makes the model meet the row, the other fitted values being as they are."""

    def excess(value: float) -> float:
        tried = with_values(model, values | {fit.parameter: value})
        return value_of(with_values(tried, row.at), row.quantity) - row.published

    low, high = excess(fit.low), excess(fit.high)
    reached = low * high <= 0
    value = float(brentq(excess, fit.low, fit.high, rtol=1e-6)) if reached else min(
        (abs(low), fit.low), (abs(high), fit.high))[1]  # fmt: skip
    values[fit.parameter] = value
    return Fitted(parameter=fit.parameter, row=fit.row, value=value, reached=reached)
