"""A quantum link photon by photon: both ends' records, and what was counted beside what the model expects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keystrand.edge.photon_records import RunFacts, write_received, write_sent
from keystrand.edge.toml_files import read_text
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.qkd import event_engine, expected, pulse_engine
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.detections import Run, joined
from keystrand.qkd.response import DOUBLE, Response, honest

MOST_CLICKS = 100_000_000
"""Both records of so many clicks take about 3 GB of memory while they are made."""
PARTS = 200
"""Steps of the progress shown."""


ENGINES: dict[str, Callable[[Bb84Link, Response, int], pulse_engine.PulseEngine | event_engine.EventEngine]] = {
    "pulse": pulse_engine.PulseEngine,
    "event": event_engine.EventEngine,
}
"""How photons are drawn: every pulse, or from click to click. The law is the same."""


def read_link(path: Path) -> Bb84Link:
    """Return the link in a TOML file. Raises `MissingInput`, or `InvalidInput` with file, line and field."""
    text = read_text(path, what="the link", hint="examples/quantum/link.toml is one to start from").text
    return read_toml(text, Bb84Link, file=str(path), what=f"the link {path}")


def simulate(
    link: Bb84Link, seconds: float, seed: int, engine: str, told: Callable[[int, int], None] | None = None
) -> Run:
    """Return a run of `seconds`; `told(done, total)` is called as pulses go by.

    Raises `InvalidInput` for a time, a seed or an engine that cannot be, or a run of more clicks than `MOST_CLICKS`.
    """
    if engine not in ENGINES:
        raise InvalidInput(f"no engine is called {engine!r}", hint=f"there are: {', '.join(ENGINES)}")
    pulses = _pulses(link, seconds)
    if not 0 <= seed < 2**63:
        raise InvalidInput(f"the seed {seed} is out of range", hint="give a whole number from 0 to 2^63 - 1")
    drawing, runs, done = ENGINES[engine](link, honest(link), seed), [], 0
    for part in np.diff(np.linspace(0, pulses, PARTS + 1).astype(np.int64)).tolist():
        runs.append(drawing.advance(part))
        done += part
        if told is not None:
            told(done, pulses)
    return joined(runs)


def check_paths(alice: Path | None, bob: Path | None) -> None:
    """Raise `InvalidInput` unless both ends have a file of their own, or neither has one."""
    if (alice is None) != (bob is None):
        raise InvalidInput("one end alone has no use for its record", hint="give both --alice and --bob, or neither")
    if alice and bob and alice.resolve() == bob.resolve():
        raise InvalidInput(f"{alice} cannot hold the records of both ends", hint="give --alice and --bob two files")


def write_records(run: Run, link: Bb84Link, seed: int, alice: Path, bob: Path) -> None:
    """Write each end's record to its file. Raises `InvalidInput` where both are one, `StoreFailure`."""
    check_paths(alice, bob)
    rows = tuple((int(key), int(test)) for key, test in run.sent_pulses)
    facts = RunFacts(link=link, pulses=run.pulses, seed=seed, sent_pulses=rows)
    write_sent(alice, facts, run.alice)
    write_received(bob, facts, run.bob)


def summary(run: Run, link: Bb84Link, seed: int, engine: str) -> dict[str, Any]:
    """Return the run as a whole, with its rows."""
    response = honest(link)
    every = np.ones((1, len(run.sent_pulses), 2, 2, 2, 3))
    model = float(expected.clicks(link, response).sum()) * run.pulses
    return {
        "simulated": True,
        "link": link,
        "seed": seed,
        "engine": engine,
        "pulses": run.pulses,
        "clicks": run.bob.slot.size,
        "model_clicks": model,
        "clicks_z": _z(run.bob.slot.size - model, run.pulses * expected.covariance(link, response, every)[0, 0]),
        "double_clicks": int(np.count_nonzero(run.bob.outcome == DOUBLE)),
        "model_live_ratio": expected.live_ratio(link, response),
        "rows": rows(run, link),
    }


def rows(run: Run, link: Bb84Link) -> list[dict[str, Any]]:
    """Return one row an intensity and basis that both ends chose: counts, gain and QBER beside the model's.

    The gain is clicks by pulses sent with the share of them that Bob measures in this basis. A z-score is how many
    standard deviations of the model a count is off. A double click counts as half an error.
    """
    response, counted = honest(link), _clicks(run)
    mean, model = run.pulses * expected.clicks(link, response), expected.expected_shown(link, response)
    wrong, bob = expected.wrong_weights(len(mean)), link.receiver.key_basis_ratio
    made = []
    for k, intensity in enumerate(link.transmitter.intensities):
        for b, (basis, share) in enumerate((("key", bob), ("test", 1 - bob))):
            here = np.zeros_like(wrong)
            here[k, b, b] = 1.0
            ratio = float(model.qber[k, b, b])
            weights = np.stack([here, here * (wrong - ratio)])
            spread = run.pulses * np.diag(expected.covariance(link, response, weights))
            off = np.tensordot(weights, counted - mean, axes=5)
            clicks, errors = float((counted * here).sum()), float((counted * here * wrong).sum())
            sent = int(run.sent_pulses[k, b])
            made.append(
                {
                    "intensity": intensity,
                    "basis": basis,
                    "sent": sent,
                    "sifted": int(clicks),
                    "gain": clicks / (sent * share) if sent else None,
                    "model_gain": float(model.gain[k, b, b]),
                    "gain_z": _z(off[0], spread[0]),
                    "qber": errors / clicks if clicks else None,
                    "model_qber": ratio,
                    "qber_z": _z(off[1], spread[1]),
                }
            )
    return made


def _pulses(link: Bb84Link, seconds: float) -> int:
    if not 0 < seconds < float("inf"):
        raise InvalidInput(f"a run of {seconds:g} s cannot be", hint="give a time above 0, in seconds")
    pulses = round(seconds * link.transmitter.pulse_rate_hz)
    clicks = float(expected.clicks(link, honest(link)).sum()) * pulses
    if clicks > MOST_CLICKS or pulses >= 2**53:
        most = seconds * min(MOST_CLICKS / max(clicks, 1.0), 2.0**53 / pulses)
        raise InvalidInput(
            f"{seconds:g} s of this link are {clicks:.3g} clicks; a run has at most {MOST_CLICKS:g}",
            hint=f"simulate at most {most:.3g} s at once",
        )
    return pulses


def _clicks(run: Run) -> Values:
    """Return how often each click came, shape (k, a, b, x, y)."""
    shape = (len(run.sent_pulses), 2, 2, 2, 3)
    cell = (run.alice.intensity, run.alice.basis, run.bob.basis, run.alice.bit, run.bob.outcome)
    places = np.ravel_multi_index(cell, shape)
    return np.bincount(places, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)


def _z(off: float, variance: float) -> float | None:
    return float(off) / float(variance) ** 0.5 if variance > 0 else None
