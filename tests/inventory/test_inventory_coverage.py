"""Coverage: what was not seen is listed with its reason and stays in the denominator."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.inventory.coverage import attempts_coverage, estate_coverage
from keystrand.model.algorithm import Function
from keystrand.model.document import Coverage, Gap, OutcomeCount
from keystrand.model.estate import Estate, Exposure, Organisation, Place, ProbeKind, System, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Observation, Outcome, Strength

ESTATE = Estate(
    format_version="1",
    organisation=Organisation(name="o", sector="s"),
    region=(),
    trust_zone=(),
    owner=(),
    site=(),
    data_class=(),
    system=tuple(
        System(id=name, name=name, place=Place.API, site="x", functions=tuple(Function), exposure=Exposure.INTERNET)
        for name in ("shop", "archive")
    ),
    target=tuple(Target(id=name, probe=ProbeKind.TLS, system="shop") for name in ("a", "b", "c")),
)


def attempt(target: str, outcome: Outcome, reason: str = "", place: str = "tls://h:443") -> Attempt:
    """Return how the work on one target ended."""
    return Attempt(target=target, probe="tls", place=place, outcome=outcome, reason=reason)


def counts(**said: int) -> tuple[OutcomeCount, ...]:
    """Return the counts by outcome, in the order of `Outcome`."""
    named = {Outcome[name.upper()]: count for name, count in said.items()}
    return tuple(OutcomeCount(outcome=outcome, count=named[outcome]) for outcome in Outcome if outcome in named)


def test_a_tree_tells_its_files_by_a_tally() -> None:
    """What a target counts is not counted again by the attempts on its single files."""
    tally = replace(
        attempt("a", Outcome.SEEN, place="file:tree"),
        counts=((Outcome.SEEN, 2), (Outcome.NONE, 90), (Outcome.UNREADABLE, 1)),
    )
    records = (
        tally,
        attempt("a", Outcome.UNREADABLE, "permission denied", place="file:tree/x"),
        attempt("b", Outcome.NONE),
    )
    assert attempts_coverage(records).outcomes == counts(seen=2, none=91, unreadable=1)


attempts = st.builds(
    attempt,
    target=st.sampled_from(("a", "b", "c")),
    outcome=st.sampled_from(Outcome),
    reason=st.sampled_from(("", "closed")),
    place=st.sampled_from(("", "tls://h:443", "file:x")),
)


def test_a_scan_counts_each_target_once() -> None:
    """A target with two files, one of them unreadable, has answered, and the file is a gap."""
    records = (
        attempt("a", Outcome.SEEN, place="file:one.pem"),
        attempt("a", Outcome.UNREADABLE, "permission denied", place="file:two.pem"),
        attempt("b", Outcome.TIMED_OUT, "no answer in 5 s"),
        attempt("b", Outcome.TIMED_OUT, "no answer in 5 s"),
    )
    assert attempts_coverage(records) == Coverage(
        unit="targets",
        looked_at=2,
        answered=1,
        gaps=(
            Gap(what="target a at file:two.pem", outcome=Outcome.UNREADABLE, reason="permission denied"),
            Gap(what="target b at tls://h:443", outcome=Outcome.TIMED_OUT, reason="no answer in 5 s"),
        ),
        outcomes=counts(seen=1, timed_out=1, unreadable=1),
    )


def test_two_probes_that_fail_alike_leave_one_gap() -> None:
    """A gap is what is not known of a place, however many probes did not find it out."""
    one = attempt("a", Outcome.UNREACHABLE, "refused")
    assert len(attempts_coverage([one, replace(one, probe="ssh")]).gaps) == 1


def test_everything_seen_is_complete_and_nothing_else_is() -> None:
    """Complete means that each attempt saw what it asked; an observation alone does not say that the work ended."""
    assert attempts_coverage([attempt("a", Outcome.SEEN)]).complete
    in_part = attempts_coverage([attempt("a", Outcome.SEEN, "1 of 2 files is encrypted")])
    assert (in_part.complete, in_part.answered, len(in_part.gaps)) == (False, 1, 1)
    assert not attempts_coverage([attempt("a", Outcome.NONE)]).complete
    use = AlgorithmUse(algorithm="X25519", function=Function.KEY_ESTABLISHMENT)
    alone = Observation(target="a", probe="tls", place="tls://h:443", strength=Strength.OFFERED, fact=use)
    assert attempts_coverage([alone]) == Coverage(unit="targets", looked_at=0, answered=0)
    assert estate_coverage(ESTATE, [alone]).answered == 0


def test_the_estate_lists_what_nobody_tried() -> None:
    """A target without an attempt and a system without a target are gaps, and the target stays in the denominator."""
    coverage = estate_coverage(ESTATE, [attempt("a", Outcome.SEEN), attempt("b", Outcome.UNREACHABLE)])
    assert (coverage.looked_at, coverage.answered, coverage.complete) == (3, 1, False)
    assert [(gap.what, gap.outcome, gap.reason) for gap in coverage.gaps] == [
        ("system archive", Outcome.SKIPPED, "no target names this system"),
        ("target b at tls://h:443", Outcome.UNREACHABLE, "the probe gave no reason"),
        ("target c", Outcome.SKIPPED, "no attempt on it is recorded"),
    ]


@given(st.lists(attempts))
def test_every_failure_is_a_gap_with_a_reason(records: list[Attempt]) -> None:
    """In any order: as many gaps as distinct shortfalls, none without a reason, never more answers than targets."""
    coverage = attempts_coverage(records)
    assert coverage == attempts_coverage(reversed(records))
    assert len(coverage.gaps) == len({r for r in records if r.outcome is not Outcome.SEEN or r.reason})
    assert all(gap.reason and gap.what for gap in coverage.gaps)
    assert coverage.answered <= coverage.looked_at
    assert coverage.complete is all(r.outcome is Outcome.SEEN and not r.reason for r in records)
    whole = estate_coverage(ESTATE, records)
    assert set(coverage.gaps) < set(whole.gaps)
    assert (whole.looked_at, whole.answered) == (3, coverage.answered)
