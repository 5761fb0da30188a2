"""A published experiment as a file says it: the parameters of a model, which of them are fitted, and measured rows."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from keystrand.model.units import Identifier
from keystrand.qkd.experiment_models import (
    Capacity,
    CascadeFrames,
    EndlessBb84,
    FiniteBb84,
    Gaussian,
    IndependentBb84,
    Model,
    Value,
    quantities,
    with_values,
)

_Path = tuple[str | int, ...]
_Text = Annotated[str, Meta(min_length=1)]


class Fit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter nobody published, by its dotted name: whatever within `low` and `high` gives `row` its value."""

    parameter: _Text
    row: Identifier
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError("the low end must be below the high end")


class Measured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published figure. `at` sets parameters of the model for this row, by dotted name.

    A row is judged by its relative `tolerance`. `context` says instead why it is shown but not judged; with a
    `quantity` it still gets the model's value beside it. `source` is given where it is not the experiment's.
    """

    id: Identifier
    published: Annotated[float, Meta(gt=0)]
    unit: _Text
    quantity: str = ""
    tolerance: Annotated[float, Meta(gt=0, le=1)] | None = None
    context: str = ""
    source: str = ""
    at: dict[str, Value] = {}


class Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of `keystrand qkd validate`: parameters of one model at most, what is fitted, and measured rows.

    `checked` says where the figures were read: in the paper itself, in another text that repeats them, or nowhere.
    `assumed` names the parameters that are in no source.
    """

    id: Identifier
    name: _Text
    source: _Text
    checked: Literal["primary", "second-hand", "memory"]
    row: Annotated[tuple[Measured, ...], Meta(min_length=1)]
    assumed: str = ""
    finite_bb84: FiniteBb84 | None = None
    independent_bb84: IndependentBb84 | None = None
    endless_bb84: EndlessBb84 | None = None
    gaussian: Gaussian | None = None
    cascade: CascadeFrames | None = None
    capacity: Capacity | None = None
    fit: Annotated[tuple[Fit, ...], Meta(max_length=3)] = ()

    @property
    def model(self) -> Model | None:
        """Return the one model the file gives parameters for."""
        return next((one for one in self._models() if one is not None), None)

    def _models(self) -> tuple[Model | None, ...]:
        return self.finite_bb84, self.independent_bb84, self.endless_bb84, self.gaussian, self.cascade, self.capacity

    def __post_init__(self) -> None:
        if sum(one is not None for one in self._models()) > 1:
            raise ValueError("give the parameters of one model only")


def faults(experiment: Experiment) -> Iterator[tuple[_Path, str]]:
    """Yield what the types cannot see: the path in the file, and what is wrong there."""
    ids = [row.id for row in experiment.row]
    for n, row in enumerate(experiment.row):
        if row.id in ids[:n]:
            yield ("row", n, "id"), f"row {row.id!r} stands here more than once"
        if (row.tolerance is None) == (not row.context) and row.id not in {fit.row for fit in experiment.fit}:
            yield ("row", n), "give a row either a tolerance or, in context, the reason why it is not judged"
        if row.quantity or not row.context:
            yield from ((("row", n, *where), what) for where, what in _row_faults(experiment.model, row))
    for n, fit in enumerate(experiment.fit):
        yield from ((("fit", n, *where), what) for where, what in _fit_faults(experiment, fit))


def _row_faults(model: Model | None, row: Measured) -> Iterator[tuple[_Path, str]]:
    if model is None:
        yield (), "a row is judged by a model: give one, or say in context why there is none"
        return
    for name, value in row.at.items():
        try:
            with_values(model, {name: value})
        except ValueError as error:
            # values may only fit together: alone one may be out of order, so the whole row decides
            if "no parameter" in str(error) or not _fits_together(model, row):
                yield ("at", name), str(error)
    if row.quantity not in quantities(model):
        yield ("quantity",), f"this model has no {row.quantity!r}; it has: {', '.join(quantities(model))}"


def _fits_together(model: Model, row: Measured) -> bool:
    try:
        with_values(model, row.at)
    except ValueError:
        return False
    return True


def _fit_faults(experiment: Experiment, fit: Fit) -> Iterator[tuple[_Path, str]]:
    if fit.row not in {row.id for row in experiment.row if row.quantity}:
        yield ("row",), f"no row with a quantity is called {fit.row!r}"
    for end in ("low", "high"):
        try:
            if experiment.model is not None:
                with_values(experiment.model, {fit.parameter: getattr(fit, end)})
        except ValueError as error:
            yield ("parameter" if "no parameter" in str(error) else end,), str(error)
            return
