"""From runs of the load generator to rows."""

import msgspec
import pytest
from bench.kme_load import Quantiles, Report
from bench.kme_rows import (
    LOADS,
    OURS,
    Figure,
    Load,
    Sample,
    Stock,
    flat_rows,
    kme_cpu_ms,
    rounds_per_s,
    rows_of,
    safety_rows,
    spent_rows,
    stock_rows,
)

_TIMES = Quantiles(mean=1, p50=1, p95=2, p99=3, max=4)
_REPORT = Report(
    mode="pair", clients=1, number=1, size_bits=256, fresh=False, group="X25519MLKEM768", seconds=2, rounds=0, keys=0,
    errors={}, first_error="", mismatches=0, duplicates=0, stored_key_count=0, enc_ms=_TIMES, dec_ms=_TIMES,
    cpu_seconds=0.5,
)  # fmt: skip
_RATE = Figure(what="pairs", unit="pairs/s", of=rounds_per_s, at_least=100, compared=True)
_OWN = Figure(what="processor time", unit="ms", of=kme_cpu_ms)
_LOAD = Load(name="x", title="1 client", arguments=(), figures=(_RATE, _OWN))


def _sample(rounds: int, *, cpu_s: float = 1.0, **changed: object) -> Sample:
    report = msgspec.structs.replace(_REPORT, rounds=rounds, keys=rounds, **changed)
    return Sample(report=report, kme_cpu_s=cpu_s)


def test_our_row_is_compared_with_the_first_peer_and_each_peer_with_us() -> None:
    """The ratio is always the row's value over its peer's; a figure that is not compared has our row alone."""
    samples = {OURS: [_sample(400)], "one": [_sample(200)], "two": [_sample(800)]}
    made = [(r.name, r.value, r.peer, r.ratio, r.met) for r in rows_of(_LOAD, samples)]
    assert made == [
        ("1 client: pairs", 200, "one", 2, True),
        ("1 client: pairs (one)", 100, OURS, 0.5, None),
        ("1 client: pairs (two)", 400, OURS, 2, None),
        ("1 client: processor time", 2.5, "", None, None),
    ]


def test_a_peer_with_another_key_exchange_is_told_apart() -> None:
    """Without a post-quantum group a handshake is less work."""
    rows = rows_of(_LOAD, {OURS: [_sample(400)], "one": [_sample(200, group="X25519")]})
    assert rows[1].name == "1 client: pairs (one, X25519)"


def test_a_peer_that_did_nothing_has_no_row() -> None:
    """What cannot bear a load is left out of its comparison."""
    samples = {OURS: [_sample(400)], "one": [_sample(0), _sample(0)]}
    assert [r.name for r in rows_of(_LOAD, samples)] == ["1 client: pairs", "1 client: processor time"]


def test_where_ours_did_nothing_its_goal_is_missed() -> None:
    """No figure of an idle run looks good: a time of 0 is not told."""
    made = rows_of(_LOAD, {OURS: [_sample(0)], "one": [_sample(2)]})
    assert [(r.name, r.value, r.met) for r in made] == [
        ("1 client: pairs", 0, False),
        ("1 client: pairs (one)", 1, None),
    ]


def test_figures_of_an_idle_run_are_zero() -> None:
    """A run without a round divides by nothing."""
    assert (rounds_per_s(_sample(0, seconds=0.0)), kme_cpu_ms(_sample(0))) == (0, 0)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_every_load_has_rows_of_every_figure(load: Load) -> None:
    """Each figure of a load can be taken of a sample, and its row names the load."""
    made = rows_of(load, {OURS: [_sample(10_000)]})
    assert [r.name for r in made] == [f"{load.title}: {figure.what}" for figure in load.figures]


def test_one_wrong_key_or_refused_request_misses_the_goal() -> None:
    """Over all runs nothing may come twice, differ, or be refused."""
    good = safety_rows([_sample(3), _sample(4)])
    assert [(r.value, r.met) for r in good] == [(7, None), (0, True), (0, True)]
    bad = safety_rows([_sample(3, duplicates=1), _sample(4, mismatches=1, errors={"503": 2, "transport": 1})])
    assert [(r.value, r.met) for r in bad[1:]] == [(2, False), (3, False)]


def test_the_later_rate_is_a_share_of_the_first() -> None:
    """Nine tenths of the first rate is enough, less is not."""
    first = [_sample(1000), _sample(1000), _sample(1000)]
    rows = flat_rows(first, [_sample(900)], 1_000_000)
    assert [(r.value, r.met) for r in rows if r.unit == "of it"] == [(0.9, True)]
    rows = flat_rows(first, [_sample(880)], 1_000_000)
    assert [(r.value, r.met) for r in rows if r.unit == "of it"] == [(0.88, False)]


def test_a_stock_costs_bytes_a_key_at_each_kme() -> None:
    """What the files of an empty lab take is not the keys' cost."""
    stock = Stock(
        keys=1000, filled_s=1, rss_bytes=100 << 20, empty_bytes=5000, full_bytes=105_000, status=(_sample(1),)
    )  # fmt: skip
    rows = stock_rows(stock, 2)
    assert [(r.value, r.unit, r.met) for r in rows[:3]] == [(3, "ms", True), (100, "MiB", True), (50, "bytes", None)]
    assert spent_rows(1000, 5000, 205_000, 2)[0].value == 100
