"""What public trackers claim wrongly is told as soon as it is imported: all nine claims that we found, and no other."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.assess.policy import remarks
from keystrand.assess.policy_disputes import contradictions, curve_contradictions, disputed, position_contradictions
from keystrand.edge.catalogue import curves, policies, positions, shipped_policies
from keystrand.formats.catalogue import curve_from_toml, policy_from_toml
from keystrand.model.estate import Place
from keystrand.model.policy import DatePrecision, Dispute, Effect, Policy, Rule, Stance, Status, Verification

SHIPPED = policies()

# What each tracker says, as a record that was imported: id, title, status, published, dated duties, further keys.
CLAIMS = {
    "FIPS 206 of October 2024": ("fips-206", "FIPS 206", "final", "2024-10-31", [], 'undated = "none"'),
    "a final IR 8547": (
        "tracker-ir-8547", "NIST IR 8547, final version", "final", "2025-06-30", [("disallow", "2035-12-31")], ""
    ),
    "IR 8547 final in November 2024, in place of SP 800-131A": (
        "whiz", "NIST IR 8547", "final", "2024-11-12", [("disallow", "2035-12-31")],
        'supersedes = ["nist-sp-800-131a-r2"]',
    ),
    "a second draft of IR 8547": (
        "hub-ir", "NIST IR 8547 2pd", "draft", "2026-04-12", [("disallow", "2035-12-31")], ""
    ),
    "MAS plans by 2028": (
        "hub-mas", "Circular MAS/TCRS/2024/01", "final", "2024-02-20", [("plan", "2028-12-31")], ""
    ),
    "BSI: hybrid TLS in 2025, post-quantum alone from 2030": (
        "hub-bsi", "BSI TR-02102-1", "final", "2026-01-23", [("require", "2025-12-31"), ("disallow", "2030-12-31")], ""
    ),
    "an executive order 14409": (
        "press", "Executive Order 14409", "final", "2026-06-22", [("require", "2030-12-31")], ""
    ),
    "a duty of US banks to list cryptography": (
        "qryptonic", "2025 OCC/FFIEC guidance", "final", "2025-12-31", [("plan", "2025-12-31")], ""
    ),
}  # fmt: skip


def _record(name: str) -> Policy:
    identity, title, status, published, duties, further = CLAIMS[name]
    rules = "".join(
        f'[[rules]]\nid = "r{n}"\nfunctions = ["key-establishment"]\neffect = "{effect}"\ndeadline = {day}\n'
        'text = "Claimed."\nclause = "none"\n'
        for n, (effect, day) in enumerate(duties)
    )
    text = (
        f'id = "{identity}"\nname = "A tracker\'s entry"\nstatus = "{status}"\nforce = "guidance"\njurisdictions = []\n'
        f'addressees = "all"\n{further}\n[source]\ntitle = "{title}"\npublisher = "a tracker"\nclause = "none"\n'
        f'published = {published}\nas_of = 2026-07-31\nverification = "secondary"\n{rules}'
    )
    return policy_from_toml(text, f"{identity}.toml")


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_false_claim_of_a_tracker_is_disputed_and_gives_notices_only(claim: str) -> None:
    """What is imported under a name of its own is found by what it cites, and can never give a violation."""
    record = _record(claim)
    found = contradictions(record, SHIPPED)
    assert found
    assert any("disputed" in why for why in remarks(disputed(record, found), date(2026, 7, 31)))


@pytest.mark.parametrize(
    ("claim", "record", "words"),
    [
        ("FIPS 206 of October 2024", "nist-fips-206", "it is draft"),
        ("a final IR 8547", "nist-ir-8547", "it is draft"),
        ("a second draft of IR 8547", "nist-ir-8547", "on 2024-11-12"),
        ("MAS plans by 2028", "sg-mas-tcrs-2024-01", "names no date"),
        ("BSI: hybrid TLS in 2025, post-quantum alone from 2030", "bsi-tr-02102-1", "the end of 2031"),
        ("an executive order 14409", "us-eo-14412", "eo 14412"),
        ("a duty of US banks to list cryptography", "us-occ-ffiec-inventory", "not to be found"),
    ],
)
def test_the_answer_names_the_record_and_what_it_says(claim: str, record: str, words: str) -> None:
    """Who is told that something is wrong is told what is right, and where it stands."""
    found = contradictions(_record(claim), SHIPPED)
    assert any(one.record == record and words in one.but for one in found)


def test_a_survey_quoted_wrongly_is_told() -> None:
    """Q-Shield's 1 to 5 percent within five years is in no edition of the survey; the true figures pass."""
    text = """id = "calibration"
name = "Expert survey"
origin = 2026-01-01
[source]
title = "Quantum Threat Timeline Report"
publisher = "Global Risk Institute"
clause = "5 years"
published = 2026-01-01
as_of = 2026-07-31
verification = "secondary"
[[anchors]]
years = 5
low = 0.01
high = 0.05
"""
    (found,) = curve_contradictions(curve_from_toml(text, "calibration.toml"), curves())
    assert found.says == "1 to 5 percent within 5 years"
    assert "5 to 15 percent within 5 years" in found.but
    right = text.replace("low = 0.01", "low = 0.05").replace("high = 0.05", "high = 0.15")
    assert curve_contradictions(curve_from_toml(right, "c.toml"), curves()) == ()
    another = text.replace("Quantum Threat Timeline Report", "A survey of ours")
    assert curve_contradictions(curve_from_toml(another, "c.toml"), curves()) == ()


@pytest.mark.parametrize("policy", SHIPPED, ids=lambda policy: policy.id)
def test_the_catalogue_does_not_contradict_itself(policy: Policy) -> None:
    """No record is taken for another instrument, and each agrees with itself; a wrong name has a right one."""
    assert policy.names or not policy.wrong_names
    assert contradictions(policy, SHIPPED) == ()


DATED = [(policy, rule) for policy in SHIPPED for rule in policy.rules]


@given(st.sampled_from(DATED), st.integers(-2000, 2000))
def test_a_date_moved_in_the_place_of_a_shipped_record_is_told(of: tuple[Policy, Rule], days: int) -> None:
    """Whatever the rule and the day, even the day of another rule: at its field, and nothing else."""
    shipped, rule = of
    moved_to = date.fromordinal(rule.deadline.toordinal() + days)
    moved = replace(rule, deadline=moved_to, precision=DatePrecision.DAY)
    record = replace(shipped, rules=tuple(moved if one is rule else one for one in shipped.rules))
    told = [] if rule.precision.same(moved_to, rule.deadline) else [("rules", shipped.rules.index(rule), "deadline")]
    assert [one.path for one in contradictions(record, [shipped])] == told


@given(st.sampled_from([(p, r) for p, r in DATED if p.names]), st.integers(-2000, 2000))
def test_a_date_that_no_rule_has_is_told_under_any_id(of: tuple[Policy, Rule], days: int) -> None:
    """An imported record is found by what it cites; a date that a rule of the same effect has is no contradiction."""
    shipped, rule = of
    moved_to = date.fromordinal(rule.deadline.toordinal() + days)
    claim = replace(
        shipped,
        id="imported",
        source=replace(shipped.source, title=f"about {shipped.names[0]}"),
        rules=(replace(rule, deadline=moved_to, precision=DatePrecision.DAY),),
    )
    alike = [r for r in shipped.rules if set(r.functions) & set(rule.functions) and r.effect is rule.effect]
    known = any(r.precision.same(r.deadline, moved_to) for r in alike)
    assert [one.path for one in contradictions(claim, [shipped])] == ([] if known else [("rules", 0, "deadline")])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"rules": SHIPPED[6].rules[:1]}, ("rules",)),
        ({"rules": (), "undated": "nothing"}, ("undated",)),
        ({"jurisdictions": ("DE",)}, ("jurisdictions",)),
        ({"national_security": True}, ("national_security",)),
        ({"status": Status.DRAFT}, ("status",)),
        ({"source": replace(SHIPPED[6].source, verification=Verification.MEMORY)}, ("source", "verification")),
        ({"rules": tuple(replace(r, places=(Place.MAIL,)) for r in SHIPPED[6].rules)}, ("rules", 0, "places")),
        ({"rules": tuple(replace(r, effect=Effect.DEPRECATE) for r in SHIPPED[6].rules)}, ("rules", 0, "effect")),
        ({"rules": tuple(replace(r, verification=Verification.MEMORY) for r in SHIPPED[6].rules)},
         ("rules", 0, "verification")),
    ],
)  # fmt: skip
def test_no_duty_is_taken_away_in_silence(changes: dict[str, Any], path: tuple[str | int, ...]) -> None:
    """A record in the place of a shipped one that asks less, of fewer, or with less weight, is told where it does."""
    roadmap = SHIPPED[6]
    assert roadmap.id == "eu-roadmap"
    assert path in [one.path for one in contradictions(replace(roadmap, **changes), [roadmap])]


def test_no_prohibition_is_lifted_in_silence() -> None:
    """A position in the place of the memorandum that forbids nothing, or only later, is told; a copy is not."""
    dow = next(p for p in positions() if p.id == "us-dow-cio")
    assert position_contradictions(dow, positions()) == ()
    (lifted,) = position_contradictions(replace(dow, prohibits=()), positions())
    assert (lifted.path, lifted.but) == (("prohibits",), "prohibits is qkd since 2025-11-18 and psk until 2030-12-31")
    assert position_contradictions(replace(dow, stance=Stance.ENCOURAGES), positions())


def test_a_dispute_that_is_settled_stays_settled() -> None:
    """Whoever has read the final text says so, and the record counts; the note is part of it."""
    record = replace(_record("a final IR 8547"), disputes=(
        Dispute(source="NIST", says="it is a draft", resolved=True, record="nist-ir-8547", note="Read on 3 August."),
    ))  # fmt: skip
    assert remarks(disputed(record, contradictions(record, SHIPPED)), date(2026, 8, 3)) == ()
    with pytest.raises(ValueError, match="needs a note"):
        Dispute(source="NIST", says="it is a draft", resolved=True)


def test_what_was_overtaken_or_not_found_ends_nothing() -> None:
    """A superseded memorandum names its successor; a text that nobody found says so."""
    known = shipped_policies()
    assert known["us-omb-m-23-02"].superseded_by in known
    assert "superseded by us-omb-m-26-15" in remarks(known["us-omb-m-23-02"], date(2026, 8, 1))[0]
    unconfirmed = [p.id for p in SHIPPED if p.status is Status.UNCONFIRMED]
    assert unconfirmed == ["us-occ-ffiec-inventory"]
    assert "no such text was found" in remarks(known["us-occ-ffiec-inventory"], date(2026, 8, 1))
