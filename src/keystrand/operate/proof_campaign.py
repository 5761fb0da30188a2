"""A campaign with real consumers in words: what was done to it, who was told, what it costs, what it asks for."""

from collections.abc import Iterator

from keystrand.formats.wording import capital, counted, joined, spread_text, two_figures, value_text
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import Figure, PilotReport
from keystrand.model.stages.proved import WithAndWithout
from keystrand.model.stages.recorded import DeedKind

KIND = PilotReport.kind()
DEED_WORDS = {
    DeedKind.CONFIG_LINES: ("line of configuration", "lines of configuration"),
    DeedKind.COMMAND: ("command", "commands"),
    DeedKind.RESTART: ("restart", "restarts"),
    DeedKind.ACTION: ("action", "actions"),
}  # fmt: skip


def campaign_sentences(pilot: PilotReport) -> Iterator[str]:
    """Yield what a campaign showed, most important first, each a sentence; nothing for a pilot without one."""
    if not pilot.campaign:
        return
    if not pilot.goals_set_before:
        yield "The pilot.toml with its goals was changed after the campaign."
    seen = [one.measured for one in pilot.scorecard if one.name == CriterionName.CLEAR and one.measured]
    if seen:
        leaked, sent = sum(one.value for one in seen), sum(one.sample_size for one in seen)
        kinds = counted(len(pilot.proofs), "kind of event", "kinds of events")
        yield f"{leaked:,.0f} of {sent:,} packets left in clear under {kinds}."
    if pilot.monitoring_gaps:
        faults = counted(len(pilot.monitoring_gaps), "kind of fault", "kinds of faults")
        yield f"No alarm told in time of {faults}: {joined([_event(one.event) for one in pilot.monitoring_gaps])}."
    left = [one.what.removeprefix("consumer ") for one in pilot.left_out if one.what.startswith("consumer ")]
    if left:
        yield f"{capital(joined(left))} did not run."


def campaign_figures(pilot: PilotReport) -> Iterator[Figure]:
    """Yield what a campaign showed, event by event, and what it asked for."""
    for n, proof in enumerate(pilot.proofs):
        told = f"First alarm after {value_text(proof.detection)}" if proof.detection else "No alarm"
        yield _figure(
            f"event-{proof.event}", f"{capital(_event(proof.event))}, {counted(proof.times, 'time')}",
            ". ".join((*proof.seen, told)) + ".", f"/proofs/{n}",
        )  # fmt: skip
    for n, gap in enumerate(pilot.monitoring_gaps):
        yield Figure(
            id=f"gap-{gap.event}", label=capital(_event(gap.event)), value=gap.what, document=KIND,
            pointer=f"/monitoring_gaps/{n}", note=gap.mend,
        )  # fmt: skip
    for n, row in enumerate(pilot.compared):
        yield _figure(f"with-{n}", f"{row.consumer}: {row.quantity}", compared_text(row), f"/compared/{n}")
    for n, deeds in enumerate(pilot.effort):
        when = f", {_event(deeds.event)}" if deeds.event else ", setting up"
        count = counted(deeds.count, *DEED_WORDS[deeds.kind])
        yield _figure(f"effort-{n}", f"{deeds.consumer}{when}", f"{count}: {joined(deeds.what, most=8)}",
                      f"/effort/{n}")  # fmt: skip
    for n, asked in enumerate(pilot.integration):
        parts = (
            asked.how,
            f"programs: {joined(asked.programs) or 'none'}",
            f"needs: {joined(asked.needs) or 'nothing'}",
        )
        yield _figure(f"integration-{n}", f"{asked.consumer}: how it takes keys", "; ".join(parts), f"/integration/{n}")
    for n, left in enumerate(pilot.left_out):
        yield _figure(f"left-{n}", capital(left.what), capital(left.why), f"/left_out/{n}")


def compared_text(row: WithAndWithout) -> str:
    """Return one quantity with keys and without, and by what factor it is greater; or why there is no comparison."""
    sides = [
        f"{value_text(side)} {words}"
        for side, words in ((row.with_keys, "with keys"), (row.without, "without")) if side is not None
    ]  # fmt: skip
    if row.ratio is not None:
        ends = f" ({spread_text(row.ratio)})" if spread_text(row.ratio) else ""
        sides.append(f"{two_figures(row.ratio.value)} times{ends}")
    return ", ".join(sides) + (f"; {row.why_not}" if sides and row.why_not else row.why_not)


def _event(name: str) -> str:
    return name.replace("-", " ").replace("kme", "KME")


def _figure(key: str, label: str, value: str, pointer: str) -> Figure:
    return Figure(id=key, label=label, value=value, document=KIND, pointer=pointer)
