"""The pilot in words: the scorecard, what consumers saw when the link was cut, and what the pilot does not show."""

from collections import Counter

from keystrand.formats.wording import capital, counted, estimate_text, is_simulated, sentences, two_figures
from keystrand.model.stages import CriterionResult, CriterionState, CutEvidence, Figure, PilotReport
from keystrand.operate.proof_campaign import campaign_figures, campaign_sentences

STATE_WORDS = {
    CriterionState.MET: "Met",
    CriterionState.MISSED: "Missed",
    CriterionState.NOT_MEASURED: "Not measured",
}
KIND = PilotReport.kind()


def pilot_headline(pilot: PilotReport | None) -> Figure:
    """Return the scorecard in one sentence, or say that there is none."""
    if pilot is None:
        value = "0 pilots have been run: how the chosen links behave, and how they fail, is not proved."
        return Figure(id="headline-pilot", label="Proof", value=value, document="plan", pointer="/decisions")
    states = Counter(c.state for c in pilot.scorecard)
    met, missed, open_ = (states[s] for s in CriterionState)
    source = " on a simulated quantum link" if is_simulated(pilot) else ""
    counts = f"{met} of {len(pilot.scorecard)} pilot criteria were met{source}; {missed} missed, {open_} not measured."
    value = " ".join((counts, *campaign_sentences(pilot), _wrong_keys(pilot.cut)))
    return Figure(id="headline-pilot", label="Proof", value=value, document=KIND, pointer="/scorecard")


def _wrong_keys(cut: CutEvidence) -> str:
    if not cut.requests:
        return "What consumers get while the link is cut was not tested."
    wrong = cut.old_keys + cut.zero_keys
    if wrong:
        return f"With the link cut, {counted(wrong, 'old or empty key')} reached consumers: this must not happen."
    if cut.handshakes_without_key:
        return f"{counted(cut.handshakes_without_key, 'handshake')} went through without a key: this must not happen."
    return "With the link cut, no old or empty key reached a consumer."


def criterion_text(criterion: CriterionResult) -> str:
    """Return the state and the measured value of one criterion, or why it was not measured."""
    word = STATE_WORDS[criterion.state]
    parts = [estimate_text(criterion.measured)] if criterion.measured else []
    return ": ".join(
        [word, "; ".join([*parts, *([criterion.reason] if criterion.reason else [])]) or "no reason given"]
    )


def pilot_figures(pilot: PilotReport | None) -> tuple[Figure, ...]:
    """Return the scorecard, then the measurements, then what the cut showed; nothing without a pilot."""
    if pilot is None:
        return ()
    scores = [
        Figure(
            id=f"criterion-{n}",
            label=f"{c.consumer}: {c.name}: {c.goal}" if c.consumer else f"{capital(c.name)}: {c.goal}",
            value=criterion_text(c),
            document=KIND,
            pointer=f"/scorecard/{n}",
        )
        for n, c in enumerate(pilot.scorecard)
    ]
    return (*scores, *_measurements(pilot), *_cut_figures(pilot.cut), *campaign_figures(pilot))


def _measurements(pilot: PilotReport) -> list[Figure]:
    fresh = "each with a key of its own" if pilot.fresh_key_each else "but keys were not fresh each time"
    good = pilot.handshakes - pilot.failed_handshakes
    rows = (
        ("rate", "Secret key rate", estimate_text(pilot.secret_key_rate), "/secret_key_rate"),
        ("model", "Secret key rate by the model",
         f"{two_figures(pilot.rate.secret_key_rate_bits_per_s)} bit/s (simulated; limited by {pilot.rate.limited_by})",
         "/rate"),
        ("enc", "Fetching a key, first side", estimate_text(pilot.enc_keys), "/enc_keys"),
        ("dec", "Fetching a key, second side", estimate_text(pilot.dec_keys), "/dec_keys"),
        ("handshake", "Handshake", estimate_text(pilot.handshake), "/handshake"),
        ("handshakes", "Handshakes that succeeded", f"{good:,} of {pilot.handshakes:,}, {fresh}", "/handshakes"),
    )  # fmt: skip
    return [Figure(id=f"pilot-{k}", label=label, value=v, document=KIND, pointer=p) for k, label, v, p in rows]


def _cut_figures(cut: CutEvidence) -> list[Figure]:
    back = "not measured" if cut.recovery_s is None else f"after {two_figures(cut.recovery_s)} s"
    rows = (
        ("requests", "Requests while the link was cut",
         f"{cut.requests:,}: {cut.keys_from_stock:,} served from stock, {cut.refused_with_503:,} refused with a clear "
         "“no key” (503)", "/cut"),
        ("wrong", "Wrong keys while cut", f"{cut.old_keys} old, {cut.zero_keys} empty; "
         f"{counted(cut.handshakes_without_key, 'handshake')} without a key", "/cut/old_keys"),
        ("seen", "What the consumer saw", cut.consumer_error or "no error was recorded", "/cut/consumer_error"),
        ("recovery", "Recovery", back if cut.recovered else "did not recover", "/cut/recovery_s"),
    )  # fmt: skip
    return [Figure(id=f"cut-{k}", label=label, value=v, document=KIND, pointer=p) for k, label, v, p in rows]


def pilot_limits(pilot: PilotReport | None) -> tuple[Figure, ...]:
    """Return what the pilot does not show, in its own words."""
    limits = pilot.limits if pilot else ()
    return tuple(
        Figure(id=f"limit-{n}", label="Not shown", value=sentences([text]), document=KIND, pointer=f"/limits/{n}")
        for n, text in enumerate(limits)
    )
