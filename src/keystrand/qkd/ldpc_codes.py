"""Quasi-cyclic LDPC codes of our own making, one for each leak; nothing is stored but the degrees.

A small graph of 800 columns is grown edge by edge (progressive edge growth: Hu, Eleftheriou, Arnold, IEEE Trans. Inf.
Theory 51, 386 (2005)), then each edge becomes a cyclic shift of `lift` bits, chosen so that no cycle of length 4 is
left. Bit z of row r takes part in the bit (z + shift) mod lift of each column the row meets. The degrees are those of
Elkouss, Leverrier, Alleaume, Boutros (ISIT 2009, arXiv:0901.2140), Table I, for rates of .50 to .80. Between two rates
the node counts are mixed in proportion, which is our choice and no published design. Checks all get nearly the same
degree, where the paper spreads them at rates of .50, .60 and .65.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keystrand.qkd.cascade import random_words

Index = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

COLUMNS = 800
ROW_STEP = 2  # codes come in steps of 0.25 % of leak
MIN_ROWS, MAX_ROWS = 80, 480  # leaks of 10 % to 60 %; the published degrees end at 50 %


def _shares(text: str) -> dict[int, float]:
    """Return degrees and shares of edges, written one after the other."""
    return {int(degree): float(share) for degree, share in (pair.split() for pair in text.split(","))}


# leak, 1 - rate, to the share of edges at bits of each degree; all from the paper but the first, which is our own
EDGE_SHARES: dict[float, dict[int, float]] = {
    # The paper's rows for leaks of .10 and .15 need 15 % and 6 % more than h(qber) even at endless length. This one is
    # its row for .20 with fewer bits of degree 2, whose share the noise limits (its Eq. 8), and more of the highest,
    # chosen among 15 variants by decoding frames of 810,000 bits; it is no optimum of density evolution.
    0.10: _shares("2 .06000, 3 .17510, 6 .11972, 7 .08550, 8 .09816, 17 .07194, 22 .38960"),
    0.20: _shares("2 .09420, 3 .18088, 6 .11972, 7 .08550, 8 .09816, 17 .07194, 26 .34960"),
    0.25: _shares("2 .10805, 3 .09511, 4 .01449, 5 .13764, 6 .10667, 7 .05288, 28 .01107, 31 .47408"),
    0.30: _shares(
        "2 .05343, 3 .29406, 6 .00896, 9 .15571, 12 .12189, 25 .19872, 46 .09572, 62 .02741, 65 .04056, 73 .00354"
    ),
    0.35: _shares("2 .10451, 3 .15652, 4 .08057, 5 .00056, 9 .12151, 13 .10485, 15 .10719, 21 .00771, 51 .31656"),
    0.40: _shares("2 .11040, 3 .20804, 8 .14163, 9 .14858, 26 .14438, 27 .08909, 46 .00748, 71 .15038"),
    0.45: _shares("2 .16880, 3 .20994, 6 .18095, 15 .03846, 16 .02635, 18 .23454, 19 .05815, 31 .08280"),
    0.50: _shares(
        "2 .14438, 3 .19026, 4 .01836, 5 .00233, 6 .04697, 8 .053943, 9 .05590, 10 .01290, 11 .00162, 14 .06159,"
        "15 .13115, 17 .01481, 47 .00879, 49 .00650, 55 .00210, 56 .00099, 57 .11178, 58 .06238, 59 .05094, 66 .02230"
    ),
}


class Code(NamedTuple):
    """A code by its edges in the order of rows: those of row r are `start[r]` to `start[r + 1]`.

    `untainted` are columns of which no two meet in one row, the ones to puncture first (Elkouss, Martinez-Mateo,
    Martin, IEEE Wireless Commun. Lett. 1, 585 (2012)).
    """

    lift: int
    start: Index
    column: Index
    shift: Index
    untainted: Index

    @property
    def checks(self) -> int:
        """Return the length of a syndrome in bits."""
        return (self.start.size - 1) * self.lift


def _chooser(seed: int, draws: int) -> Callable[[int], int]:
    """Return a function that draws from 0..bound - 1, `draws` times at most, the same on every machine.

    Its bias, below 2^-50 here, does no harm.
    """
    words = iter(random_words(seed, 0, draws).tolist())
    return lambda bound: int(next(words) % bound)


@functools.lru_cache(maxsize=32)
def code(rows: int, lift: int, seed: int = 1) -> Code:
    """Return the code with `rows` x `lift` checks on 800 x `lift` bits; ValueError outside the sizes made here."""
    if not MIN_ROWS <= rows <= MAX_ROWS or not 2 <= lift <= 2**14:
        raise ValueError(f"codes have {MIN_ROWS} to {MAX_ROWS} rows and a lift of 2 to 2^14, not {rows} and {lift}")
    columns = graph(rows, seed)
    shifts = _lifted(columns, rows, lift, _chooser(seed, sum(degrees(rows))))
    row = np.concatenate(columns)
    column = np.repeat(np.arange(COLUMNS), [len(met) for met in columns])
    order = np.lexsort((column, row))
    start = np.searchsorted(row[order], np.arange(rows + 1))
    made = (start, column[order], np.concatenate(shifts)[order], untainted(rows, seed))
    return Code(lift, *(np.asarray(part, dtype=np.int32) for part in made))


@functools.lru_cache(maxsize=256)
def graph(rows: int, seed: int = 1) -> list[list[int]]:
    """Return for each of the 800 columns of the small graph the rows it meets."""
    wanted = degrees(rows)
    return grow(wanted, rows, _chooser(seed, sum(wanted)))


@functools.lru_cache(maxsize=256)
def untainted(rows: int, seed: int = 1) -> list[int]:
    """Return columns no two of which share a row, taken in the order of rising degree."""
    used: set[int] = set()
    found = []
    for j, met in enumerate(graph(rows, seed)):
        if used.isdisjoint(met):
            used.update(met)
            found.append(j)
    return found


def degrees(rows: int) -> list[int]:
    """Return the degree of each of the 800 columns in rising order: the table's, mixed between its two next leaks."""
    leaks = sorted(EDGE_SHARES)
    leak = min(max(rows / COLUMNS, leaks[0]), leaks[-1])
    low = max(known for known in leaks if known <= leak)
    high = min(known for known in leaks if known >= leak)
    weight = (leak - low) / (high - low) if high > low else 0.0
    wanted: dict[int, float] = {}
    for known, share in ((low, 1.0 - weight), (high, weight)):
        nodes = {degree: edges / degree for degree, edges in EDGE_SHARES[known].items()}
        for degree, part in nodes.items():
            wanted[degree] = wanted.get(degree, 0.0) + COLUMNS * share * part / sum(nodes.values())
    count = {degree: int(part) for degree, part in wanted.items()}
    by_rest = sorted(wanted, key=lambda degree: (count[degree] - wanted[degree], degree))
    for degree in by_rest[: COLUMNS - sum(count.values())]:
        count[degree] += 1
    return [degree for degree in sorted(count) for _ in range(count[degree])]


def grow(wanted: list[int], rows: int, below: Callable[[int], int]) -> list[list[int]]:
    """Return for each column the rows it meets: each new edge goes as far from the column as the graph allows."""
    near: Flags = np.eye(rows, dtype=np.bool_)  # rows that meet in a column
    row_degree = np.zeros(rows, dtype=np.int64)
    columns = []
    for degree in wanted:
        met: list[int] = []
        for _ in range(degree):
            free = np.flatnonzero(_farthest(near, met))
            lightest = free[row_degree[free] == row_degree[free].min()]
            row = int(lightest[below(lightest.size)])
            near[row, met] = near[met, row] = True
            row_degree[row] += 1
            met.append(row)
        columns.append(met)
    return columns


def _farthest(near: Flags, met: list[int]) -> Flags:
    """Return the rows reached last from those in `met`, or never."""
    seen = np.zeros(len(near), dtype=np.bool_)
    seen[met] = True
    front = seen
    while front.any():
        reached = seen | near[front].any(axis=0)
        if reached.all():
            break
        front, seen = reached & ~seen, reached
    return np.asarray(~seen)


def _lifted(columns: list[list[int]], rows: int, lift: int, below: Callable[[int], int]) -> list[list[int]]:
    """Return a shift for each edge so that no two columns repeat the difference of shifts between two rows.

    The columns of highest degree are the hardest to place and come first. Raises ValueError if a lift is too small.
    """
    taken: dict[int, set[int]] = {}
    shifts: list[list[int]] = [[] for _ in columns]
    for j in sorted(range(len(columns)), key=lambda column: -len(columns[column])):
        for k, row in enumerate(columns[j]):
            earlier = list(zip(columns[j][:k], shifts[j], strict=True))
            barred = {(s - d) % lift for other, s in earlier for d in taken.get(other * rows + row, ())}
            allowed = [s for s in range(lift) if s not in barred]
            if not allowed:
                raise ValueError(f"a lift of {lift} leaves cycles of length 4 with {rows} rows")
            shift = allowed[below(len(allowed))]
            for other, s in earlier:
                taken.setdefault(other * rows + row, set()).add((s - shift) % lift)
                taken.setdefault(row * rows + other, set()).add((shift - s) % lift)
            shifts[j].append(shift)
    return shifts
