"""The IKE probe: what a responder chooses, and whether it mixes in post-quantum exchanges or pre-shared keys.

A responder says that it uses pre-shared keys (PPK) only where it is configured for them: that it does not say so proves
nothing, and is told so. Sources: RFC 7296, RFC 9370, RFC 8784, RFC 9867; RFC 2409 for version 1.
"""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

from keystrand.edge.probes.base import Answer, Job, Seen, attempt, observations, strongest, unanswered
from keystrand.edge.probes.ike_questions import (
    INQUIRIES,
    IkeConversation,
    Inquiry,
    MainModeConversation,
    Question,
    without_additional,
    without_exchanges,
)
from keystrand.formats import ike_codepoints as codes
from keystrand.formats.ike_codepoints import Notify
from keystrand.formats.ike_messages import Chosen1, Said, Transform
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Endpoint,
    Outcome,
    Record,
    Strength,
)

MAX_TALKS = 32
"""Conversations with one responder at most: five questions, 22 classical exchanges, and three additional ones."""
IKE_PORT = 500
"""On every other port, 4500 above all, four zero octets mark IKE off from ESP (RFC 3948, 2.2; RFC 7296, 2.23)."""


class IkeProbe:
    """Asks an IKE responder; see `Question`. One conversation at a time: responders count half-open ones."""

    kind: ClassVar[ProbeKind] = ProbeKind.IKE

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the next question. A responder silent in version 2 is asked in version 1, then left alone."""
        asked = {answer.job.question for answer in answers}
        wanted: dict[str, Inquiry | None] = {Question.MODERN: INQUIRIES[Question.MODERN]}
        spoke = any(talk.said or talk.refused or talk.named for _, talk in _talks(answers))
        if spoke:
            wanted |= _further(target, answers)
        if answers and not (spoke and target.mode is ScanMode.QUICK):
            wanted[Question.MAIN_MODE] = None
        new = [(name, inquiry) for name, inquiry in wanted.items() if name not in asked]
        return tuple(_job(target, name, inquiry) for name, inquiry in new[: 1 if len(asked) < MAX_TALKS else 0])

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what was seen and one attempt. Nothing is concluded from a question without an answer."""
        facts = strongest(_facts(target, answers))
        if not facts:
            return (_not_seen(target, answers),)
        return (
            *observations(target, facts),
            attempt(target, Outcome.SEEN, "; ".join(dict.fromkeys(_remarks(answers)))),
        )


def _job(target: Target, question: str, inquiry: Inquiry | None) -> Job:
    marker = target.port != IKE_PORT
    start = (
        partial(MainModeConversation, marker=marker)
        if inquiry is None
        else partial(IkeConversation, inquiry, marker=marker)
    )
    return Job(question, target.host or "", target.port or 0, start, "udp")


def _further(target: Target, answers: tuple[Answer, ...]) -> dict[str, Inquiry | None]:
    """Return the questions for a responder that speaks version 2."""
    wanted: dict[str, Inquiry | None] = {}
    if not _is_hybrid(_said(answers, Question.MODERN)):
        wanted[Question.SUPPORTS] = INQUIRIES[Question.SUPPORTS]
    if target.mode is ScanMode.QUICK:
        return wanted
    if _supports(answers):
        wanted[Question.PREFERS] = INQUIRIES[Question.PREFERS]
    wanted[Question.ML_KEM_FIRST] = INQUIRIES[Question.ML_KEM_FIRST]
    if target.mode is ScanMode.FULL:
        taken = tuple(_exchanges_taken(answers))
        wanted |= _once_more(Question.GROUPS, answers, without_exchanges(taken))
        kems = tuple(one.number for said in _all_said(answers) for one in _additional(said))
        wanted |= _once_more(Question.ADDITIONAL, answers, without_additional(kems)) if kems else {}
    return wanted


def _once_more(question: Question, answers: tuple[Answer, ...], inquiry: Inquiry | None) -> dict[str, Inquiry | None]:
    """Return `question` for what is left, where it was not asked yet or its last answer took something new."""
    talks = [talk for answer, talk in _talks(answers) if answer.job.question.startswith(question)]
    if inquiry is None or (talks and talks[-1].said is None and talks[-1].named is None):
        return {}
    return {f"{question}-{len(talks) + 1}": inquiry}


def _talks(answers: tuple[Answer, ...]) -> list[tuple[Answer, IkeConversation]]:
    pairs = ((answer, answer.conversation) for answer in answers)
    return [(answer, talk) for answer, talk in pairs if isinstance(talk, IkeConversation)]


def _talk(answers: tuple[Answer, ...], question: Question) -> IkeConversation | None:
    return next((talk for answer, talk in _talks(answers) if answer.job.question == question), None)


def _said(answers: tuple[Answer, ...], question: Question) -> Said | None:
    talk = _talk(answers, question)
    return talk.said if talk and not _doubt(talk) else None


def _all_said(answers: tuple[Answer, ...]) -> list[Said]:
    return [talk.said for _, talk in _talks(answers) if talk.said and not _doubt(talk)]


def _doubt(talk: IkeConversation) -> str:
    """Return why a choice is not believed: it must be of one proposal that was offered, one transform of each type."""
    chosen = set(talk.said.transforms) if talk.said else set()
    kinds = {one.kind for one in chosen}
    if len(kinds) < len(chosen):
        return "the responder chose two transforms of one type"
    fits = any(
        chosen <= set(offer) and {one.kind for one in offer if one.number != codes.NONE} <= kinds | _optional(offer)
        for offer in talk.inquiry.proposals
    )
    return "" if fits else "the responder chose something that was not offered"


def _optional(offer: tuple[Transform, ...]) -> set[int]:
    return {one.kind for one in offer if one.number == codes.NONE}


def _additional(said: Said | None) -> list[Transform]:
    chosen = sorted(said.transforms) if said else []
    return [one for one in chosen if one.kind in codes.ADDITIONAL and one.number != codes.NONE]


def _exchange(said: Said) -> int | None:
    return next((one.number for one in said.transforms if one.kind == codes.KEY_EXCHANGE), None)


def _is_hybrid(said: Said | None) -> bool:
    """Return whether ML-KEM takes part in what was chosen."""
    return said is not None and (
        any(one.number in codes.ML_KEMS for one in _additional(said)) or _exchange(said) in codes.ML_KEMS
    )


def _exchanges_taken(answers: tuple[Answer, ...]) -> Iterator[int]:
    """Yield the first exchanges that the responder took or asked a share for."""
    for _, talk in _talks(answers):
        if talk.named is not None:
            yield talk.named
        if talk.said and not _doubt(talk) and (number := _exchange(talk.said)) is not None:
            yield number


def _supports(answers: tuple[Answer, ...]) -> bool | None:
    """Return whether ML-KEM was taken, or refused where the same without it is taken; None: not known."""
    if any(map(_is_hybrid, _all_said(answers))) or set(_exchanges_taken(answers)) & set(codes.ML_KEMS):
        return True
    refused = (talk := _talk(answers, Question.SUPPORTS)) is not None and talk.refused == Notify.NO_PROPOSAL_CHOSEN
    return False if refused and _said(answers, Question.MODERN) else None


def _hybrid_or_not(answers: tuple[Answer, ...], question: Question) -> bool | None:
    said = _said(answers, question)
    return None if said is None else _is_hybrid(said)


def _facts(target: Target, answers: tuple[Answer, ...]) -> Iterator[Seen]:
    chosen_1 = [talk for talk in _main_modes(answers) if talk.chosen]
    speaks_2 = any(talk.said or talk.refused or talk.named for _, talk in _talks(answers))
    # a refusal of version 1 is often the same daemon's, which would speak it if it were told to
    versions = tuple(name for name, spoken in (("IKEv2", speaks_2), ("IKEv1", bool(chosen_1))) if spoken)
    if not any(_all_said(answers)) and not set(_exchanges_taken(answers)) and not chosen_1:
        return
    yield (
        Strength.NEGOTIATED,
        Endpoint(
            protocol="ike",
            host=target.host or "",
            port=target.port or 0,
            versions=versions,
            supports_post_quantum=_supports(answers),
            negotiates_post_quantum=_hybrid_or_not(answers, Question.MODERN),
            prefers_post_quantum=_hybrid_or_not(answers, Question.PREFERS),
        ),
    )
    for answer, talk in _talks(answers):
        strength = Strength.NEGOTIATED if answer.job.question == Question.MODERN else Strength.OFFERED
        if talk.said and not _doubt(talk):
            yield from ((strength, use) for use in _uses(talk.said))
            yield from ((Strength.OFFERED, use) for use in _announced(talk.said))
        elif talk.named is not None:
            yield strength, _key_establishment([talk.named])
    for main_mode in chosen_1:
        if main_mode.chosen:
            strength = Strength.OFFERED if speaks_2 else Strength.NEGOTIATED
            yield from ((strength, use) for use in _uses_1(main_mode.chosen))


def _main_modes(answers: tuple[Answer, ...]) -> list[MainModeConversation]:
    return [one.conversation for one in answers if isinstance(one.conversation, MainModeConversation)]


def _key_establishment(numbers: list[int]) -> AlgorithmUse:
    """Return all exchanges of one key as one use: it holds while any of them does (RFC 9370, 2)."""
    return AlgorithmUse(
        algorithm="+".join(map(codes.exchange_name, numbers)),
        function=Function.KEY_ESTABLISHMENT,
        code_point="+".join(map(str, numbers)),
    )


def _uses(said: Said) -> Iterator[AlgorithmUse]:
    exchanges = [number] if (number := _exchange(said)) is not None else []
    yield _key_establishment(exchanges + [one.number for one in _additional(said)])
    for one in said.transforms:
        point = str(one.number)
        if one.kind == codes.ENCRYPTION:
            name = codes.cipher_name(one.number, one.bits)
            yield AlgorithmUse(algorithm=name, function=Function.ENCRYPTION, code_point=point)
        elif one.kind == codes.PRF:
            name = codes.prf_name(one.number)
            yield AlgorithmUse(algorithm=name, function=Function.KEY_DERIVATION, code_point=point)
        elif one.kind == codes.INTEGRITY and one.number != codes.NONE:
            yield AlgorithmUse(algorithm=codes.integrity_name(one.number), function=Function.MAC, code_point=point)


def _announced(said: Said) -> Iterator[AlgorithmUse]:
    """Yield what the responder says it can do: pre-shared keys, and hashes for signatures."""
    for one in said.notifications:
        if one.kind in codes.PPK_NAMES:
            name = codes.PPK_NAMES[Notify(one.kind)]
            yield AlgorithmUse(algorithm=name, function=Function.KEY_ESTABLISHMENT, code_point=str(one.kind))
        elif one.kind == Notify.SIGNATURE_HASH_ALGORITHMS:
            numbers = {int.from_bytes(one.content[at : at + 2], "big") for at in range(0, len(one.content) - 1, 2)}
            for number in sorted(numbers & set(codes.HASHES)):
                yield AlgorithmUse(algorithm=codes.HASHES[number], function=Function.DIGEST, code_point=str(number))


def _uses_1(chosen: Chosen1) -> Iterator[AlgorithmUse]:
    if chosen.group is not None:
        yield _key_establishment([chosen.group])
    if chosen.cipher is not None:
        name = codes.sized(codes.CIPHERS_1.get(chosen.cipher, f"IKEv1-encryption-{chosen.cipher}"), chosen.bits)
        yield AlgorithmUse(algorithm=name, function=Function.ENCRYPTION, code_point=str(chosen.cipher))
    if chosen.hash is not None:
        name = codes.HASHES_1.get(chosen.hash, f"IKEv1-hash-{chosen.hash}")
        yield AlgorithmUse(algorithm=name, function=Function.DIGEST, code_point=str(chosen.hash))
    if chosen.authentication in codes.SIGNATURES_1:
        name = codes.SIGNATURES_1[chosen.authentication]
        yield AlgorithmUse(algorithm=name, function=Function.SIGNATURE, code_point=str(chosen.authentication))


def _remarks(answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return what a reader must know to trust the rest."""
    for answer, talk in _talks(answers):
        if doubt := _doubt(talk) if talk.said else talk.fault:
            yield f"{answer.job.question}: not believed, {doubt}"
        elif talk.said is None and talk.named is None and talk.refused is None:
            yield f"{answer.job.question}: unknown, {answer.reason or answer.ending.value}"
        elif talk.refused not in (None, Notify.NO_PROPOSAL_CHOSEN):
            yield f"{answer.job.question}: refused, {codes.notify_name(talk.refused or 0)}"
    noted = {one.kind for said in _all_said(answers) for one in said.notifications}
    if _all_said(answers) and not noted & set(codes.PPK_NAMES):
        yield "pre-shared keys (PPK): not shown, which does not prove that there are none"


def _not_seen(target: Target, answers: tuple[Answer, ...]) -> Attempt:
    """Return the attempt for a responder of which nothing is known but that it refused, or not even that."""
    doubts = [_doubt(talk) for _, talk in _talks(answers) if talk.said]
    if doubts := doubts + [talk.doubt for talk in _main_modes(answers) if talk.doubt]:
        return attempt(target, Outcome.UNPARSABLE, f"answers with IKE that cannot be believed: {doubts[0]}")
    refusals = [talk.refused for _, talk in _talks(answers)] + [talk.refused for talk in _main_modes(answers)]
    if names := dict.fromkeys(codes.notify_name(one) for one in refusals if one is not None):
        return attempt(target, Outcome.UNREADABLE, f"speaks IKE but refuses every proposal: {', '.join(names)}")
    faults = [talk.fault for _, talk in _talks(answers)] + [talk.fault for talk in _main_modes(answers)]
    if found := [fault for fault in faults if fault]:
        return attempt(target, Outcome.NONE, f"answers, but not with IKE for us: {found[0]}")
    return unanswered(target, answers)
