"""The plan in words: what to do first, which approach for which segment, and what leadership has to decide."""

from keystrand.formats.wording import counted, joined, sentences
from keystrand.model.estate import Estate
from keystrand.model.stages import Figure, Inventory, Plan, ReportMeasure, SegmentDecision
from keystrand.operate.counting import Names, names_of
from keystrand.operate.standing import APPROACH_NAMES

FIRST = 8
"""Measures shown: what a reader keeps in mind after five minutes."""


def in_order(plan: Plan) -> list[int]:
    """Return the indices of the measures in the order of their rank."""
    return sorted(range(len(plan.measures)), key=lambda n: (plan.measures[n].rank, n))


def first_measures(estate: Estate, plan: Plan) -> tuple[ReportMeasure, ...]:
    """Return the first measures with their reason, owner and date."""
    owners = names_of(estate)["owner"]
    return tuple(
        ReportMeasure(
            id=(measure := plan.measures[n]).id,
            title=measure.title,
            why=sentences(["; ".join(reason.strip().rstrip(".") for reason in measure.reasons[:2])]),
            owner=owners.owner(measure.owner),
            finish=measure.finish,
            late=measure.late,
            latest_finish=measure.latest_finish,
            done_when=measure.done_when,
            pointer=f"/measures/{n}",
        )
        for n in in_order(plan)[:FIRST]
    )


def _chosen_reasons(decision: SegmentDecision) -> tuple[str, ...]:
    return next((o.reasons for o in decision.options if o.approach is decision.chosen), ())


def approach_figures(estate: Estate, plan: Plan) -> tuple[Figure, ...]:
    """Return the approach of every segment, with the first reason for it."""
    segments = names_of(estate)["segment"]
    return tuple(
        Figure(
            id=f"approach-{decision.segment}",
            label=segments.of(decision.segment),
            value=APPROACH_NAMES[decision.chosen],
            document="plan",
            pointer=f"/decisions/{n}",
            note=sentences(_chosen_reasons(decision)[:1]),
        )
        for n, decision in enumerate(plan.decisions)
    )


def decisions_needed(estate: Estate, inventory: Inventory, plan: Plan) -> tuple[Figure, ...]:
    """Return what only leadership can settle: owners, dates that are missed, and open questions on segments."""
    names = names_of(estate)
    made = (_owners_needed(inventory, plan), _late(plan), _questions(names["segment"], plan))
    return tuple(figure for figure in made if figure is not None)


def _owners_needed(inventory: Inventory, plan: Plan) -> Figure | None:
    measures = sum(1 for m in plan.measures if m.owner is None)
    layers = len(inventory.ownership_gaps)
    if not measures + layers:
        return None
    document, pointer = ("plan", "/measures") if measures else ("inventory", "/ownership_gaps")
    wanting = [counted(measures, "measure")] * bool(measures)
    wanting += [counted(layers, "layer") + " of systems and segments"] * bool(layers)
    return Figure(
        id="decide-owners",
        label="Name owners",
        value=f"Name a team for {' and for '.join(wanting)}: nobody owns them today.",
        document=document,
        pointer=pointer,
    )


def _late(plan: Plan) -> Figure | None:
    late = [n for n in in_order(plan) if plan.measures[n].late]
    if not late:
        return None
    value = f"Bring forward, or accept in writing, {counted(len(late), 'measure')} that would miss a deadline; "
    return Figure(
        id="decide-late",
        label="Settle missed dates",
        value=f"{value}the first is “{plan.measures[late[0]].title}”.",
        document="plan",
        pointer=f"/measures/{late[0]}" if len(late) == 1 else "/measures",
    )


def _questions(segments: Names, plan: Plan) -> Figure | None:
    asked = [(n, d) for n, d in enumerate(plan.decisions) if d.questions]
    if not asked:
        return None
    total = sum(len(d.questions) for _, d in asked)
    return Figure(
        id="decide-questions",
        label="Answer open questions",
        value=f"Get {counted(total, 'answer')} on {joined([segments.of(d.segment) for _, d in asked], most=4)}: "
        "the approach is provisional until then.",
        document="plan",
        pointer=f"/decisions/{asked[0][0]}/questions" if len(asked) == 1 else "/decisions",
    )
