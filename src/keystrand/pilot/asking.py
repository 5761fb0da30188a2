"""What a pilot asked of people and machines, and what keys cost beside the same corridor without."""

from collections.abc import Iterator, Sequence

from keystrand.model.stages.proved import Effort, Integration, WithAndWithout
from keystrand.model.stages.recorded import Deed, DeedKind, Flow, RunConsumer
from keystrand.model.units import Estimate
from keystrand.pilot.consumer_criteria import Subject
from keystrand.pilot.intervals import INTERVAL, quantile_range, ratio_range, share_range
from keystrand.pilot.verdicts import of_range

SHARED = "all"
"""The name for deeds that serve every consumer."""
_MEDIAN = f"{INTERVAL} of the median"
_FEW = "too few samples for an interval"


def effort(deeds: Sequence[Deed]) -> tuple[Effort, ...]:
    """Return the deeds summed by consumer, event and kind, in the order in which they first came up."""
    groups: dict[tuple[str, str, DeedKind], list[Deed]] = {}
    for deed in deeds:
        groups.setdefault((deed.consumer or SHARED, deed.event, deed.kind), []).append(deed)
    return tuple(
        Effort(
            consumer=consumer, event=event, kind=kind, count=sum(deed.count for deed in those),
            what=tuple(dict.fromkeys(deed.what for deed in those)),
        )
        for (consumer, event, kind), those in groups.items()
    )  # fmt: skip


def integration(consumers: Sequence[RunConsumer], deeds: Sequence[Deed]) -> tuple[Integration, ...]:
    """Return how much each consumer that ran asks for. Lines shared by all count for none."""
    return tuple(
        Integration(
            consumer=one.id, how=one.how,
            config_lines=sum(d.count for d in deeds if d.consumer == one.id and d.kind is DeedKind.CONFIG_LINES),
            programs=one.programs, needs=one.needs,
        )
        for one in consumers if not one.not_run
    )  # fmt: skip


def with_and_without(subjects: Sequence[Subject]) -> tuple[WithAndWithout, ...]:
    """Return, for each consumer that ran, time and throughput, and failures where there were some, with and without."""
    return tuple(row for one in subjects if not one.run.not_run for row in _rows(one))


def _rows(subject: Subject) -> Iterator[WithAndWithout]:
    plain, keyed = subject.plain, subject.keyed
    why = next((side.not_measured for side in (plain, keyed) if side is not None and side.not_measured), "")
    if plain is None or keyed is None or why:
        why = why or "it was not run both with keys and without"
        yield WithAndWithout(
            consumer=subject.run.id, quantity="all", without=None, with_keys=None, ratio=None, why_not=why
        )
        return
    baseline = plain.how
    yield _compared(subject.run.id, "time of an operation", "ms", 1e3, baseline, plain.operation_s, keyed.operation_s)
    if plain.bits_per_s or keyed.bits_per_s:
        yield _compared(subject.run.id, "throughput", "Mbit/s", 1e-6, baseline, plain.bits_per_s, keyed.bits_per_s)
    if plain.failed or keyed.failed:
        yield WithAndWithout(
            consumer=subject.run.id, quantity="failures", without=_failures(plain), with_keys=_failures(keyed),
            ratio=None, baseline=baseline,
        )  # fmt: skip


def _compared(
    consumer: str, quantity: str, unit: str, scale: float, baseline: str, plain: Sequence[float], keyed: Sequence[float]
) -> WithAndWithout:
    found = ratio_range(keyed, plain)
    return WithAndWithout(
        consumer=consumer, quantity=quantity, without=_median(plain, unit, scale),
        with_keys=_median(keyed, unit, scale),
        ratio=of_range(found, min(len(plain), len(keyed)), "ratio") if found else None,
        baseline=baseline, why_not="" if found else _FEW,
    )  # fmt: skip


def _median(samples: Sequence[float], unit: str, scale: float) -> Estimate | None:
    if not samples:
        return None
    found = quantile_range([scale * one for one in samples], 0.5)
    if found.high == float("inf"):
        ordered = sorted(samples)
        return of_range(found._replace(low=scale * ordered[0], high=scale * ordered[-1]), len(samples), unit,
                        "least to greatest")  # fmt: skip
    return of_range(found, len(samples), unit, _MEDIAN)


def _failures(flow: Flow) -> Estimate | None:
    return of_range(share_range(flow.failed, flow.tried), flow.tried, "ratio") if flow.tried else None
