"""Every asset before the rules: judged by kind, the same as one by one."""

from collections import Counter
from collections.abc import Callable
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from keystrand.assess.assets import Alike, Judge, finding_of, in_state, tallies
from keystrand.assess.policy import facts_of, judge
from keystrand.edge.catalogue import policies
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.estate import Estate, Place, System
from keystrand.model.stages import PolicyState

NAMES = ("web", "vpn", "mail", "code")
POLICIES = policies()
KINDS = (("RSA", 2048, ""), ("RSA", 4096, ""), ("ECDSA-P-256", None, ""), ("ML-DSA-65", None, ""),
         ("X25519", None, "key-establishment"), ("X25519MLKEM768", None, "key-establishment"),
         ("RSA-2048", None, "encryption"), ("AES-128-GCM", None, "encryption"), ("SHA-1", None, "digest"))  # fmt: skip
alikes = st.builds(
    lambda system, kind, verdict: Alike(system, kind[0], kind[1], kind[2], verdict.value),
    st.sampled_from([*NAMES, "of-nobody"]), st.sampled_from(KINDS), st.sampled_from(Verdict),
)  # fmt: skip


def _judge(estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date) -> Judge:
    systems = tuple(system_of(name, place=place) for name, place in zip(NAMES, Place, strict=False))
    estate = estate_of(*systems, obligations=("eu-roadmap",))
    return Judge(POLICIES, {system.id: facts_of(estate, system, as_of) for system in systems})


@given(st.lists(st.tuples(alikes, st.integers(1, 50)), max_size=30))
def test_counted_by_kind_is_counted_one_by_one(
    estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date,
    groups: list[tuple[Alike, int]],
) -> None:  # fmt: skip
    """The sums over kinds are those of asking the rules about each asset by itself, with a memory or without."""
    judge_ = _judge(estate_of, system_of, as_of)
    expected: Counter[tuple[str, str, PolicyState]] = Counter()
    for alike, number in groups:
        fresh = _judge(estate_of, system_of, as_of)
        for said in fresh.of(alike):
            expected[said.policy, said.rule, said.state] += number
    assert {tuple(t[:3]): t.assets for t in tallies(judge_, groups)} == expected


@given(alikes)
def test_the_memory_changes_no_state(
    estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date, alike: Alike
) -> None:
    """What is remembered for another system that stands alike has the states of this one."""
    judge_ = _judge(estate_of, system_of, as_of)
    for name in NAMES:
        judge_.of(alike._replace(system=name))
    if alike.system in NAMES:
        assert [(p.rule, p.state) for p in judge_.of(alike)] == [(p.rule, p.state) for p in judge_.reasons(alike)]


def test_an_asset_has_the_state_of_a_finding_of_its_own(
    estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date
) -> None:
    """The rules are those of findings: there is no second reading of them."""
    system = system_of("web")
    facts = facts_of(estate_of(system), system, as_of)
    alike = Alike("web", "RSA", 2048, "", "quantum-vulnerable")
    finding = finding_of(alike)
    assert finding is not None
    assert (finding.function, finding.algorithms) == (Function.SIGNATURE, ("RSA-2048",))
    assert Judge(POLICIES, {"web": facts}).of(alike) == judge(POLICIES, finding, facts)


def test_what_no_rule_speaks_of_is_left_alone() -> None:
    """A cipher or a digest is no public-key algorithm; what a public key encrypts is a key."""
    assert finding_of(Alike("web", "AES-128-GCM", None, "encryption", "quantum-safe")) is None
    wrapped = finding_of(Alike("web", "RSA-2048", None, "encryption", "quantum-vulnerable"))
    assert wrapped is not None
    assert wrapped.function is Function.KEY_ESTABLISHMENT


def test_assets_in_a_state_are_found_with_their_rules(
    estate_of: Callable[..., Estate], system_of: Callable[..., System], as_of: date
) -> None:
    """Only those that a rule leaves in that state, and of one policy where one is named."""
    judge_ = _judge(estate_of, system_of, as_of)
    assets = [("a", Alike("web", "X25519", None, "key-establishment", "quantum-vulnerable")),
              ("b", Alike("web", "X25519MLKEM768", None, "key-establishment", "quantum-safe"))]  # fmt: skip
    found = list(in_state(judge_, assets, PolicyState.DUE, "eu-roadmap"))
    assert [name for name, _, _ in found] == ["a"]
    assert {said.policy for _, _, rules in found for said in rules} == {"eu-roadmap"}
    assert not list(in_state(judge_, assets, PolicyState.VIOLATION))
