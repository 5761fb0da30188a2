"""LDPC correction: long frames as they are corrected, and one code beside the decoders of `ldpc` and LDPC4QKD.

The peers get our code, our frames and our rate, as files, so decoders are compared and nothing else. They only decode;
ours is timed with all that both parties do. A peer takes half a minute for one of the usual frames, so it gets one.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.measure import Row, row
from bench.peers import packages, sources
from bench.qkd_rows import (
    RATE,
    Figures,
    Job,
    Rival,
    Stopwatch,
    contest,
    figures,
    limit_row,
    rate_rows,
    say,
    speed_rows,
    total,
)
from keystrand.qkd.cascade import TAG_BITS, Bits
from keystrand.qkd.decoy import binary_entropy
from keystrand.qkd.ldpc import LdpcPlan, code_of, layout, plan_for
from keystrand.qkd.ldpc_codes import COLUMNS, Code
from keystrand.qkd.ldpc_kernel import syndrome
from keystrand.qkd.ldpc_party import reconcile

Places = NDArray[np.uint32]

BITS, FRAMES = 800_000, 40
QBERS = (0.02, 0.04, 0.06, 0.08, 0.10)
MOST_F, MOST_WRONG, LEAST_MBIT, LEAST_RATIO = 1.10, 0.05, 3.5, 50.0
PEER_QBER, PEER_ITERATIONS = 0.045, 200
SHORT_BITS, SHORT_TURNS = 100_000, 3
LDPC, LDPC4QKD = "ldpc 2.4.1", "LDPC4QKD"
_SURE, _UNKNOWN = 30.0, 1e-6
"""Natural log-likelihood ratios of what both know and of what Bob knows nothing of: LDPC4QKD goes wrong on a bare 0."""


def rows(repeats: int) -> list[Row]:
    """Return the rows of long frames, then those beside the peers."""
    made = [r for qber in QBERS for r in _rows_at(qber, repeats)]
    with tempfile.TemporaryDirectory(prefix="bench-qkd-") as name:
        return [*made, *_peer_rows(Path(name))]


def _rows_at(qber: float, repeats: int) -> list[Row]:
    title = f"LDPC, {qber:.0%}, {BITS:,} bits"
    say(title)
    made = contest(repeats, partial(corrected, plan_for(qber, BITS), qber, -(-FRAMES // repeats))).ours
    frames = total(made, "frames")
    return [
        limit_row(f"{title}: f", figures(made, "f"), "", "Shannon limit, f = 1", 1.0, goal=MOST_F),
        row(f"{title}: frame errors of {frames:.0f} frames", [total(made, "wrong") / frames], "", goal=MOST_WRONG),
        *rate_rows(f"{title}: corrected", "Mbit/s", made, at_least=LEAST_MBIT),
        row(f"{title}: round trips", figures(made, "rounds"), ""),
    ]


def corrected(plan: LdpcPlan, qber: float, frames: int, seed: int) -> Figures:
    """Correct so many frames with both parties in this process."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, (frames, plan.frame_bits), dtype=np.uint8)
    bob = alice ^ _errors(rng, (frames, plan.frame_bits), qber)
    fill = rng.integers(0, 2, (frames, plan.punctured_bits), dtype=np.uint8)
    points = [int(point) for point in rng.integers(1, 2**63, frames)]
    watch = Stopwatch()
    results, rounds = reconcile(plan, alice, bob, fill, points)
    bits = frames * plan.frame_bits
    rates = watch.rates(bits / 1e6)
    leak = sum(one.leak_bits - TAG_BITS for one in results)
    wrong = sum(
        one.bits is None or not np.array_equal(one.bits, sent) for one, sent in zip(results, alice, strict=True)
    )
    f = leak / (bits * float(binary_entropy(qber)))
    return rates | {"f": f, "wrong": float(wrong), "frames": float(frames), "rounds": float(rounds)}


def _errors(rng: np.random.Generator, shape: tuple[int, ...], qber: float) -> Bits:
    return (rng.random(shape, dtype=np.float32) < qber).view(np.uint8)


def _peer_rows(folder: Path) -> list[Row]:
    """Return the rows at the usual length, where the goals are, and at one at which the peers are at their best."""
    return [
        *_beside_peers(folder, BITS, 1, {LDPC: LEAST_RATIO, LDPC4QKD: LEAST_RATIO}),
        *_beside_peers(folder, SHORT_BITS, SHORT_TURNS, {}),
    ]


def _beside_peers(folder: Path, bits: int, turns: int, ratios: dict[str, float]) -> list[Row]:
    plan = plan_for(PEER_QBER, bits)
    title = f"LDPC, {PEER_QBER:.1%}, {bits:,} bits, one code for all"
    say(title)
    rivals = [Rival(LDPC, partial(_ldpc, folder, plan)), Rival(LDPC4QKD, partial(_ldpc4qkd, folder, plan))]
    made = contest(turns, partial(corrected, plan, PEER_QBER, 10), rivals, slow=turns == 1)
    rows = speed_rows(f"{title}: corrected", "Mbit/s", made, ratios=ratios)
    for name, theirs in {"": made.ours, **made.rivals}.items():
        if not isinstance(theirs, str):
            failed = total(theirs, "wrong") / total(theirs, "frames")
            rows.append(row(f"{title}: frame errors{f' ({name})' if name else ''}", [failed], ""))
    return rows


def _ldpc(folder: Path, plan: LdpcPlan) -> Job:
    command = [packages.interpreter("ldpc"), Path(__file__).parent / "peers" / "ldpc_package.py"]
    return partial(_decoded, folder, plan, command)


def _ldpc4qkd(folder: Path, plan: LdpcPlan) -> Job:
    return partial(_decoded, folder, plan, [sources.program(sources.LDPC4QKD, folder)])


def _decoded(folder: Path, plan: LdpcPlan, command: list[Path], seed: int) -> Figures:
    """Let a peer decode one frame."""
    write_frame(folder, plan, seed)
    sizes = (plan.syndrome_bits, COLUMNS * plan.lift, 1, PEER_ITERATIONS)
    found = packages.asked([*command, folder, *map(str, sizes)])
    return {RATE: plan.frame_bits / found["seconds"] / 1e6, "wrong": found["wrong"], "frames": 1.0}


def write_frame(folder: Path, plan: LdpcPlan, seed: int) -> None:
    """Write the code, what is known of each bit, one error pattern and its syndrome, for the peers to read."""
    rng, places = np.random.default_rng(seed), layout(plan)
    pattern, ratios = np.zeros(COLUMNS * plan.lift, dtype=np.uint8), np.full(COLUMNS * plan.lift, _SURE)
    pattern[places.frame] = _errors(rng, places.frame.shape, plan.qber)
    pattern[places.punctured] = rng.integers(0, 2, places.punctured.size, dtype=np.uint8)
    ratios[places.frame], ratios[places.punctured] = np.log((1.0 - plan.qber) / plan.qber), _UNKNOWN
    starts, rows = columns_of(code_of(plan))
    named = {"starts": starts, "rows": rows, "ratios": ratios, "patterns": pattern}
    for name, values in {**named, "syndromes": syndrome(code_of(plan), pattern)}.items():
        (folder / name).write_bytes(values.tobytes())


def columns_of(code: Code) -> tuple[Places, Places]:
    """Return the parity-check matrix by columns: where each starts, and the rows of its ones."""
    inside = np.arange(code.lift)
    row = np.repeat(np.arange(code.start.size - 1), np.diff(code.start))
    rows = (row[:, None] * code.lift + inside).ravel()
    columns = (code.column[:, None] * code.lift + (inside + code.shift[:, None]) % code.lift).ravel()
    order = np.lexsort((rows, columns))
    counted = np.bincount(columns, minlength=COLUMNS * code.lift)
    return np.concatenate([[0], np.cumsum(counted)]).astype(np.uint32), rows[order].astype(np.uint32)
