"""Cascade on frames of 65,536 bits beside `qkd` and cascade-cpp, and its batched mode over a slow line.

f counts parities over n h(QBER), as the peers count it; the tag of 64 bits that ours adds is apart. Frames are drawn
before the clock starts, but for `qkd`, whose interface draws them itself. Both parties run in one process, as the
peers' do; no tag is computed where the frames turn out equal.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from bench import qkd_line
from bench.measure import Row, row
from bench.peers import packages, sources
from bench.qkd_frames import BITS, drawn
from bench.qkd_rows import RATE, Figures, Job, Rival, Stopwatch, contest, figures, limit_row, say, speed_rows, total
from keystrand.qkd.cascade import TAG_BITS, plan_for
from keystrand.qkd.cascade_party import reconcile
from keystrand.qkd.decoy import binary_entropy

FRAMES = 1_000
"""Of ours at each error ratio, in all turns together, at least."""
QUICK_FRAMES = {"qkd": 24, "cascade-cpp": 32}
"""Of a peer in each turn: about a third of a second."""
MOST_F = {0.01: 1.030, 0.03: 1.035, 0.05: 1.042, 0.08: 1.055, 0.11: 1.062}
MOST_BATCHED_F = {0.01: 1.06, 0.03: 1.06, 0.05: 1.06, 0.08: 1.08, 0.11: 1.08}
QKD, YAN, ORIGINAL = "qkd 0.2.0, Rust core", "cascade-cpp, yanetal", "cascade-cpp, original"
LEAST_RATIO = {QKD: 5.0, YAN: 3.0}
LEAST_MBIT = {0.03: 25.0}
SLOW_FRAMES, MOST_ROUNDS = 200, 200


def rows(repeats: int) -> list[Row]:
    """Return the rows of all error ratios."""
    with tempfile.TemporaryDirectory(prefix="bench-qkd-") as name:
        rivals = _Rivals(Path(name))
        return [r for qber in MOST_F for r in _rows_at(qber, repeats, rivals)]


def _rows_at(qber: float, repeats: int, rivals: "_Rivals") -> list[Row]:
    title = f"Cascade, {qber:.0%}"
    say(title)
    made = contest(repeats, partial(corrected, qber, -(-FRAMES // repeats)), rivals.of(qber))
    shannon = ("Shannon limit, f = 1", 1.0)
    rows = [limit_row(f"{title}: f", figures(made.ours, "f"), "", *shannon, goal=MOST_F[qber])]
    frames, wrong = total(made.ours, "frames"), total(made.ours, "wrong")
    rows.append(row(f"{title}: frame errors of {frames:.0f} frames", [wrong / frames], "", goal=1e-3))
    for name, theirs in made.rivals.items():
        if not isinstance(theirs, str):
            rows.append(row(f"{title}: f ({name})", figures(theirs, "f"), ""))
            share = total(theirs, "wrong") / total(theirs, "frames")
            rows.append(row(f"{title}: frame errors ({name})", [share], ""))
    rate = speed_rows(f"{title}: corrected", "Mbit/s", made, at_least=LEAST_MBIT.get(qber), ratios=LEAST_RATIO)
    return [*rows, *rate]


def corrected(qber: float, frames: int, seed: int, *, batched: bool = False) -> Figures:
    """Correct so many frames with both parties in this process."""
    alice, bob, points = drawn(qber, frames, seed)
    plan = plan_for(qber, BITS, seed, batched=batched)
    watch = Stopwatch()
    results, rounds = reconcile(plan, alice, bob, points, batched=batched)
    rates = watch.rates(frames * BITS / 1e6)
    parities = sum(one.leak_bits - TAG_BITS for one in results)
    wrong = sum(
        one.bits is None or not np.array_equal(one.bits, sent) for one, sent in zip(results, alice, strict=True)
    )
    return _shown(qber, frames, parities=parities, wrong=wrong) | rates | {"rounds": float(rounds)}


def _shown(qber: float, frames: int, *, parities: float, wrong: float) -> dict[str, float]:
    entropy = frames * BITS * float(binary_entropy(qber))
    return {"f": parities / entropy, "wrong": float(wrong), "frames": float(frames)}


class _Rivals:
    """The peers; what was built once, or could not be, is not tried again for the next error ratio."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._program = folder, folder / sources.CASCADE_CPP.name

    def of(self, qber: float) -> list[Rival]:
        """Return the rivals at one error ratio."""
        return [
            Rival(QKD, partial(self._rust, qber)),
            Rival(YAN, partial(self._cpp, qber, "yanetal")),
            Rival(ORIGINAL, partial(self._cpp, qber, "original")),
        ]

    def _rust(self, qber: float) -> Job:
        python, frames = packages.interpreter("qkd"), QUICK_FRAMES["qkd"]
        script = Path(__file__).parent / "peers" / "qkd_package.py"
        return lambda seed: _asked(qber, frames, python, script, "cascade", qber, BITS, frames, seed)

    def _cpp(self, qber: float, variant: str) -> Job:
        if not self._program.exists():
            sources.program(sources.CASCADE_CPP, self._folder)
        frames = QUICK_FRAMES["cascade-cpp"]
        return lambda seed: _asked(qber, frames, self._program, variant, BITS, qber, frames, seed)


def _asked(qber: float, frames: int, *command: object) -> Figures:
    found = packages.asked([str(word) for word in command])
    rate = {RATE: frames * BITS / found["seconds"] / 1e6}
    return _shown(qber, frames, parities=found["parities"], wrong=found["wrong"]) | rate


def batched_rows(_repeats: int) -> list[Row]:
    """Return the rows of the batched mode: round trips and f in one process, then between two over a slow line."""
    rows = []
    for qber in MOST_F:
        title = f"Cascade batched, {qber:.0%}"
        say(title)
        made = contest(SLOW_FRAMES, partial(corrected, qber, 1, batched=True)).ours
        rounds = figures(made, "rounds")
        rows.append(row(f"{title}: round trips of a frame", rounds, "", goal=MOST_ROUNDS))
        rows.append(row(f"{title}: round trips of the slowest of {len(made)}", [max(rounds)], "", goal=MOST_ROUNDS))
        many = sum(one > MOST_ROUNDS for one in rounds) / len(rounds)
        rows.append(row(f"{title}: frames that take more than {MOST_ROUNDS}", [many], ""))
        mean = [statistics.fmean(figures(made, "f"))]  # of frames of one length, so that of all parities
        rows.append(limit_row(f"{title}: f", mean, "", "Shannon limit, f = 1", 1.0, goal=MOST_BATCHED_F[qber]))
        wrong = total(made, "wrong") / total(made, "frames")
        rows.append(row(f"{title}: frame errors of {total(made, 'frames'):.0f}", [wrong], "", goal=1e-3))
    return [*rows, *slow_line_rows(0.03)]


def slow_line_rows(qber: float) -> list[Row]:
    """Return the rows of two processes that share a TCP connection of 50 ms a round trip, and nothing else."""
    title = f"Cascade batched, {qber:.0%}, two processes, 50 ms a round trip over TCP"
    say(title)
    shown = qkd_line.corrected(qber, frames=SLOW_FRAMES, seed=1, round_trip_s=0.05)
    bits = SLOW_FRAMES * BITS
    return [
        row(f"{title}: frames of {SLOW_FRAMES} that are not Alice's", [shown.wrong], "", goal=SLOW_FRAMES // 1000),
        row(f"{title}: round trips", [shown.rounds], "", goal=MOST_ROUNDS),
        row(f"{title}: longest round trip measured", [shown.slowest_s], "s"),
        row(f"{title}: least round trip measured", [shown.quickest_s], "s", at_least=0.05),
        row(f"{title}: corrected", [bits / shown.seconds / 1e6], "Mbit/s"),
    ]
