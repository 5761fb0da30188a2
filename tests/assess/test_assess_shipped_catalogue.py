"""What ships as data: it loads, it says where it comes from, and it claims no more than was checked."""

from datetime import date
from pathlib import Path

import pytest

from keystrand.edge.catalogue import curves, policies, positions
from keystrand.model.errors import InvalidInput, MissingInput
from keystrand.model.policy import Effect, Source, Stance, Status, Verification

SOURCES = [(r.id, r.source) for records in (policies(), positions(), curves()) for r in records]
CURVE = """id = "mine"
name = "Mine"
origin = 2026-01-01
[source]
title = "t"
publisher = "p"
clause = "c"
published = 2026-01-01
as_of = 2026-01-02
verification = "memory"
[[anchors]]
years = 10
low = 0.1
high = 0.2
"""


@pytest.mark.parametrize(("name", "source"), SOURCES, ids=[name for name, _ in SOURCES])
def test_every_record_names_its_source(name: str, source: Source) -> None:
    """Title, publisher and clause are there, and nothing was read before it was published."""
    assert all((name, source.title, source.publisher, source.clause))
    assert source.published <= source.as_of


def test_every_rule_names_its_clause_and_says_what_it_asks() -> None:
    """No rule without a clause, a text in our own words, and a date after its policy's."""
    for policy in policies():
        for rule in policy.rules:
            assert rule.clause, (policy.id, rule.id)
            assert rule.text.endswith("."), (policy.id, rule.id)


def _dates(name: str) -> set[int]:
    return {rule.deadline.year for policy in policies() if policy.id == name for rule in policy.rules}


def test_the_dates_the_field_goes_by_are_there() -> None:
    """NIST 2030 and 2035, CNSA 2027 to 2035, the UK 2028, 2031 and 2035, the EU 2026, 2030 and 2035."""
    assert _dates("nist-ir-8547") == {2030, 2035}
    assert _dates("cnsa-2.0") == {2027, 2030, 2033, 2035}
    assert _dates("uk-ncsc-timelines") == {2028, 2031, 2035}
    assert _dates("eu-roadmap") == {2026, 2030, 2035}


def test_a_draft_is_marked_as_one() -> None:
    """IR 8547 is a public draft; claims that it is final could not be confirmed."""
    assert {p.id: p.status for p in policies()}["nist-ir-8547"] is Status.DRAFT


def test_cnsa_dates_by_category_rest_on_memory_and_say_so() -> None:
    """What only one page and memory support carries that mark, rule by rule."""
    rules = next(p for p in policies() if p.id == "cnsa-2.0").rules
    assert all((rule.verification is Verification.MEMORY) == bool(rule.places) for rule in rules)
    assert all(rule.minimum_level == 5 for rule in rules)


def test_both_sides_on_quantum_key_distribution_are_there() -> None:
    """A prohibition, discouragement, limits and encouragement: no recommendation shows one side alone."""
    assert {position.stance for position in positions()} == set(Stance)


def test_the_survey_of_2025_has_its_published_figures() -> None:
    """5 to 15, 28 to 49 and 51 to 70 percent by 5, 10 and 15 years."""
    curve = next(c for c in curves() if c.id == "gri-2025")
    assert [(a.years, a.low, a.high) for a in curve.anchors] == [(5, 0.05, 0.15), (10, 0.28, 0.49), (15, 0.51, 0.70)]


def test_a_plan_is_asked_of_every_regime_that_asks_for_one() -> None:
    """Duties to know and to plan are no dates by which use must end."""
    asking = {p.id for p in policies() if any(rule.effect is Effect.PLAN for rule in p.rules)}
    assert asking == {
        "uk-ncsc-timelines", "eu-roadmap", "pci-dss-4.0.1", "eu-dora-rts-2024-1774", "eu-nis2", "us-omb-m-23-02",
        "us-omb-m-26-15", "fr-state-roadmap", "au-asd-ism", "ca-itsm-40-001", "in-dst-task-force", "nz-nzism",
    }  # fmt: skip


def test_a_record_of_ones_own_joins_or_replaces_a_shipped_one(tmp_path: Path) -> None:
    """A new id is added; the id of a shipped record takes its place."""
    (tmp_path / "mine.toml").write_text(CURVE, encoding="utf-8")
    (tmp_path / "newer.toml").write_text(CURVE.replace('"mine"', '"gri-2025"'), encoding="utf-8")
    found = {c.id: c for c in curves(tmp_path)}
    assert set(found) == {"gri-2024", "gri-2025", "mine"}
    assert found["gri-2025"].origin == date(2026, 1, 1)


def test_faults_of_every_file_are_reported_at_once(tmp_path: Path) -> None:
    """Two broken files, one of them not even text: all of it in one answer."""
    (tmp_path / "a.toml").write_text(CURVE.replace("low = 0.1", "low = 2"), encoding="utf-8")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "c.toml").write_text("id = ", encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        curves(tmp_path)
    assert [Path(p.file).name for p in caught.value.problems] == ["a.toml", "b.toml", "c.toml"]
    assert "the catalogue has 3 problems" in str(caught.value)


def test_one_id_twice_in_a_folder_is_refused(tmp_path: Path) -> None:
    """Which of the two holds would be chance."""
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(CURVE, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        curves(tmp_path)
    assert "already taken" in caught.value.problems[0].message


def test_a_folder_that_is_not_there_is_missing_input(tmp_path: Path) -> None:
    """No silent fall-back to the shipped records alone."""
    with pytest.raises(MissingInput):
        policies(tmp_path / "nowhere")
