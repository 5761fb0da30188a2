"""Profiles: what they may say of themselves, and which links may carry them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.profile import regions_equal
from keystrand.model.key import CEILING, SourceKind, Strand, Strength
from keystrand.model.key_policy import CryptoProfile, Exhaustion, ExhaustionMode, Quota, RotationRule

STRANDS = [Strand(source=k, strength=s) for k, s in product(SourceKind, Strength) if CEILING[k].at_least(s)]
QKD, PQC = STRANDS[0], next(strand for strand in STRANDS if strand.source is SourceKind.PQC)
HYBRID = CryptoProfile(name="hybrid", strands=(QKD, PQC), result=Strength.POST_QUANTUM, regions=("eu",))


@given(st.sets(st.sampled_from(("eu", "ch", "uk")), max_size=2), st.sets(st.sampled_from(("eu", "ch", "uk"))))
def test_regions_are_equal_as_sets(declared: set[str], carried: set[str]) -> None:
    """In any order, and no tag more or less."""
    profile = CryptoProfile(name="p", strands=(QKD,), result=QKD.strength, regions=tuple(declared))
    assert regions_equal(profile, carried) == (declared == carried)


def test_a_label_names_every_strand() -> None:
    """A hybrid says so, and what it is made from; a single strand is its own label."""
    assert HYBRID.label == "hybrid(qkd:information-theoretic+pqc:post-quantum)"
    assert CryptoProfile(name="q", strands=(QKD,), result=QKD.strength).label == "qkd:information-theoretic"


def test_a_hybrid_cannot_claim_information_theoretic_security() -> None:
    """The result is checked against the strands, and the message says what to write."""
    with pytest.raises(ValueError, match='write result = "post-quantum"'):
        CryptoProfile(name="h", strands=(QKD, PQC), result=Strength.INFORMATION_THEORETIC)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CryptoProfile(name="h", strands=(QKD, QKD), result=QKD.strength), "one strand only"),
        (lambda: CryptoProfile(name="h", strands=(QKD,), result=QKD.strength, regions=("any", "eu")), "alone"),
        (lambda: Exhaustion(mode=ExhaustionMode.WAIT), "needs wait_s"),
        (lambda: Exhaustion(mode=ExhaustionMode.DEGRADE, degrade_to="x"), "needs max_duration_s"),
        (lambda: Exhaustion(wait_s=1), "has no wait_s"),
        (lambda: Quota(id="q", sae="*"), "limits nothing"),
        (lambda: Quota(id="q", sae="*", burst_bits=1), "belong together"),
        (lambda: RotationRule(id="r", master="*", slave="*"), "limits nothing"),
    ],
)
def test_what_makes_no_sense_cannot_be_made(build: object, message: str) -> None:
    """Invariants hold at construction, wherever the values come from."""
    with pytest.raises(ValueError, match=message):
        build()  # type: ignore[operator]  # a mixed list of callables
