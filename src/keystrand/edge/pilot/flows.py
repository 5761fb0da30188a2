"""What each consumer does on the quiet corridor, one after the other: with keystrand's keys, and without."""

import time
from collections.abc import Sequence

from keystrand.edge.pilot.base import Trial
from keystrand.model.errors import KeystrandError
from keystrand.model.stages.recorded import Flow

TRAFFIC_S = 2.5
THROUGHPUT_S = 1.2
THROUGHPUTS = 4
"""How many times throughput is measured: the fewest that give an interval worth the name."""
_MOST_OPERATIONS = 400
"""How many durations are kept, evenly spread over the time: more make the record long and no interval narrower."""


def plain_flow(trial: Trial) -> Flow:
    """Return what the consumer does without keystrand's keys."""
    try:
        how = trial.begin_plain()
    except KeystrandError as error:
        return Flow(consumer=trial.declared.id, plain=True, how="", not_measured=error.message)
    if how.startswith("-"):
        return Flow(consumer=trial.declared.id, plain=True, how="", not_measured=how.removeprefix("-").strip())
    try:
        return _flow(trial, how, plain=True)
    finally:
        trial.end_plain()


def keyed_flow(trial: Trial) -> Flow:
    """Return what it does with them, keys changing as they do."""
    return _flow(trial, trial.how, plain=False)


def _flow(trial: Trial, how: str, *, plain: bool) -> Flow:
    name, trouble = trial.declared.id, ""
    trial.begin_traffic()
    began = time.time()
    time.sleep(TRAFFIC_S)
    ended = time.time()
    trial.end_traffic()
    seen = trial.traffic(began, ended)
    try:
        rates = tuple(rate for _ in range(THROUGHPUTS) if (rate := trial.throughput(THROUGHPUT_S)) is not None)
    except KeystrandError as error:
        rates, trouble = (), error.message
    return Flow(
        consumer=name, plain=plain, how=how, tried=seen.tried, failed=seen.failed,
        operation_s=_thinned(seen.operation_s), bits_per_s=rates, not_measured=trouble,
    )  # fmt: skip


def _thinned(samples: Sequence[float]) -> tuple[float, ...]:
    step = max(1, -(-len(samples) // _MOST_OPERATIONS))
    return tuple(samples[::step])
