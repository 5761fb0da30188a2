"""A quantum-internet testbed in one call: a repeater chain simulated, used for keys, checked, explained in words."""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from keystrand.qkd.bell_states import chsh_value, error_ratios, fidelity, secret_fraction, werner_parameter
from keystrand.qkd.decoy import Values
from keystrand.qkd.entanglement_services import (
    DEVICE_LIMITS,
    Settings,
    Verdict,
    chsh_check,
    expected_leak_bits,
    measure,
    pair_key,
)
from keystrand.qkd.finite import Security
from keystrand.qkd.repeater_chain import (
    LIMITS,
    RepeaterChain,
    bound_bits_per_s,
    expected,
    fresh_link,
    round_success,
)
from keystrand.qkd.repeater_simulation import Pairs, simulate

MODEL = "repeater chain with memories, event by event; Bell-diagonal states"


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the users do with the pairs. `risk` is how likely a bound of the CHSH value is wrong."""

    settings: Settings = Settings()
    security: Security = Security()
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)] = 1.16
    risk: Annotated[float, Meta(gt=0, lt=0.5)] = 1e-3

    def __post_init__(self) -> None:
        if self.security.per_key_bit:
            raise ValueError("the secrecy of pairs is of the whole block: leave out per_key_bit")


class TestbedChain(RepeaterChain, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A chain with a name, and what its users do."""

    __test__ = False  # no test case, whatever its name begins with

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    service: Service = Service()


class TestbedResult(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a simulated chain gave. Rates per second of simulated time; QBERs and S are counted from drawn bits.

    `fidelity` and `werner` are means over the pairs; `state_*` are the same quantities as the counted ones, of the mean
    state. `secret_bits_per_s` is asymptotic; `finite_key_bits` is of this run's counts. `expected_pairs_per_s` is the
    closed form, or nothing where there is none. Intervals are standard errors.
    """

    __test__ = False

    model: str
    simulated: bool
    name: str
    seed: int
    pairs: int
    seconds: float
    pairs_per_s: float
    pairs_per_s_error: float
    expected_pairs_per_s: float | None
    round_success: float
    fidelity: float
    fidelity_error: float
    werner: float
    qber_z: float | None
    qber_x: float | None
    chsh_value: float
    chsh_error: float
    chsh_lower: float
    chsh_upper: float
    chsh_verdict: Verdict
    state_qber_z: float
    state_qber_x: float
    state_chsh_value: float
    secret_bits_per_s: float
    chsh_priced_bits_per_s: float
    finite_key_bits: int
    finite_key_bits_per_s: float
    bound_bits_per_s: float
    limited_by: str
    limits: tuple[str, ...]


def run(chain: TestbedChain, *, pairs: int, seed: int) -> TestbedResult:
    """Return what `pairs` end-to-end pairs of a chain show and are good for; same seed, same result.

    Raises `ValueError` where the chain practically never makes a pair, and for less than one pair or a seed below 0.
    """
    if seed < 0:
        raise ValueError("a seed is not negative")
    rng = np.random.default_rng(seed)
    made = simulate(chain, pairs, rng)
    mean, seconds, service = made.states.mean(axis=0), float(made.seconds.sum()), chain.service
    seen = measure(made.states, service.settings, rng)
    n = seen.alice_key.size
    check = chsh_check(seen.chsh_pairs, seen.chsh_unequal, service.risk)
    key = pair_key(seen, expected_leak_bits(n, seen.key_errors, service.correction_efficiency), service.security)
    rate, closed, wrong = pairs / seconds, expected(chain), error_ratios(mean)
    kept = rate * service.settings.key_share
    return TestbedResult(
        model=MODEL,
        simulated=True,
        name=chain.name,
        seed=seed,
        pairs=pairs,
        seconds=seconds,
        pairs_per_s=rate,
        pairs_per_s_error=rate * _error(made.seconds) / float(made.seconds.mean()),
        expected_pairs_per_s=1 / closed.seconds if closed else None,
        round_success=round_success(chain),
        fidelity=float(fidelity(mean)),
        fidelity_error=_error(fidelity(made.states)),
        werner=float(werner_parameter(mean)),
        qber_z=seen.key_errors / n if n else None,
        qber_x=seen.test_errors / seen.tested if seen.tested else None,
        chsh_value=check.value,
        chsh_error=check.standard_error,
        chsh_lower=check.lower,
        chsh_upper=check.upper,
        chsh_verdict=check.verdict,
        state_qber_z=float(wrong.z),
        state_qber_x=float(wrong.x),
        state_chsh_value=float(chsh_value(mean)),
        secret_bits_per_s=kept * float(secret_fraction(mean, service.correction_efficiency)),
        chsh_priced_bits_per_s=kept * float(secret_fraction(mean, service.correction_efficiency, by_chsh=True)),
        finite_key_bits=key.length_bits,
        finite_key_bits_per_s=key.length_bits / seconds,
        bound_bits_per_s=bound_bits_per_s(chain),
        limited_by=limited_by(chain, made),
        limits=(LIMITS, DEVICE_LIMITS),
    )


def limited_by(chain: TestbedChain, made: Pairs) -> str:
    """Return in words what costs most: time where pairs are good enough for a key, what spoils them where not."""
    good = float(secret_fraction(made.states.mean(axis=0), chain.service.correction_efficiency))
    if good < 0.5:
        lost = _quality_costs(chain, made)
        return max(lost, key=lambda words: lost[words]) + (
            ": no key is left" if good == 0 else ": half of the key or more"
        )
    joins = chain.segments - 1
    if joins * -np.log2(chain.swap.success) > -np.log2(round_success(chain)):
        return "swaps that fail"
    return "loss: few rounds herald a pair"


def _quality_costs(chain: TestbedChain, made: Pairs) -> dict[str, float]:
    """Return how much of -log w each cause has, w being multiplied from link to link."""
    whole = _cost(werner_parameter(made.states.mean(axis=0)))
    links = chain.segments * _cost(werner_parameter(fresh_link(chain)))
    swaps = (chain.segments - 1) * _cost(np.asarray(chain.swap.kept))
    return {
        "fidelity of the links (source, darks, interference)": links,
        "gates of the swaps": swaps,
        "memory coherence: pairs wait too long": whole - links - swaps,
    }


def _cost(w: Values) -> float:
    return float(-np.log(np.maximum(w, 1e-12)))


def _error(values: Values) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else 0.0
