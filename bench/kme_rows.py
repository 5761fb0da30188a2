"""From what was measured to rows: pure arithmetic. Goals are those that the key manager was given."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from bench.kme_load import Report
from bench.measure import Row, row

OURS = "keystrand"


class Sample(Struct, frozen=True, kw_only=True):
    """One run of the load generator, and the processor time that all KMEs of the lab took meanwhile."""

    report: Report
    kme_cpu_s: float


class Figure(Struct, frozen=True, kw_only=True):
    """One figure of a sample. `goal` is the most, `at_least` the least it may be; `compared`: peers are told too."""

    what: str
    unit: str
    of: Callable[[Sample], float]
    goal: float | None = None
    at_least: float | None = None
    compared: bool = False


class Load(Struct, frozen=True, kw_only=True):
    """One kind of load: what the generator is told, and what is looked at.

    `ceiling`: a server that is no KME bears it too. `uses_up`: it takes so many keys that a peer whose stock is what it
    started with is started anew for each sample.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    figures: tuple[Figure, ...]
    ceiling: bool = True
    uses_up: bool = False


def _per(amount: float, count: float) -> float:
    return amount / count if count else 0.0


def rounds_per_s(sample: Sample) -> float:
    """Return pairs, or requests, a second."""
    return _per(sample.report.rounds, sample.report.seconds)


def keys_per_s(sample: Sample) -> float:
    """Return keys a second that both ends got."""
    return _per(sample.report.keys, sample.report.seconds)


def kme_cpu_ms(sample: Sample) -> float:
    """Return the processor time of all KMEs a round, in milliseconds: what a busy machine changes least."""
    return _per(1e3 * sample.kme_cpu_s, sample.report.rounds)


def client_cpu_ms(sample: Sample) -> float:
    """Return the load generator's own processor time a round, in milliseconds."""
    return _per(1e3 * sample.report.cpu_seconds, sample.report.rounds)


def _pairs(at_least: float) -> Figure:
    return Figure(what="pairs", unit="pairs/s", of=rounds_per_s, at_least=at_least, compared=True)


def _cpu(per: str) -> tuple[Figure, ...]:
    return (
        Figure(what=f"processor time of the KMEs a {per}", unit="ms", of=kme_cpu_ms, compared=True),
        Figure(what=f"processor time of the load generator a {per}", unit="ms", of=client_cpu_ms),
    )


def _time(what: str, of: Callable[[Report], float], goal: float | None = None, *, compared: bool = False) -> Figure:
    return Figure(what=what, unit="ms", of=lambda sample: of(sample.report), goal=goal, compared=compared)


LOADS = (
    Load(
        name="c64", title="64 clients", arguments=("-c", "64"),
        figures=(
            _pairs(2000), _time("enc_keys p99", lambda r: r.enc_ms.p99), _time("dec_keys p99", lambda r: r.dec_ms.p99),
            *_cpu("pair"),
        ),
    ),
    Load(
        name="c16", title="16 clients", arguments=("-c", "16"),
        figures=(
            _pairs(1500),
            _time("enc_keys p99", lambda r: r.enc_ms.p99, 15, compared=True),
            _time("dec_keys p99", lambda r: r.dec_ms.p99, 10, compared=True), *_cpu("pair"),
        ),
    ),
    Load(
        name="c1", title="1 client", arguments=("-c", "1"),
        figures=(
            Figure(what="pairs", unit="pairs/s", of=rounds_per_s, compared=True),
            _time("enc_keys p50", lambda r: r.enc_ms.p50, 2, compared=True),
            _time("dec_keys p50", lambda r: r.dec_ms.p50, 1, compared=True), *_cpu("pair"),
        ),
    ),
    Load(
        name="bulk", title="128 keys a request, 8 clients", arguments=("-c", "8", "-n", "128"), ceiling=False,
        uses_up=True,
        figures=(
            Figure(what="keys", unit="keys/s", of=keys_per_s, at_least=15000, compared=True),
            _time("enc_keys p99", lambda r: r.enc_ms.p99), *_cpu("pair of requests"),
        ),
    ),
    Load(
        name="fresh", title="a new TLS connection for each request, 16 clients", arguments=("-c", "16", "-fresh"),
        figures=(_pairs(400), *_cpu("pair")),
    ),
)  # fmt: skip
"""What every lab is put under in turn."""


def rows_of(load: Load, samples: Mapping[str, Sequence[Sample]]) -> list[Row]:
    """Return the rows of one load. `samples` by lab, this project's first; ratios are of ours to the first peer's.

    A peer's own row gives its ratio to ours. A peer that did nothing at all has no row; where ours did nothing, only
    what must be reached is shown, and is missed.
    """
    did = {name: taken for name, taken in samples.items() if any(sample.report.rounds for sample in taken)}
    figures = load.figures
    if OURS in samples and OURS not in did:
        did = {OURS: samples[OURS], **did}
        figures = tuple(figure for figure in figures if figure.at_least is not None)
    return [made for figure in figures for made in _rows_of_figure(load.title, figure, did)]


def _rows_of_figure(title: str, figure: Figure, samples: Mapping[str, Sequence[Sample]]) -> list[Row]:
    values = {name: [figure.of(sample) for sample in taken] for name, taken in samples.items()}
    groups = {name: taken[0].report.group for name, taken in samples.items()}
    ours, peers = values.pop(OURS, None), values if figure.compared else {}
    rows = []
    name = f"{title}: {figure.what}"
    if ours:
        first = next(iter(peers), "")
        rows.append(
            row(name, ours, figure.unit, peer=first, peer_samples=peers.get(first, ()), goal=figure.goal,
                at_least=figure.at_least)
        )  # fmt: skip
    for peer, theirs in peers.items():
        # another key exchange is another amount of work: it is told
        group = f", {groups[peer]}" if ours and groups[peer] != groups[OURS] else ""
        rows.append(
            row(f"{name} ({peer}{group})", theirs, figure.unit, peer=OURS if ours else "", peer_samples=ours or ())
        )  # fmt: skip
    return rows


def safety_rows(samples: Sequence[Sample]) -> list[Row]:
    """Return what must be nothing over all runs of ours: keys that came wrong or twice, requests without keys."""
    wrong = sum(sample.report.mismatches + sample.report.duplicates for sample in samples)
    refused = sum(sum(sample.report.errors.values()) for sample in samples)
    delivered = sum(sample.report.keys for sample in samples)
    return [
        row("all loads: keys delivered", [delivered], "keys"),
        row("all loads: keys or IDs that came twice, or differed", [wrong], "keys", goal=0),
        row("all loads: requests refused or failed", [refused], "requests", goal=0),
    ]


def flat_rows(first: Sequence[Sample], later: Sequence[Sample], delivered: int) -> list[Row]:
    """Return the rates before and after `delivered` keys, and the second as a share of the first."""
    before, after = [rounds_per_s(s) for s in first], [rounds_per_s(s) for s in later]
    share = [rate / statistics.median(before) for rate in after] if statistics.median(before) else [0.0]
    spent = "processor time of the KMEs a pair"
    return [
        row("64 clients, the first 10,000 keys: pairs", before, "pairs/s"),
        row(f"64 clients, after {delivered:,} keys: pairs", after, "pairs/s", peer="the first 10,000",
            peer_samples=before),
        row(f"rate after {delivered:,} keys, of the first 10,000", share, "of it", at_least=0.9),
        row(f"64 clients, the first 10,000 keys: {spent}", [kme_cpu_ms(s) for s in first], "ms"),
        row(f"64 clients, after {delivered:,} keys: {spent}", [kme_cpu_ms(s) for s in later], "ms",
            peer="the first 10,000", peer_samples=[kme_cpu_ms(s) for s in first]),
    ]  # fmt: skip


class Stock(Struct, frozen=True, kw_only=True):
    """A lab at rest that holds `keys` in each direction's pool together: what it takes, and how it tells its status."""

    keys: int
    filled_s: float
    rss_bytes: int
    empty_bytes: int
    full_bytes: int
    status: tuple[Sample, ...]


def stock_rows(stock: Stock, kmes: int) -> list[Row]:
    """Return the rows of a full stock: memory of the larger KME, store a key at one KME, time of a status."""
    held = f"{stock.keys:,} keys stored"
    per_key = _per(stock.full_bytes - stock.empty_bytes, stock.keys * kmes)
    return [
        row(f"{held}: status p99", [s.report.enc_ms.p99 for s in stock.status], "ms", goal=5),
        row(f"{held}: memory of the larger KME", [stock.rss_bytes / 2**20], "MiB", goal=150),
        row(f"{held}: files a key and KME", [per_key], "bytes"),
        row(f"{held}: filled and ready after", [stock.filled_s], "s"),
    ]


def spent_rows(delivered: int, before_bytes: int, after_bytes: int, kmes: int) -> list[Row]:
    """Return what a delivered key leaves on the disk of one KME, its unused bits freed or not."""
    grown = _per(after_bytes - before_bytes, delivered * kmes)
    return [row(f"{delivered:,} keys delivered: growth of the files a key and KME", [grown], "bytes")]
