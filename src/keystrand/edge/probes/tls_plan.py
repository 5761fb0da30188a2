"""What a TLS server is asked next, by how much is wanted: pure functions of the answers so far.

Every answer names one thing that the server accepts. What was named is left out of the next hello, until the server
refuses: that finds everything it accepts with one connection for each, and one more. Where a server ends the connection
without a word, one of the things in the hello may be to blame: it is halved.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from keystrand.edge.probes.tls_questions import INQUIRIES, Inquiry, Question, TlsConversation, key_share
from keystrand.formats import tls_codepoints as codes
from keystrand.model.algorithm import Verdict, classify
from keystrand.model.estate import ScanMode

MOST_OF = {ScanMode.QUICK: 3, ScanMode.STANDARD: 24, ScanMode.FULL: 192}
"""Connections to one target at most, by mode. Standard: eight questions, and sixteen for groups beyond the ones that a
server prefers. OpenSSL with everything on takes about 110 in full."""

_PROTOCOL_VERSION = 70

_FIRST = (Question.SUPPORTS, Question.BROWSER)
_REST = (Question.DOWNGRADE, Question.CLASSICAL, Question.TLS12, Question.STATIC_RSA, Question.LEGACY)
_EVERYONE = frozenset((*_FIRST, *_REST))
_CURVES = frozenset((codes.X25519, codes.SECP256R1, codes.SECP384R1, codes.SECP521R1, codes.X448))
_SCHEMES_13, _SCHEMES_12 = (
    tuple(scheme for scheme in codes.ALL_SCHEMES if codes.scheme_exists(scheme, version))
    for version in (codes.TLS13, codes.TLS12)
)
_SIGNED_SUITES = tuple(suite for suite in codes.ALL_OLD_SUITES if (e := codes.exchange_of(suite)) and e.signed)


class Asked(NamedTuple):
    """One question and how it went. `accepted`: the server agreed to something that we offered.

    `connected`: there was a connection; `left`: the other side ended it.
    """

    question: str
    talk: TlsConversation
    accepted: bool
    connected: bool
    left: bool

    @property
    def refused(self) -> bool:
        """Return whether the server said that it accepts nothing of what we offered."""
        return not self.accepted and (self.talk.flight.alert is not None or self.talk.older)


def next_inquiries(mode: ScanMode, asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return the questions of the next round by name; none: everything is asked, or nobody answers."""
    wanted = _PLANS[mode](asked)
    known = {one.question for one in asked}
    new = [(name, inquiry) for name, inquiry in wanted.items() if name not in known]
    return dict(new[: max(0, MOST_OF[mode] - len(asked))])


def cut_short(mode: ScanMode, asked: Sequence[Asked]) -> bool:
    """Return whether only the bound on connections ended the questions."""
    known = {one.question for one in asked}
    return len(asked) >= MOST_OF[mode] and any(name not in known for name in _PLANS[mode](asked))


def _named(questions: Iterable[Question]) -> dict[str, Inquiry]:
    return {question.value: INQUIRIES[question] for question in questions}


def _quick(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Ask for the server's choice; again only where that leaves the question open."""
    if not asked:
        return _named((Question.CHOICE,))
    choice = asked[0]
    if choice.accepted:
        return {} if is_post_quantum(choice.talk) else _named((Question.SUPPORTS,))
    if choice.talk.foreign or not choice.connected:
        return {}
    if len(asked) == 1:
        return _named((Question.OLDER,))
    if asked[1].accepted or asked[1].talk.foreign or not (asked[1].left or asked[1].refused):
        return {}
    no_13 = choice.talk.flight.alert == _PROTOCOL_VERSION or asked[1].talk.flight.version == codes.SSL3
    return _named((Question.SSL3 if no_13 else Question.BROWSER,))


def is_post_quantum(talk: TlsConversation) -> bool:
    """Return whether the group that the server chose resists a quantum computer."""
    group = talk.flight.group
    return group is not None and classify(codes.group_name(group)).verdict is Verdict.QUANTUM_SAFE


def _standard(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    return _common(asked) | (_next_groups(asked) if _answers(asked) else {})


def _answers(asked: Sequence[Asked]) -> bool:
    return any(one.accepted or one.refused for one in asked)


def _common(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return what standard and full ask alike."""
    questions = _named(_next_questions(asked))
    return questions | _next_keys(asked) | _next_version(asked) if _answers(asked) else questions


def _next_keys(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return the question for a certificate of another kind than those that were shown."""
    shown = [one for one in asked if one.question == Question.BROWSER or one.question.startswith(Question.OTHER_KEY)]
    kinds = {codes.scheme_kind(scheme) for one in shown if one.accepted and (scheme := one.talk.flight.scheme)}
    if len(kinds) < len(shown):
        return {} if kinds else _named((Question.ML_DSA,))
    schemes = tuple(scheme for scheme in codes.ALL_SCHEMES if codes.scheme_kind(scheme) not in kinds)
    name = Question.OTHER_KEY.value if len(shown) == 1 else f"{Question.OTHER_KEY}-{len(shown)}"
    return {name: replace(INQUIRIES[Question.OTHER_KEY], schemes=schemes)} if schemes else {}


def _next_version(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return the question for TLS 1.0 where the newer one of the old versions was chosen."""
    older = next((one for one in asked if one.question == Question.LEGACY and one.accepted), None)
    return _named((Question.TLS10,)) if older and older.talk.flight.version == codes.TLS11 else {}


def _next_questions(asked: Sequence[Asked]) -> tuple[Question, ...]:
    """Return the questions of this round. Who does not answer is asked once more in TLS 1.2, then left alone."""
    if not asked:
        return _FIRST
    if any(one.talk.flight.said_hello or one.talk.flight.alert is not None for one in asked):
        return _REST if len(asked) <= len(_FIRST) + 1 else _last(asked)
    if any(one.connected for one in asked) and not any(one.talk.foreign for one in asked):
        return (Question.TLS12,) if len(asked) <= len(_FIRST) else _last(asked)
    return ()


def _last(asked: Sequence[Asked]) -> tuple[Question, ...]:
    """Return the question for SSL 3.0, where the server ends every newer hello."""
    hopeless = any(one.accepted or one.talk.foreign for one in asked)
    ended = any(one.left or one.refused or one.talk.flight.version == codes.SSL3 for one in asked)
    return (Question.SSL3,) if ended and not hopeless else ()


class _Series(NamedTuple):
    """A question asked again and again for whatever of `axis` is not yet known. The first one carries its name alone.

    `answered`: the server is known to answer such a question, so that silence is about what this one holds. `worth`:
    what the further questions may ask for; None: anything.
    """

    name: str
    inquiry: Inquiry
    axis: Literal["groups", "suites", "schemes"]
    answered: bool = False
    worth: frozenset[int] | None = None

    def numbered(self, count: int) -> str:
        return f"{self.name}-{count}" if count > 1 else self.name


_SUPPORTS, _CLASSICAL, _IN_12 = (
    _Series(question.value, INQUIRIES[question], "groups")
    for question in (Question.SUPPORTS, Question.CLASSICAL, Question.TLS12)
)


def _next_groups(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return the questions for further groups: with TLS 1.3 there, else for those of TLS 1.2."""
    in_13 = (_SUPPORTS, _CLASSICAL._replace(worth=_CURVES))
    return _continued(in_13 if _version_of(asked, codes.TLS13) else (_IN_12,), asked)


def _version_of(asked: Iterable[Asked], *versions: int) -> int | None:
    """Return the newest of `versions` that the server accepted."""
    return max((v for one in asked if one.accepted and (v := one.talk.flight.version) in versions), default=None)


_CHOSEN: Mapping[str, Callable[[TlsConversation], int | None]] = {
    "groups": lambda talk: talk.flight.group,
    "suites": lambda talk: talk.flight.suite,
    "schemes": lambda talk: talk.flight.scheme,
}


def _continued(series: Iterable[_Series], asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Return the next question of each series that has been begun and is not at its end."""
    wanted: dict[str, Inquiry] = {}
    answers = {one.question: one for one in asked}
    for one in series:
        mine = _mine(one, answers)
        if mine and (left := _left(one, mine)):
            wanted[one.numbered(len(mine) + 1)] = replace(one.inquiry, **{one.axis: left})
    return wanted


def _mine(series: _Series, answers: Mapping[str, Asked]) -> list[Asked]:
    found: list[Asked] = []
    while (name := series.numbered(len(found) + 1)) in answers:
        found.append(answers[name])
    return found


def _left(series: _Series, asked: Iterable[Asked]) -> tuple[int, ...]:
    """Return what to ask for next, given every answer of the series in its order."""
    waiting: list[tuple[int, ...]] = [getattr(series.inquiry, series.axis)]
    named: set[int] = set()  # by the answers to what waits first
    answered, chosen = series.answered, _CHOSEN[series.axis]
    for one in asked:
        value = chosen(one.talk) if one.accepted else None
        if value is not None and value in waiting[0] and value not in named:
            if series.worth is not None:
                waiting[0] = tuple(other for other in waiting[0] if other in series.worth or other == value)
            answered = True
            named.add(value)
            if len(named) < len(waiting[0]):
                continue
            waiting.pop(0)
        else:
            rest = tuple(other for other in waiting.pop(0) if other not in named)
            # silence costs the whole time limit each time: it is not halved
            if answered and one.left and not one.accepted and not one.refused and len(rest) > 1:
                waiting[:0] = [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
        named = set()
        if not waiting:
            return ()
    return tuple(other for other in waiting[0] if other not in named)


def _full(asked: Sequence[Asked]) -> dict[str, Inquiry]:
    """Ask what `standard` asks, then for each version, and for every group, suite and signature scheme."""
    wanted = _common(asked) | _continued((_SUPPORTS, _CLASSICAL), asked)
    if any(one.question == Question.LEGACY for one in asked) and any(one.accepted for one in asked):
        wanted |= _named((Question.SSL3,))
        series = tuple(_all_series([one for one in asked if one.question in _EVERYONE]))
        answers = {one.question for one in asked}
        wanted |= {one.name: one.inquiry for one in series if one.name not in answers}
        wanted |= _continued(series, asked)
    return wanted


def _all_series(asked: Sequence[Asked]) -> Iterator[_Series]:
    """Yield the series for suites and schemes, less what the questions before them have shown."""
    if _version_of(asked, codes.TLS13):
        group = next(one.talk.flight.group for one in asked if one.accepted and one.talk.flight.version == codes.TLS13)
        base = replace(INQUIRIES[Question.BROWSER], versions=(codes.TLS13,))
        only = replace(base, shares=(), to_certificate=False, groups=(group,))
        yield from _of_axis("suites-1.3", only, "suites", codes.ALL_SUITES_13, asked)
        # with what is known to be accepted, for a server that cannot bear something else
        in_13 = tuple(suite for suite in base.suites if suite in codes.ALL_SUITES_13)
        plain = replace(base, suites=in_13, groups=(group,), shares=(group,)) if key_share(group) else base
        yield from _of_axis("schemes-1.3", plain, "schemes", _SCHEMES_13, asked)
    # asked even where no common suite was accepted: there are others
    older = _version_of(asked, codes.TLS12, codes.TLS11, codes.TLS10) or codes.TLS12
    base = replace(INQUIRIES[Question.OLDER], versions=(older,), to_certificate=True)
    yield from _of_axis(f"suites-{codes.VERSIONS[older]}", base, "suites", codes.ALL_OLD_SUITES, asked)
    if older == codes.TLS12:
        base = replace(INQUIRIES[Question.TLS12], suites=_SIGNED_SUITES)
        yield from _of_axis("groups-1.2", base, "groups", codes.OLD_GROUPS, asked)
        yield from _of_axis("schemes-1.2", base, "schemes", _SCHEMES_12, asked)


def _of_axis(
    name: str,
    inquiry: Inquiry,
    axis: Literal["groups", "suites", "schemes"],
    everything: tuple[int, ...],
    asked: Iterable[Asked],
) -> Iterator[_Series]:
    version, chosen = inquiry.versions[0], _CHOSEN[axis]
    seen = {chosen(one.talk) for one in asked if one.accepted and one.talk.flight.version == version}
    if left := tuple(value for value in everything if value not in seen):
        yield _Series(name, replace(inquiry, **{axis: left}), axis, answered=True)


_PLANS: Mapping[ScanMode, Callable[[Sequence[Asked]], dict[str, Inquiry]]] = {
    ScanMode.QUICK: _quick,
    ScanMode.STANDARD: _standard,
    ScanMode.FULL: _full,
}
