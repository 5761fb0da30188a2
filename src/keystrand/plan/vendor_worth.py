"""What an answer is worth, as it was said and as far as it is proven. An open question spans what it could still be."""

from collections.abc import Sequence
from typing import NamedTuple

from keystrand.formats.vendor_answers import answer_text
from keystrand.formats.wording import joined
from keystrand.model.stages.compared import AnswerWorth
from keystrand.model.units import Answer, Interval
from keystrand.model.vendor import JUDGED_WORDS, AnswerKind, EvidenceLevel, Requirement, VendorAnswer
from keystrand.plan.vendor_fit import Fits, amounts

DISCOUNT: dict[EvidenceLevel, float] = {
    EvidenceLevel.CLAIMED: 0.25,
    EvidenceLevel.DOCUMENTED: 0.5,
    EvidenceLevel.SHOWN: 0.75,
    EvidenceLevel.DEMONSTRATED: 1.0,
    EvidenceLevel.CERTIFIED: 1.0,
}
"""How much of an answer counts by its evidence. A convention, not a measurement."""
OPEN = Interval(low=0.0, high=1.0)
_OF_FIT = {Answer.YES: Interval(low=1.0, high=1.0), Answer.NO: Interval(low=0.0, high=0.0), Answer.UNKNOWN: OPEN}


class Evidence(NamedTuple):
    """What counts for one requirement: the answers at the strongest level, and what disagrees with them."""

    answers: tuple[VendorAnswer, ...]
    notes: tuple[str, ...]

    @property
    def best(self) -> VendorAnswer | None:
        """Return the answer that counts where there is one figure only: the newest."""
        return max(self.answers, key=lambda answer: answer.day, default=None)


def evidence(asked: Requirement, answers: Sequence[VendorAnswer]) -> Evidence:
    """Return the strongest of what is said to `asked`. A weaker answer that says something else is told."""
    strongest = max((answer.level.rank for answer in answers), default=0)
    counts = tuple(answer for answer in answers if answer.level.rank == strongest)
    said = {answer_text(answer) for answer in counts}
    notes = tuple(
        f"{asked.id}: {answer.level} {answer_text(answer)!r} against {counts[0].level} "
        f"{joined(sorted(map(repr, said)))}, which counts"
        for answer in answers
        if answer.level.rank < strongest and answer_text(answer) not in said and not asked.condition
    )
    return Evidence(counts, notes)


def raw_worth(asked: Requirement, found: Evidence, fits: Sequence[Fits]) -> Interval:
    """Return the worth of an answer taken as true, 0 to 1: a range where it is open, or was said as one."""
    best = found.best
    if best is None:
        return OPEN
    if asked.against is not None:
        return _mean([_OF_FIT[one.answer] for one in fits])
    if asked.kind is AnswerKind.QUANTITY:
        return _on_the_line(amounts(best, asked), asked)
    if asked.kind is AnswerKind.WORDS:
        return _placed(best.judged.value, JUDGED_WORDS) if best.judged else OPEN
    return _placed(str(best.value), asked.words)


def _mean(parts: Sequence[Interval]) -> Interval:
    if not parts:
        return OPEN
    return Interval(low=sum(p.low for p in parts) / len(parts), high=sum(p.high for p in parts) / len(parts))


def _on_the_line(said: Interval, asked: Requirement) -> Interval:
    worthless, full = asked.worthless or 0.0, asked.full or 0.0
    ends = sorted(min(1.0, max(0.0, (value - worthless) / (full - worthless))) for value in (said.low, said.high))
    return Interval(low=ends[0], high=ends[1])


def _placed(word: str, words: Sequence[str]) -> Interval:
    at = words.index(word) / (len(words) - 1)
    return Interval(low=at, high=at)


def answer_worth(asked: Requirement, found: Evidence, fits: Sequence[Fits]) -> AnswerWorth:
    """Return what was said to `asked` and its worth. `fits`: the verdicts on the segments, where it has any."""
    raw, best = raw_worth(asked, found, fits), found.best
    share = DISCOUNT[best.level] if best else DISCOUNT[EvidenceLevel.CLAIMED]  # asking brings a claim at least
    return AnswerWorth(
        requirement=asked.id,
        said="; ".join(_said(answer) for answer in found.answers),
        level=best.level if best else None,
        raw=raw,
        supported=Interval(low=raw.low * share, high=raw.high * share),
        reason=_reason(asked, best, fits),
        question=_question(asked, best, fits),
    )


def _said(answer: VendorAnswer) -> str:
    return answer_text(answer) + (f" at {answer.at:g} dB" if answer.at is not None else "")


def _reason(asked: Requirement, best: VendorAnswer | None, fits: Sequence[Fits]) -> str:
    if best is None:
        return "nothing is known"
    if asked.against is not None and fits:
        counts = {answer: sum(one.answer is answer for one in fits) for answer in Answer}
        return joined([f"{words} on {counts[answer]}" for answer, words in
                       ((Answer.YES, "enough"), (Answer.NO, "not enough"), (Answer.UNKNOWN, "not known"))
                       if counts[answer]]) + f" of {len(fits)} segments"  # fmt: skip
    return f"{best.source}, {best.day.isoformat()}"


def _question(asked: Requirement, best: VendorAnswer | None, fits: Sequence[Fits]) -> str:
    if best is None:
        return asked.question
    if asked.kind is AnswerKind.WORDS and best.judged is None:
        return "for us: does this answer meet, partly meet or miss what we need? Set `judged` in the sheet"
    if asked.against is not None and not fits:
        return "for us: no segment of the estate is there to judge it against"
    unknown = [one.reason for one in fits if one.answer is Answer.UNKNOWN]
    return joined(list(dict.fromkeys(unknown)), most=3) if unknown and asked.against is not None else ""
