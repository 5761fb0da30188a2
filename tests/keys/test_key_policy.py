"""What a policy decides: who, which profile, over which link, with which demands; and how it says no."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.crypto.combiner import COMBINED_BITS_MOST
from keystrand.formats.etsi014 import MANDATORY_UNMET
from keystrand.keys.policy import Ask, DemandUnmet, KeyPolicyDenied, at_least, decide, decide_all
from keystrand.keys.rules import BUILT_IN, NameTable, PairTable, PolicyRules
from keystrand.model.errors import InvalidInput
from keystrand.model.key import RouteType, SourceKind, Strand, Strength
from keystrand.model.key_policy import (
    CryptoProfile,
    Denial,
    Effect,
    Entitlement,
    Exhaustion,
    ExhaustionMode,
    GroupRule,
    KeyPolicy,
    RegionException,
    Replay,
    TransportRule,
)

QKD = Strand(source=SourceKind.QKD, strength=Strength.INFORMATION_THEORETIC)
SIMULATED = Strand(source=SourceKind.QKD, strength=Strength.SIMULATED)
PQC = Strand(source=SourceKind.PQC, strength=Strength.POST_QUANTUM)
PROFILES = (
    CryptoProfile(
        name="qkd", strands=(QKD,), result=Strength.INFORMATION_THEORETIC, regions=("eu",), max_age_s=3600,
        exhaustion=Exhaustion(mode=ExhaustionMode.DEGRADE, degrade_to="hybrid", max_duration_s=60),
    ),
    CryptoProfile(
        name="hybrid", strands=(QKD, PQC), result=Strength.POST_QUANTUM, regions=("eu",), route=RouteType.DIRECT,
        exhaustion=Exhaustion(mode=ExhaustionMode.DEGRADE, degrade_to="pqc", max_duration_s=60),
    ),
    CryptoProfile(name="pqc", strands=(PQC,), result=Strength.POST_QUANTUM, regions=("any",)),
    CryptoProfile(name="twin", strands=(SIMULATED,), result=Strength.SIMULATED, regions=("eu",)),
)  # fmt: skip
ALL = Entitlement(id="all", master="a*", slave="b*", profiles=("qkd", "hybrid", "pqc"))
POLICY = KeyPolicy(name="p", owner="governance", default=Effect.DENY, profiles=PROFILES, allows=(ALL,))
ASK = Ask(master_sae="a1", slave_saes=("b1",), link="l", regions=frozenset({"eu"}))
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC).timestamp()


def _rules(policy: KeyPolicy = POLICY) -> PolicyRules:
    return PolicyRules(policy, file="policy.toml", revision=3)


def _denied(policy: KeyPolicy, ask: Ask, now: float = NOW) -> KeyPolicyDenied:
    with pytest.raises(KeyPolicyDenied) as caught:
        decide(_rules(policy), ask, now)
    return caught.value


def test_a_permit_says_what_to_take_and_what_may_take_its_place() -> None:
    """Profile, fallback, behaviour at exhaustion, entry and revision."""
    permit = decide(_rules(), ASK, NOW)
    assert permit.profile.name == "qkd"
    assert [profile.name for profile in permit.fallback] == ["hybrid", "pqc"]
    assert permit.exhaustion.degrade_to == "hybrid"
    assert (permit.entry, permit.revision, permit.exception) == ("all", 3, "")


def test_a_denial_names_file_entry_subject_and_the_next_step() -> None:
    """Whoever is refused sees which entry of which file refuses whom, and whom to ask for what."""
    error = _denied(POLICY, replace(ASK, slave_saes=("stranger",)))
    assert error.entry == "default"
    assert all(word in error.message for word in ("policy.toml", "'default'", "a1", "stranger"))
    assert "governance" in error.hint
    assert "[[allow]]" in error.hint
    assert "keystrand policy test policy.toml" in error.hint
    assert (error.http_status, error.exit_code) == (401, 12)


def test_a_denial_wins_over_a_more_specific_entitlement() -> None:
    """No entitlement, however specific, opens what a denial closed; a denial holds both ways."""
    own = Entitlement(id="own", master="b1", slave="a1", profiles=("qkd",))
    policy = replace(POLICY, allows=(ALL, own), denies=(Denial(id="no", reason="gone", master="a*"),))
    assert _denied(policy, ASK).entry == "no"
    assert "gone" in _denied(policy, replace(ASK, master_sae="b1", slave_saes=("a1",))).message


def test_a_denial_in_one_direction_leaves_the_other_open() -> None:
    """`both_ways = false` is there for who needs it."""
    allow = replace(ALL, both_ways=True)
    deny = Denial(id="no", reason="r", master="a*", slave="b*", both_ways=False)
    rules = _rules(replace(POLICY, allows=(allow,), denies=(deny,)))
    assert decide(rules, replace(ASK, master_sae="b1", slave_saes=("a1",)), NOW).entry == "all"
    with pytest.raises(KeyPolicyDenied):
        decide(rules, ASK, NOW)


@pytest.mark.parametrize(
    ("denial", "taken", "fallback"),
    [
        (Denial(id="d", reason="r", sources=(SourceKind.PQC,)), "qkd", []),
        (Denial(id="d", reason="r", sources=(SourceKind.QKD,)), "pqc", []),
        (Denial(id="d", reason="r", profiles=("hybrid",)), "qkd", []),
        (Denial(id="d", reason="r", profiles=("qkd",)), "hybrid", ["pqc"]),
        (Denial(id="d", reason="r", profiles=("pqc",), links=("other",)), "qkd", ["hybrid", "pqc"]),
    ],
)
def test_a_denial_of_a_source_reaches_into_the_fallback(denial: Denial, taken: str, fallback: list[str]) -> None:
    """What may not be taken may not be degraded to either, and ends the chain where it stands."""
    permit = decide(_rules(replace(POLICY, denies=(denial,))), ASK, NOW)
    assert (permit.profile.name, [profile.name for profile in permit.fallback]) == (taken, fallback)


def test_a_request_degrades_only_to_what_its_entry_names() -> None:
    """A profile's fallback is not everybody's: without it the keys run out with an error."""
    rules = _rules(replace(POLICY, allows=(replace(ALL, profiles=("qkd", "pqc")),)))
    permit = decide(rules, ASK, NOW)
    assert permit.fallback == ()
    assert permit.exhaustion.mode is ExhaustionMode.FAIL


def test_every_slave_of_a_multicast_must_be_allowed() -> None:
    """One stranger among the slaves denies the request; the profiles are those that all have in common."""
    some = Entitlement(id="some", master="a1", slave="c1", profiles=("hybrid", "pqc"))
    policy = replace(POLICY, allows=(ALL, some))
    assert decide(_rules(policy), replace(ASK, slave_saes=("b1", "c1")), NOW).profile.name == "hybrid"
    assert "stranger" in _denied(policy, replace(ASK, slave_saes=("b1", "stranger"))).message


@pytest.mark.parametrize(
    ("regions", "allowed"), [({"eu"}, True), (set(), False), ({"eu", "ch"}, False), ({"ch"}, False)]
)
def test_regions_must_be_equal(regions: set[str], allowed: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A link with a tag less or more than the profile is refused; `any` alone takes every link."""
    policy = replace(POLICY, allows=(replace(ALL, profiles=("qkd",)),))
    ask = replace(ASK, regions=frozenset(regions))
    if allowed:
        assert decide(_rules(policy), ask, NOW).profile.name == "qkd"
    else:
        assert "region" in _denied(policy, ask).message
    assert decide(_rules(), replace(ask, profile="pqc"), NOW).profile.name == "pqc"


ABROAD = replace(ASK, regions=frozenset({"eu", "ch"}))
EXCEPTION = RegionException(
    id="move", profile="qkd", regions=("ch", "eu"), owner="network", reason="a move", expires=date(2027, 3, 31)
)


def test_an_exception_holds_until_its_day_begins() -> None:
    """It is named in the permit while it holds; afterwards the denial names it, its owner and its end."""
    policy = replace(POLICY, allows=(replace(ALL, profiles=("qkd",)),), region_exceptions=(EXCEPTION,))
    end = datetime(2027, 3, 31, tzinfo=UTC).timestamp()
    assert decide(_rules(policy), ABROAD, end - 1).exception == "move"
    message = _denied(policy, ABROAD, end).message
    assert all(word in message for word in ("'move'", "network", "2027-03-31"))


@pytest.mark.parametrize(
    "other", [{"links": ("elsewhere",)}, {"profile": "hybrid"}, {"regions": ("eu", "ch", "uk")}, {"regions": ("ch",)}]
)
def test_an_exception_is_for_its_profile_tags_and_links_only(other: dict[str, object]) -> None:
    """Nothing next to what it names is let in."""
    entry = replace(EXCEPTION, **other)
    policy = replace(POLICY, allows=(replace(ALL, profiles=("qkd",)),), region_exceptions=(entry,))
    assert _denied(policy, ABROAD).entry == "qkd"


def test_a_link_with_another_label_is_refused_even_if_it_is_stronger() -> None:
    """Labels are equal or the profile is not taken: nothing claims one thing and delivers another."""
    policy = replace(POLICY, allows=(replace(ALL, profiles=("twin",)),))
    message = _denied(policy, replace(ASK, offered={SourceKind.QKD: Strength.INFORMATION_THEORETIC})).message
    assert "declares qkd:simulated" in message
    assert "delivers information-theoretic" in message


def test_a_wrong_label_moves_no_request_to_another_kind_of_key() -> None:
    """A QKD link that turns out simulated denies; it does not turn QKD keys into post-quantum ones without an alarm."""
    simulated = replace(ASK, offered={SourceKind.QKD: Strength.SIMULATED, SourceKind.PQC: Strength.POST_QUANTUM})
    assert _denied(POLICY, simulated).entry == "qkd"
    both = replace(POLICY, allows=(replace(ALL, profiles=("qkd", "pqc", "twin")),))
    permit = decide(_rules(both), simulated, NOW)
    assert permit.profile.name == "twin"
    assert [one.source for one in permit.passed] == [SourceKind.QKD, SourceKind.QKD]
    assert decide(_rules(), replace(simulated, profile="pqc"), NOW).profile.name == "pqc"


def test_a_demanded_strength_chooses_the_profile_and_cuts_the_fallback() -> None:
    """Who demands information-theoretic keys is never degraded; who demands what nobody may take gets a 400."""
    rules = _rules()
    strict = replace(ASK, labels=at_least(Strength.INFORMATION_THEORETIC))
    assert decide(rules, strict, NOW).fallback == ()
    assert decide(rules, replace(ASK, labels=frozenset({Strength.POST_QUANTUM})), NOW).profile.name == "hybrid"
    only = _rules(replace(POLICY, allows=(replace(ALL, profiles=("pqc",)),)))
    with pytest.raises(DemandUnmet, match=MANDATORY_UNMET) as caught:
        decide(only, strict, NOW)
    assert [problem.field for problem in caught.value.problems] == ["keystrand_label"]
    assert caught.value.http_status == 400


def test_ages_and_routes_are_the_stricter_of_policy_and_request() -> None:
    """The permit hands on what the bits must meet; a route that the profile does not take is unmet."""
    rules = _rules()
    assert decide(rules, ASK, NOW).choices[0].max_age_s == 3600
    assert decide(rules, replace(ASK, max_age_s=60), NOW).choices[0].max_age_s == 60
    assert decide(rules, replace(ASK, max_age_s=7200), NOW).choices[0].max_age_s == 3600
    assert [c.route for c in decide(rules, ASK, NOW).choices] == [None, RouteType.DIRECT, None]
    with pytest.raises(DemandUnmet) as caught:
        decide(rules, replace(ASK, profile="hybrid", route=RouteType.INDIRECT), NOW)
    assert caught.value.problems[0].field == "keystrand_route_type"


def test_a_combined_key_has_a_largest_size() -> None:
    """What the derivation cannot give is refused before anything is cut."""
    with pytest.raises(DemandUnmet, match="bad request") as caught:
        decide(_rules(), replace(ASK, profile="hybrid", size=COMBINED_BITS_MOST + 8), NOW)
    assert caught.value.problems[0].field == "size"
    assert decide(_rules(), replace(ASK, size=COMBINED_BITS_MOST + 8), NOW).fallback == ()


def test_a_profile_that_the_entry_does_not_give_cannot_be_demanded() -> None:
    """Naming a profile in the request opens nothing."""
    assert _denied(POLICY, replace(ASK, profile="twin")).entry == "all"
    assert _denied(POLICY, replace(ASK, profile="no-such-profile")).entry == "all"


def test_default_allow_gives_its_profiles() -> None:
    """Where the file says so, whom no entry names may take the default's profiles; denials still win."""
    policy = replace(POLICY, default=Effect.ALLOW, default_profiles=("pqc",))
    ask = replace(ASK, master_sae="x", slave_saes=("y",))
    assert decide(_rules(policy), ask, NOW).entry == "default"
    assert _denied(replace(policy, denies=(Denial(id="d", reason="r", master="x"),)), ask).entry == "d"


@pytest.mark.parametrize("label", [Strength.INFORMATION_THEORETIC, Strength.SIMULATED])
def test_without_a_file_the_link_s_own_bits_are_given_under_their_own_label(label: Strength) -> None:
    """The built-in policy takes any associated pair, QKD only, and nothing in its place."""
    permit = decide(BUILT_IN, replace(ASK, offered={SourceKind.QKD: label}), NOW)
    assert permit.profile.result is label
    assert not permit.profile.combined
    assert permit.fallback == ()
    assert permit.exhaustion.mode is ExhaustionMode.FAIL
    assert BUILT_IN.replay_window_s == 10
    assert not BUILT_IN.requires_post_quantum_group("sae-a")


def test_transport_and_replay_are_read_off_the_rules() -> None:
    """The most specific transport rule counts; strict replay is no window at all."""
    rules = (
        TransportRule(id="t", sae="pay-*", post_quantum_group=GroupRule.REQUIRED),
        TransportRule(id="u", sae="pay-old", post_quantum_group=GroupRule.PREFERRED),
    )
    made = _rules(replace(POLICY, transports=rules, replay=Replay.STRICT))
    needed = [made.requires_post_quantum_group(sae) for sae in ("pay-1", "pay-old", "web")]
    assert needed == [True, False, False]
    assert made.replay_window_s == 0


def test_a_policy_made_in_code_must_hold_together_too() -> None:
    """A profile that is named and not defined is an error when the rules are made, not when a request comes."""
    with pytest.raises(InvalidInput, match="nowhere"):
        _rules(replace(POLICY, allows=(replace(ALL, profiles=("nowhere",)),)))


# Patterns

names = st.text(alphabet="ab", max_size=5)
patterns = st.builds(lambda name, star: name + star, names, st.sampled_from(("", "*")))


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _weight(pattern: str) -> float:
    return len(pattern) if pattern.endswith("*") else math.inf


@given(st.dictionaries(patterns, st.integers()), names)
def test_a_name_table_finds_what_a_search_finds(table: Mapping[str, int], name: str) -> None:
    """Exactly the patterns that match, the name itself first, then the longest beginning."""
    matching = sorted((p for p in table if _matches(p, name)), key=_weight, reverse=True)
    assert list(NameTable(table.items()).find(name)) == [table[p] for p in matching]


@given(st.dictionaries(st.tuples(patterns, patterns), st.integers()), names, names)
def test_a_pair_table_finds_what_a_search_finds(table: Mapping[tuple[str, str], int], one: str, two: str) -> None:
    """The master's pattern counts before the slave's."""
    matching = [(p, q) for p, q in table if _matches(p, one) and _matches(q, two)]
    matching.sort(key=lambda pair: (_weight(pair[0]), _weight(pair[1])), reverse=True)
    made = PairTable((p, q, value) for (p, q), value in table.items())
    assert list(made.find(one, two)) == [table[pair] for pair in matching]


policies = st.builds(
    lambda allows, denies, default: KeyPolicy(
        name="p",
        default=default,
        default_profiles=("pqc",) if default is Effect.ALLOW else (),
        profiles=PROFILES,
        allows=tuple(replace(allow, id=f"a{n}") for n, allow in enumerate(allows)),
        denies=tuple(replace(deny, id=f"d{n}") for n, deny in enumerate(denies)),
    ),
    st.lists(
        st.builds(
            Entitlement, id=st.just("a"), master=patterns.filter(bool), slave=patterns.filter(bool),
            profiles=st.lists(st.sampled_from(("qkd", "hybrid", "pqc")), min_size=1, unique=True).map(tuple),
            both_ways=st.booleans(),
        ),
        max_size=4,
    ),
    st.lists(
        st.builds(
            Denial, id=st.just("d"), reason=st.just("r"), master=patterns.filter(bool), slave=patterns.filter(bool),
            sources=st.lists(st.sampled_from(SourceKind), max_size=2, unique=True).map(tuple),
        ),
        max_size=3,
    ),
    st.sampled_from(Effect),
)  # fmt: skip
asks = st.builds(
    Ask,
    master_sae=names,
    slave_saes=st.lists(names, min_size=1, max_size=2).map(tuple),
    link=st.just("l"),
    regions=st.sampled_from((frozenset({"eu"}), frozenset())),
    labels=st.sampled_from((None, *(at_least(strength) for strength in Strength))),
)


@given(policies, asks)
def test_whatever_is_permitted_is_allowed_not_denied_and_as_demanded(policy: KeyPolicy, ask: Ask) -> None:
    """Of any policy and request: every choice of a permit is entitled for every slave, untouched by every denial,
    of equal regions, and of a demanded label.
    """
    try:
        permit = decide(_rules(policy), ask, NOW)
    except (KeyPolicyDenied, DemandUnmet):
        return
    ways = [(ask.master_sae, slave) for slave in ask.slave_saes]
    for choice in permit.choices:
        profile = choice.profile
        assert ask.labels is None or profile.result in ask.labels
        assert profile.regions == ("any",) or set(profile.regions) == ask.regions
        for way in ways:
            entries = [e for e in policy.allows if _covers(e, way)]
            assert any(profile.name in e.profiles for e in entries) or (not entries and profile.name == "pqc")
            for denial in policy.denies:
                if _covers(denial, way):
                    assert denial.sources
                    assert not {strand.source for strand in profile.strands} & set(denial.sources)


def _covers(entry: Entitlement | Denial, way: tuple[str, str]) -> bool:
    ways = [way, way[::-1]] if entry.both_ways else [way]
    return any(_matches(entry.master, one) and _matches(entry.slave, two) for one, two in ways)


def test_every_part_of_a_request_is_judged_on_its_own_link() -> None:
    """A denial, an entitlement or a region of one link counts for the slaves that it leads to."""
    two = Ask(master_sae="a1", slave_saes=("b2",), link="m", regions=frozenset({"eu"}))
    assert decide_all(_rules(), (ASK, two), NOW) == decide(_rules(), ASK, NOW)
    only_l = replace(POLICY, allows=(replace(ALL, links=("l",)),))
    with pytest.raises(KeyPolicyDenied, match="'m'"):
        decide_all(_rules(only_l), (ASK, two), NOW)
    denied = replace(POLICY, denies=(Denial(id="not-over-m", reason="r", links=("m",)),))
    with pytest.raises(KeyPolicyDenied, match="not-over-m"):
        decide_all(_rules(denied), (ASK, two), NOW)
    with pytest.raises(KeyPolicyDenied):
        decide_all(_rules(), (ASK, replace(two, regions=frozenset({"us"}))), NOW)


def test_a_fallback_ends_where_one_link_does_not_allow_it() -> None:
    """Every link must allow what a request degrades to; where none is left it fails when its profile runs out."""
    two = Ask(master_sae="a1", slave_saes=("b2",), link="m", regions=frozenset({"eu"}))
    no_pqc = replace(POLICY, denies=(Denial(id="no-pqc", reason="r", links=("m",), profiles=("pqc",)),))
    alone, both = decide(_rules(no_pqc), ASK, NOW), decide_all(_rules(no_pqc), (ASK, two), NOW)
    assert [choice.profile.name for choice in alone.choices] == ["qkd", "hybrid", "pqc"]
    assert [choice.profile.name for choice in both.choices] == ["qkd", "hybrid"]
    no_hybrid = replace(POLICY, denies=(Denial(id="no-hybrid", reason="r", links=("m",), profiles=("hybrid",)),))
    assert decide_all(_rules(no_hybrid), (ASK, two), NOW).exhaustion.mode is ExhaustionMode.FAIL


def test_a_fallback_ends_where_one_link_does_not_give_what_is_demanded() -> None:
    """Only a demand that the profile itself does not meet is an error of the request."""
    two = Ask(master_sae="a1", slave_saes=("b2",), link="m", regions=frozenset({"eu"}))
    strong = replace(two, labels=at_least(Strength.INFORMATION_THEORETIC))
    assert [one.profile.name for one in decide_all(_rules(), (ASK, strong), NOW).choices] == ["qkd"]
    with pytest.raises(DemandUnmet):
        decide_all(_rules(), (replace(ASK, profile="pqc"), strong), NOW)
