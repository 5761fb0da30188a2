"""Quotas under any sequence of requests and any clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.quota import QuotaExceeded, Quotas
from keystrand.keys.rules import PolicyRules
from keystrand.model.key import SourceKind, Strand, Strength
from keystrand.model.key_policy import CryptoProfile, Effect, KeyPolicy, Quota

PQC = CryptoProfile(
    name="pqc",
    strands=(Strand(source=SourceKind.PQC, strength=Strength.POST_QUANTUM),),
    result=Strength.POST_QUANTUM,
)
HOUR_S = 3600.0


def _rules(*quotas: Quota) -> PolicyRules:
    return PolicyRules(KeyPolicy(name="p", default=Effect.DENY, profiles=(PQC,), quotas=quotas), file="policy.toml")


BITS = Quota(id="bits", sae="app-*", burst_bits=1000, bits_per_s=10)
REQUESTS = Quota(id="requests", sae="app-*", burst_requests=3, requests_per_s=0.5)


def test_a_burst_is_given_and_then_what_time_gives() -> None:
    """A full bucket, then nothing, then as much as was refilled; the refusal says when."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 1000, 0)
    with pytest.raises(QuotaExceeded) as caught:
        quotas.take("app-1", 256, 0)
    assert caught.value.retry_after_s == pytest.approx(25.6)
    assert (caught.value.http_status, caught.value.exit_code) == (503, 13)
    assert all(word in caught.value.message for word in ("policy.toml", "'bits'", "app-1"))
    quotas.take("app-1", 256, 25.7)


def test_each_sae_has_its_own_bucket() -> None:
    """What one uses up is not missing for another, though one entry names both; others have no limit."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 1000, 0)
    quotas.take("app-2", 1000, 0)
    for _ in range(5):
        quotas.take("other", 10**9, 0)


def test_requests_are_counted_beside_bits() -> None:
    """A rate limit holds for requests of any size; a refused request costs neither bits nor requests."""
    quotas = Quotas(_rules(Quota(id="q", sae="*", burst_bits=100, bits_per_s=1, burst_requests=2, requests_per_s=1)))
    quotas.take("a", 8, 0)
    with pytest.raises(QuotaExceeded, match="bits"):
        quotas.take("a", 93, 0)
    quotas.take("a", 92, 0)
    with pytest.raises(QuotaExceeded, match="requests"):
        quotas.take("a", 0, 0)


def test_more_than_the_bucket_ever_holds_is_told_so() -> None:
    """Waiting would not help: no time is named, the hint is to ask for less."""
    with pytest.raises(QuotaExceeded) as caught:
        Quotas(_rules(BITS)).take("app-1", 1001, 0)
    assert caught.value.retry_after_s is None
    assert "fewer" in caught.value.hint


def test_what_was_not_delivered_is_given_back() -> None:
    """The bits come back, never beyond the bucket; the request stays counted, so trying in a loop is limited."""
    quotas = Quotas(_rules(Quota(id="q", sae="*", burst_bits=100, bits_per_s=1, burst_requests=2, requests_per_s=1)))
    for _ in range(2):
        quotas.take("a", 100, 0)
        quotas.settle("a", taken=100, cut=0, now=0)
        quotas.settle("a", taken=100, cut=0, now=0)
    with pytest.raises(QuotaExceeded, match="requests"):
        quotas.take("a", 100, 0)
    quotas.take("a", 100, 1)
    with pytest.raises(QuotaExceeded, match="bits"):
        quotas.take("a", 100, 2)
    quotas.settle("stranger", taken=100, cut=0, now=2)


def test_what_was_cut_beyond_is_owed() -> None:
    """A bucket from which more was cut stands below zero: nothing is left, and the wait is as much longer."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 600, 0)
    quotas.settle("app-1", taken=600, cut=1200, now=0)
    with pytest.raises(QuotaExceeded, match="has 0 bits left") as caught:
        quotas.take("app-1", 300, 0)
    assert caught.value.retry_after_s == pytest.approx(50)
    quotas.take("app-1", 300, 50.1)


def test_a_further_try_is_no_further_request() -> None:
    """Bits are counted for every try, the request once."""
    quotas = Quotas(_rules(Quota(id="q", sae="*", burst_bits=100, bits_per_s=1, burst_requests=1, requests_per_s=1)))
    quotas.take("a", 0, 0)
    quotas.take("a", 60, 0, requests=0)
    with pytest.raises(QuotaExceeded, match="bits"):
        quotas.take("a", 60, 0, requests=0)
    with pytest.raises(QuotaExceeded, match="requests"):
        quotas.take("a", 0, 0)


def test_giving_back_twice_fills_nothing_beyond_the_bucket() -> None:
    """A refund too many, at the same moment, is not a second burst."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 500, 0)
    for _ in range(3):
        quotas.settle("app-1", taken=500, cut=0, now=0)
    quotas.take("app-1", 1000, 0)
    with pytest.raises(QuotaExceeded):
        quotas.take("app-1", 8, 0)


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_clock_jump_of_an_hour_locks_nobody_out_and_overfills_nothing(jump_s: float) -> None:
    """After the jump the bucket holds no more than its size, and refills at its rate from there."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 1000, 10_000)
    now = 10_000 + jump_s
    with pytest.raises(QuotaExceeded):
        quotas.take("app-1", 1000 if jump_s < 0 else 1001, now)
    if jump_s > 0:
        quotas.take("app-1", 1000, now)
    with pytest.raises(QuotaExceeded):
        quotas.take("app-1", 10, now + 0.9)
    quotas.take("app-1", 10, now + 1.1)


steps = st.lists(
    st.tuples(st.floats(min_value=0, max_value=200), st.integers(min_value=0, max_value=1200), st.booleans()),
    max_size=30,
)


@given(steps)
def test_nobody_gets_more_than_burst_and_rate_allow(steps: list[tuple[float, int, bool]]) -> None:
    """Over any requests and refunds of what failed: what was kept is at most the burst and the rate times the time.

    And whoever waits as long as he is told succeeds.
    """
    quotas, now, kept = Quotas(_rules(BITS)), 0.0, 0
    for passed_s, bits, failed in steps:
        now += passed_s
        try:
            quotas.take("app-1", bits, now)
        except QuotaExceeded as error:
            if error.retry_after_s is None:
                assert bits > 1000
                continue
            now += error.retry_after_s + 1e-6
            quotas.take("app-1", bits, now)
        if failed:
            quotas.settle("app-1", taken=bits, cut=0, now=now)
        else:
            kept += bits
        assert kept <= 1000 + 10 * now + 1e-3


@given(st.lists(st.tuples(st.floats(min_value=-HOUR_S, max_value=HOUR_S), st.integers(0, 1000)), max_size=30))
def test_no_clock_fills_a_bucket_beyond_its_size(steps: list[tuple[float, int]]) -> None:
    """However the clock jumps, no single moment gives more than the bucket holds."""
    quotas, now = Quotas(_rules(BITS)), 0.0
    for jump_s, bits in steps:
        now += jump_s
        given_now = 0
        for _ in range(3):
            try:
                quotas.take("app-1", bits, now)
            except QuotaExceeded:
                break
            given_now += bits
        assert given_now <= 1000


def test_a_new_policy_keeps_what_was_used() -> None:
    """A larger bucket is not full at once, a smaller one is cut, another entry or none is followed."""
    quotas = Quotas(_rules(BITS))
    quotas.take("app-1", 900, 0)
    quotas.adopt(_rules(Quota(id="large", sae="*", burst_bits=10_000, bits_per_s=10)))
    with pytest.raises(QuotaExceeded, match="'large'"):
        quotas.take("app-1", 200, 0)
    quotas.adopt(_rules(Quota(id="small", sae="*", burst_bits=50, bits_per_s=10)))
    quotas.take("app-1", 50, 0)
    quotas.adopt(_rules(Quota(id="small", sae="*", burst_bits=50, bits_per_s=10), REQUESTS))
    quotas.take("app-1", 10**6, 0)
    quotas.adopt(_rules())
    for _ in range(9):
        quotas.take("app-1", 10**6, 0)
