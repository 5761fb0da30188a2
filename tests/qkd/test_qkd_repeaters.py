"""Repeater chains: heralds against density matrices, the simulation against closed forms and a slow one, and nature."""

from collections.abc import Callable
from functools import partial, reduce
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import expm

from keystrand.qkd import bell_states as bell
from keystrand.qkd import repeater_chain as chains
from keystrand.qkd.decoy import Values
from keystrand.qkd.repeater_chain import RepeaterChain
from keystrand.qkd.repeater_simulation import simulate

Matrix = NDArray[np.complex128]


def chain(**changes: Any) -> RepeaterChain:
    """Return a chain of two segments; parts are given as dictionaries of what differs."""
    link = {"scheme": "two-photon", "efficiency": 0.6, "dark_count": 1e-5, "source_fidelity": 0.99, "visibility": 0.97}
    raw: dict[str, Any] = {
        "segments": 2,
        "fibre": {"length_km": 20.0} | changes.pop("fibre", {}),
        "link": link | changes.pop("link", {}),
        "memory": {"coherence_s": 0.05} | changes.pop("memory", {}),
    }
    return msgspec.convert(raw | changes, RepeaterChain)


def kron(*parts: NDArray[Any]) -> Matrix:
    """Return the tensor product of several."""
    return np.asarray(reduce(np.kron, parts), dtype=np.complex128)


def on_mode(op: NDArray[Any], mode: int, modes: int) -> Matrix:
    """Return an operator of one mode on two memories and all modes (0 to 2 photons each)."""
    return kron(np.eye(4), *(op if k == mode else np.eye(3) for k in range(modes)))


def station(modes: int, ket: NDArray[Any], eta: float, dark: float) -> tuple[float, NDArray[np.float64]]:
    """Return success and Bell weights of a heralding station by brute force: loss, beam splitters, threshold clicks.

    Modes are A, B of the first kind of light and, with four, A, B of the second; a herald is one click of each kind.
    """
    rho = np.outer(ket, ket.conj())
    for mode in range(modes):
        kept = on_mode(np.diag([1, np.sqrt(eta), eta]), mode, modes)
        lost = on_mode(np.sqrt(1 - eta) * np.eye(3, k=1), mode, modes)
        rho = kept @ rho @ kept.T + lost @ rho @ lost.T
    a = np.diag(np.sqrt([1.0, 2.0]), 1)
    for first in range(0, modes, 2):
        one, two = on_mode(a, first, modes), on_mode(a, first + 1, modes)
        turn = expm(np.pi / 4 * (one.T @ two - one @ two.T))
        rho = turn @ rho @ turn.T
    silent = (1 - dark) * np.diag([1.0, 0, 0])
    success, total = 0.0, np.zeros(4)
    bells = [np.array(v) / np.sqrt(2) for v in ([1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0])]
    for ports in product((0, 1), repeat=modes // 2):
        clicks = [np.eye(3) - silent if m % 2 == ports[m // 2] else silent for m in range(modes)]
        left = kron(np.eye(4), *clicks) @ rho
        memories = np.einsum("iaja->ij", left.reshape(4, 3**modes, 4, 3**modes))
        found = [(v @ memories @ v).real for v in bells]
        target = int(np.argmax(found))
        assert target in (2, 3)
        total += np.array(found)[[target ^ k for k in range(4)]]
        success += np.trace(memories).real
    return success, total / success


@pytest.mark.parametrize(("length", "dark"), [(1.0, 0.0), (30.0, 1e-3), (60.0, 0.02)])
def test_single_click_counts_out(length: float, dark: float) -> None:
    """Two memories, bright with alpha, each with a photon then; exactly one of two detectors clicks."""
    made = chain(fibre={"length_km": length}, link={"scheme": "single-click", "bright_share": 0.2, "dark_count": dark,
                 "source_fidelity": 1.0, "visibility": 1.0})  # fmt: skip
    ket = np.zeros((2, 2, 3, 3))
    for one, two in product((0, 1), repeat=2):
        ket[one, two, one, two] = np.sqrt(0.2 if one else 0.8) * np.sqrt(0.2 if two else 0.8)
    success, weights = station(2, ket.ravel(), chains.arm_efficiency(made), dark)
    found = chains.heralded(made)
    assert found.success == pytest.approx(success, rel=1e-9)
    assert found.state == pytest.approx(weights, abs=1e-9)


def test_two_photons_count_out() -> None:
    """Each memory is entangled with a photon of one of two kinds; one detector of each kind clicks, the others not."""
    made = chain(fibre={"length_km": 30.0}, link={"dark_count": 0.02, "source_fidelity": 1.0, "visibility": 1.0})
    ket = np.zeros((2, 2, 3, 3, 3, 3))
    for one, two in product((0, 1), repeat=2):
        ket[one, two, 1 - one, 1 - two, one, two] = 0.5
    success, weights = station(4, ket.ravel(), chains.arm_efficiency(made), 0.02)
    found = chains.heralded(made)
    assert found.success == pytest.approx(success, rel=1e-9)
    assert found.state == pytest.approx(weights, abs=1e-9)


def test_schemes_in_their_textbook_limits() -> None:
    """Two photons: eta_c / 2, a perfect pair. One click far away: 2 alpha eta, fidelity 1 - alpha."""
    perfect = {"efficiency": 1.0, "dark_count": 0.0, "source_fidelity": 1.0, "visibility": 1.0, "bright_share": 0.03}
    both = chain(fibre={"length_km": 100.0}, link=perfect)
    assert chains.heralded(both).success == pytest.approx(10**-2 / 2, rel=1e-12)
    assert chains.heralded(both).state[0] == 1
    one = chain(fibre={"length_km": 300.0}, link=perfect | {"scheme": "single-click"})
    assert chains.heralded(one).success == pytest.approx(2 * 0.03 * 10**-3, rel=1e-4)
    assert chains.heralded(one).state[0] == pytest.approx(1 - 0.03, rel=1e-4)


def test_waiting_for_the_last_of_several() -> None:
    """(3 - 2 p) / (p (2 - p)) for two; the sum over rounds for more; 1 where nothing fails."""
    for p in (1e-6, 0.01, 0.3, 0.99, 1.0):
        assert chains.expected_rounds(p, 2) == pytest.approx((3 - 2 * p) / (p * (2 - p)), rel=1e-9)
    rounds = np.arange(0, 4000)
    for n in (3, 8, 16):
        assert chains.expected_rounds(0.02, n) == pytest.approx((1 - (1 - 0.98**rounds) ** n).sum(), rel=1e-6)
        assert chains.expected_rounds(1.0, n) == pytest.approx(1)


STEP_S = chains.round_s(chain())
CLOSED = [
    {"segments": 1},
    {},
    {"swap": {"order": "nested", "success": 0.5}},
    {"memory": {"coherence_s": 0.002, "cutoff_s": 3.4 * STEP_S}, "swap": {"success": 0.7}},
    {"memory": {"coherence_s": 0.002, "cutoff_s": 6 * STEP_S}, "swap": {"order": "nested"}},
    {"memory": {"coherence_s": 0.002, "cutoff_s": 0.5 * STEP_S}},
    {"segments": 5, "swap": {"order": "sequential", "kept": 0.98}},
    {"segments": 7, "swap": {"success": 0.9}},
]


@pytest.mark.parametrize("changes", CLOSED, ids=range(len(CLOSED)))
@pytest.mark.parametrize("seed", [1, 2])
def test_simulation_meets_the_closed_form(changes: dict[str, Any], seed: int) -> None:
    """Mean time and, where a form is known, the mean share of the pair that waiting leaves: within 4.5 sigma."""
    made, count = chain(**changes), 40_000
    found, known = simulate(made, count, np.random.default_rng(seed)), chains.expected(made)
    assert known is not None
    sigma = found.seconds.std() / np.sqrt(count)
    assert abs(found.seconds.mean() - known.seconds) < 4.5 * sigma
    if known.kept is None:
        return
    w, n = bell.werner_parameter(found.states), made.segments
    link = chains.fresh_link(made)
    still = reduce(lambda a, b: bell.swapped(a, b, made.swap.kept), [link] * n)
    whole = bell.werner_parameter(chains.waited(made, still, chains.swap_news_s(made, n)))
    assert abs(w.mean() / whole - known.kept) < 4.5 * w.std() / np.sqrt(count) / whole + 1e-12


class SlowChain:
    """A nested chain, one event after the other."""

    def __init__(self, made: RepeaterChain, rng: np.random.Generator) -> None:
        self.made, self.rng, self.cutoff = made, rng, made.memory.cutoff_s or np.inf
        self.success, self.fresh = chains.round_success(made), chains.fresh_link(made)
        self.levels = made.purification.levels if made.purification else ()

    def pair(self, level: int) -> tuple[float, NDArray[np.float64]]:
        """Return time and state of one pair over 2^level segments."""
        if level in self.levels:
            return self.of_two(partial(self.raw, level), self.purify, 2.0**level)
        return self.raw(level)

    def raw(self, level: int) -> tuple[float, NDArray[np.float64]]:
        """Return the same before purification at this level."""
        if level:
            return self.of_two(partial(self.pair, level - 1), self.swap, 2.0 ** (level - 1))
        rounds = 1
        while self.rng.random() >= self.success:
            rounds += 1
        return rounds * chains.round_s(self.made), self.fresh

    def swap(self, a: Values, b: Values) -> tuple[float, Values]:
        """Return how likely a swap succeeds and what it makes."""
        return self.made.swap.success, bell.swapped(a, b, self.made.swap.kept)

    def purify(self, a: Values, b: Values) -> tuple[float, Values]:
        """Return how likely DEJMPS succeeds and what it leaves."""
        found = bell.dejmps(a, b)
        return float(found.success), found.state

    def of_two(self, make: Callable[[], Any], step: Callable[..., Any], far: float) -> tuple[float, Values]:
        """Make two pairs at once, wait for the later, take the step, wait for its news; again from the start if not."""
        lost = 0.0
        while True:
            (t1, s1), (t2, s2) = make(), make()
            if abs(t1 - t2) > self.cutoff:
                lost += min(t1, t2) + self.cutoff
                continue
            met, news = max(t1, t2), chains.span_s(self.made, far)
            likely, state = step(chains.waited(self.made, s1, met - t1), chains.waited(self.made, s2, met - t2))
            lost += met + news
            if self.rng.random() < likely:
                return lost, chains.waited(self.made, state, news)


@pytest.mark.parametrize("levels", [(), (0, 1)])
def test_nesting_meets_a_slow_obvious_simulation(levels: tuple[int, ...]) -> None:
    """Four segments with cutoff, failing swaps and purification: mean time and fidelity within 4.5 sigma."""
    made = chain(
        segments=4,
        link={"parallel_tries": 8},
        memory={"coherence_s": 0.01, "cutoff_s": 8 * STEP_S, "noise": "dephasing"},
        swap={"order": "nested", "success": 0.6, "kept": 0.98},
        purification={"levels": list(levels)} if levels else None,
    )
    fast = simulate(made, 20_000, np.random.default_rng(3))
    one_by_one = SlowChain(made, np.random.default_rng(4))
    slow = [one_by_one.pair(2) for _ in range(100)]
    for quick, obvious in (
        (fast.seconds, np.array([t for t, _ in slow])),
        (bell.fidelity(fast.states), np.array([s[0] for _, s in slow])),
    ):
        sigma = np.hypot(quick.std() / np.sqrt(quick.size), obvious.std() / np.sqrt(obvious.size))
        assert abs(quick.mean() - obvious.mean()) < 4.5 * sigma


def test_same_seed_same_pairs() -> None:
    """And they arrive one after the other."""
    one, two = (simulate(chain(), 100, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.seconds, two.seconds)
    assert np.array_equal(one.states, two.states)
    assert np.all(np.diff(one.arrivals_s) > 0)


def test_purification_pays_with_time() -> None:
    """Links of 0.9 become better and rarer."""
    noisy = {"source_fidelity": 0.95, "dark_count": 0.0}
    plain = simulate(chain(segments=1, link=noisy), 2000, np.random.default_rng(0))
    pure = simulate(chain(segments=1, link=noisy, purification={"levels": [0]}), 2000, np.random.default_rng(0))
    assert pure.states[:, 0].mean() > plain.states[:, 0].mean()
    assert pure.seconds.mean() > plain.seconds.mean()


@settings(deadline=None, max_examples=150)
@given(
    scheme=st.sampled_from(["two-photon", "single-click"]),
    order=st.sampled_from(["together", "nested", "sequential"]),
    segments=st.sampled_from([1, 2, 4, 8]),
    length=st.floats(0.001, 150),
    efficiency=st.floats(0.05, 1),
    alpha=st.floats(0.001, 0.5),
    tries=st.sampled_from([1, 2, 50]),
    purifies=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_no_chain_exceeds_its_bound(
    *, scheme: str, order: str, segments: int, length: float, efficiency: float, alpha: float, tries: int,
    purifies: bool, seed: int,
) -> None:  # fmt: skip
    """Perfect memories and swaps, no noise: what key there is stays below all that stations and modes allow."""
    link = {"scheme": scheme, "efficiency": efficiency, "bright_share": alpha, "parallel_tries": tries,
            "dark_count": 0.0, "source_fidelity": 1.0, "visibility": 1.0, "preparation_s": 1e-6}  # fmt: skip
    made = chain(segments=segments, fibre={"length_km": length}, link=link, memory={"coherence_s": 1e9},
                 swap={"order": order}, purification={"levels": [0]} if purifies else None)  # fmt: skip
    found = simulate(made, 300, np.random.default_rng(seed))
    bits = bell.secret_fraction(found.states.mean(axis=0)) / found.seconds.mean()
    assert 0 <= bits <= chains.bound_bits_per_s(made)


def test_a_chain_of_repeaters_beats_a_bare_fibre() -> None:
    """800 km: sixteen segments with good memories give more than any protocol without repeaters over as many tries."""
    link = {"efficiency": 0.9, "dark_count": 0.0, "source_fidelity": 1.0, "visibility": 1.0}
    made = chain(segments=16, fibre={"length_km": 50.0}, link=link, memory={"coherence_s": 100.0})
    found = simulate(made, 500, np.random.default_rng(0))
    bits = float(bell.secret_fraction(found.states.mean(axis=0))) / found.seconds.mean()
    bare = 2 * 10**-16 / np.log(2) / chains.round_s(made)
    assert bits > 1e6 * bare


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segments": 0}, ">= 1"),
        ({"segments": 17}, "<= 16"),
        ({"segments": 3, "swap": {"order": "nested"}}, "nested swapping needs"),
        ({"purification": {"levels": [1]}}, "levels 0 to 0"),
        ({"swap": {"order": "nested"}, "purification": {"levels": [2]}}, "levels 0 to 1"),
        ({"purification": {"levels": [0, 0]}}, "named once"),
        ({"fibre": {"length_km": 0.0}}, "without loss"),
        ({"link": {"efficiency": 0.0}}, "> 0"),
        ({"link": {"efficiency": 1.1}}, "<= 1"),
        ({"link": {"dark_count": -1.0}}, ">= 0"),
        ({"link": {"source_fidelity": 0.2}}, ">= 0.25"),
        ({"link": {"scheme": "magic"}}, "Invalid enum"),
        ({"memory": {"coherence_s": 0.0}}, "> 0"),
        ({"memory": {"coherence_s": float("nan")}}, "> 0|<="),
        ({"swap": {"success": 0.0}}, "> 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    """With the field's range, or a sentence."""
    with pytest.raises(msgspec.ValidationError, match=said):
        chain(**changes)


def test_a_chain_that_never_delivers_is_named() -> None:
    """No endless loop: far too much loss, a cutoff and swaps that hardly ever let a pair through, no pair asked for."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="nothing would ever arrive"):
        simulate(chain(fibre={"length_km": 1000.0}, link={"dark_count": 0.0}), 1, rng)
    with pytest.raises(ValueError, match="the cutoff is too short"):
        simulate(chain(segments=16, swap={"success": 0.1}), 1, rng)
    with pytest.raises(ValueError, match="at least one pair"):
        simulate(chain(), 0, rng)
    assert chains.expected(chain(fibre={"length_km": 1000.0}, link={"efficiency": 1e-300, "dark_count": 0.0})) is None
