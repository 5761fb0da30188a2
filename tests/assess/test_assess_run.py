"""The stage as a whole: one document, the same every time, and explained on request."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from keystrand.assess.explain import explain
from keystrand.assess.run import DEFAULT_CURVE, assess
from keystrand.edge.catalogue import curves, policies
from keystrand.formats.documents import content_hash, decode, encode, schema
from keystrand.model.algorithm import Function, Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import Assessment

Run = Callable[..., Assessment]
CREATED = datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.fixture(scope="session")
def run(estate_of: Any, system_of: Any, inventory_of: Any, kex: Any, sig: Any, service: Any, as_of: date) -> Run:
    """Return a function that assesses an estate of three systems: vulnerable, safe, and never looked at."""

    def make(obligations: tuple[str, ...] = ("eu-roadmap", "eu-dora-rts-2024-1774"), **changes: Any) -> Assessment:
        both = (Function.KEY_ESTABLISHMENT, Function.SIGNATURE)
        estate = estate_of(
            system_of("web", functions=both), system_of("vault"), system_of("archive"), obligations=obligations
        )
        inventory = inventory_of({
            "web": [kex("X25519"), sig("RSA-2048")],
            "vault": [service(prefers=True, place="tls://v"), kex("X25519MLKEM768", place="tls://v")],
        })  # fmt: skip
        given: dict[str, Any] = {"as_of": as_of, "made_from": (), "created_at": CREATED, "tool_version": "0"} | changes
        return assess(estate, inventory, policies(), curves(), **given)

    return make


def test_the_document_is_the_same_every_time(run: Run) -> None:
    """Equal inputs give equal bytes; a later run differs only in what was measured."""
    assert encode(run()) == encode(run())
    assert content_hash(run()) == content_hash(run(created_at=datetime(2027, 1, 1, tzinfo=UTC)))


def test_the_document_survives_its_file_and_meets_its_schema(run: Run) -> None:
    """What is written can be read back, and the published schema accepts it."""
    written = encode(run())
    assert decode(written, Assessment) == run()
    jsonschema_rs.validator_for(schema(Assessment)).validate(msgspec.json.decode(written))


def test_unknown_is_counted_in_coverage_with_its_reason(run: Run) -> None:
    """Three systems, four findings, one of them unknown: the gap is listed, and nothing calls it safe."""
    found = run()
    assert (found.coverage.looked_at, found.coverage.answered) == (4, 3)
    assert [gap.what for gap in found.coverage.gaps] == ["archive/key-establishment"]
    unknown = next(f for f in found.findings if f.system == "archive")
    assert unknown.verdict is Verdict.UNKNOWN
    assert next(e for e in found.exposures if e.system == "archive").avoidable_data_years.high > 0


def test_the_finished_system_comes_last(run: Run) -> None:
    """Vulnerable and unknown before safe."""
    assert run().priorities[-1].system == "vault"
    assert run().priorities[-1].reasons == ("nothing is left to change or to find out here",)


def test_every_policy_that_took_part_is_named_with_its_standing(run: Run) -> None:
    """All shipped policies, which of them bind, and how we know what they say."""
    refs = {ref.id: ref for ref in run().policies}
    assert set(refs) == {policy.id for policy in policies()}
    assert [name for name, ref in refs.items() if ref.binding] == ["eu-dora-rts-2024-1774", "eu-roadmap"]


def test_the_assumptions_say_what_nobody_measured(run: Run) -> None:
    """The curve with both ends, the condition on its age, the recording, and that signatures are not harvested."""
    values = {a.name: a.value for a in run().assumptions}
    assert "28 to 49 percent" in values["threat horizon"]
    assert "9 March 2026" in values["no quantum computer so far"]
    assert {"all traffic is recorded", "recorded so far", "signatures are not harvested", "unknown is not safe"} <= set(
        values
    )


def test_another_curve_is_used_where_it_is_named(run: Run) -> None:
    """The survey of 2024 gives other figures, and the document says which one was used."""
    older = run(curve="gri-2024")
    assert older.exposures != run(curve=DEFAULT_CURVE).exposures
    assert "2024" in older.assumptions[0].value


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [({"obligations": ("eu-roadmpa",)}, "'eu-roadmpa' is no policy", "eu-roadmap"),
     ({"curve": "gri-2026"}, "'gri-2026' is no threat curve", "gri-2025")],
)  # fmt: skip
def test_a_name_nobody_knows_is_refused_with_near_names(
    run: Run, change: dict[str, Any], words: str, hint: str
) -> None:
    """An obligation with a typing error must not vanish from the judgement."""
    with pytest.raises(InvalidInput, match=words) as caught:
        run(**change)
    assert hint in caught.value.hint


def test_explain_tells_a_system_from_verdict_to_rank(run: Run) -> None:
    """One sentence each for verdict, rules, exposure, sunk part and rank; every one ends in a full stop."""
    told = explain(run(), "web")
    text = " ".join(told)
    for words in (
        "Key-establishment of web: quantum-vulnerable on evidence that is negotiated, because X25519 negotiated",
        "Signature of web: quantum-vulnerable",
        "Policy eu-roadmap, chapter 4, milestone 2030 (disallow, 31 December 2030): due",
        "no migration removes that part",
        "System web stands at rank 1 of 3 systems",
        "with both times spread evenly over their ranges",
        "of 3 systems in nine of ten draws",
        "Its signature under the old algorithm is trusted for another 2 to 4 years, held by web",
    ):
        assert words in text
    assert all(line.endswith(".") for line in told)


def test_explain_tells_one_finding_alone(run: Run) -> None:
    """A finding's id gives its own lines and no others."""
    told = explain(run(), "web/signature")
    assert told[0].startswith("Signature of web: quantum-vulnerable")
    assert not any("key-establishment" in line.lower() or "rank" in line for line in told)


def test_explain_of_an_unknown_name_gives_near_ones(run: Run) -> None:
    """A typing error is answered with what was probably meant."""
    with pytest.raises(InvalidInput) as caught:
        explain(run(), "valut")
    assert "vault" in caught.value.hint


def test_the_document_carries_its_curve_and_its_seed(run: Run) -> None:
    """Later stages judge dates by the same curve; ranks were drawn, so the seed is said."""
    found = run()
    assert found.curve == next(c for c in curves() if c.id == DEFAULT_CURVE)
    assert found.seed is not None
    assert [r.system for r in found.exposure_ranks] == [e.system for e in found.exposures]
    assert [f.system for f in found.forgeable] == ["web"]
