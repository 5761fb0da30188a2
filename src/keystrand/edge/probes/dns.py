"""The DNSSEC probe: how a zone is signed, as the server that the target names tells it.

Signatures are not verified, and no key is trusted: what is told is which algorithms, keys and times are in use. A zone
that is not signed ends as "none", which only a clear answer can say.
"""

import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import ClassVar, NamedTuple, TypeVar

from keystrand.edge.probes.base import Answer, Job, Seen, attempt, observations, strongest, unanswered
from keystrand.formats import dns_messages as wire
from keystrand.formats import dns_security as records
from keystrand.formats.dns_messages import Asked, DnsUnreadable, Reply, query, reply, wire_name
from keystrand.formats.dns_security import Key, Signature
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Outcome, Record, Strength

Read = TypeVar("Read")


class Question(NamedTuple):
    """What one query asks: a type, of the zone or of a name below it."""

    kind: int
    below: str = ""

    def of(self, zone: str) -> str:
        """Return the name asked for."""
        return f"{self.below}.{zone}" if self.below else zone


_QUESTIONS = {
    "dnskey": Question(wire.DNSKEY),
    "soa": Question(wire.SOA),
    "ds": Question(wire.DS),
    "nsec3param": Question(wire.NSEC3PARAM),
}
_PUBLISHED = {
    "sshfp": Question(wire.SSHFP),
    "tlsa-https": Question(wire.TLSA, "_443._tcp"),
    "tlsa-smtp": Question(wire.TLSA, "_25._tcp"),
}
"""Asked in full mode: keys that the zone vouches for."""
_BELOW = (wire.RRSIG, wire.TLSA)
"""Types that have other owners than the zone itself."""
_OVER_TCP = "-over-tcp"


class DnsConversation:
    """One query and its answer. `said` is the answer, `fault` why something else was not taken for it."""

    def __init__(self, question: Question, zone: str, *, tcp: bool = False) -> None:
        self.question, self.done, self.fault = question, False, ""
        self.said: Reply | None = None
        self._tcp, self._received = tcp, b""
        self._asked = Asked(secrets.randbits(16), wire_name(question.of(zone)), question.kind)

    def begin(self) -> bytes:
        """Return the query; over TCP with its length in front (RFC 1035, 4.2.2)."""
        message = query(self._asked)
        return len(message).to_bytes(2, "big") + message if self._tcp else message

    def receive(self, octets: bytes) -> bytes:
        """Take the answer. Sets `done`; never raises."""
        if self.done or not octets:
            return b""
        if not self._tcp:
            self._take(octets)
            return b""
        self._received += octets
        end = 2 + int.from_bytes(self._received[:2], "big")
        if 2 <= end <= len(self._received):
            self._take(self._received[2:end])
            self.done = True
        return b""

    def _take(self, message: bytes) -> None:
        try:
            self.said, self.fault, self.done = reply(self._asked, message), "", True
        except DnsUnreadable as error:
            # in a datagram it may be an outsider's: the server's own answer takes this back
            self.fault = str(error)


class DnsProbe:
    """Asks the server of a target for the DNSSEC of its zone: a query each, over TCP where one is cut short."""

    kind: ClassVar[ProbeKind] = ProbeKind.DNS

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the queries, then again over TCP those whose answers were cut short."""
        if not _zone(target):
            return ()
        if not answers:
            return (_job(target, "dnskey"),)
        asked = {answer.job.question for answer in answers}
        wanted = [
            f"{answer.job.question}{_OVER_TCP}"
            for answer, talk in _talks(answers)
            if talk.said and talk.said.truncated and not answer.job.question.endswith(_OVER_TCP)
        ]
        if target.mode is not ScanMode.QUICK and any(talk.said for _, talk in _talks(answers)):
            wanted += [*_QUESTIONS, *(_PUBLISHED if target.mode is ScanMode.FULL else ())]
        return tuple(_job(target, name) for name in wanted if name not in asked)

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what was seen and one attempt. Nothing is concluded from a question without an answer."""
        if not _zone(target):
            return (attempt(target, Outcome.SKIPPED, "the target names no zone, or none that DNS could hold"),)
        zone = _Zone(wire_name(_zone(target)), answers)
        facts = strongest(_facts(zone))
        if not facts:
            return (_not_seen(target, zone, answers),)
        return (*observations(target, facts), attempt(target, Outcome.SEEN, "; ".join(_remarks(zone, answers))))


def _zone(target: Target) -> str:
    """Return the zone; empty where there is none, or none that DNS could hold."""
    try:
        longest = max((question.of(target.zone or "") for question in _PUBLISHED.values()), key=len)
        wire_name(longest)
    except UnicodeError:
        return ""
    return target.zone or ""


def _job(target: Target, name: str) -> Job:
    tcp = name.endswith(_OVER_TCP)
    question = (_QUESTIONS | _PUBLISHED)[name.removesuffix(_OVER_TCP)]
    start = partial(DnsConversation, question, _zone(target), tcp=tcp)
    return Job(name, target.host or "", target.port or 0, start, "tcp" if tcp else "udp")


def _talks(answers: tuple[Answer, ...]) -> list[tuple[Answer, DnsConversation]]:
    pairs = ((answer, answer.conversation) for answer in answers)
    return [(answer, talk) for answer, talk in pairs if isinstance(talk, DnsConversation)]


class _Zone:
    """All records that came, by type, each once; a record that cannot be read is passed over and counted."""

    def __init__(self, name: bytes, answers: tuple[Answer, ...]) -> None:
        self.name = name
        self.unreadable: set[object] = set()
        found = [one for _, talk in _talks(answers) if talk.said for one in talk.said.records]
        self._records = tuple(dict.fromkeys(found))
        self.keys = tuple(self._read(wire.DNSKEY, records.dnskey))
        # the parent zone signs its DS: with what is its own affair
        self.signatures = tuple(one for one in self._read(wire.RRSIG, records.rrsig) if one.signer == name)
        self.delegations = tuple(self._read(wire.DS, records.ds))

    def _read(self, kind: int, read: Callable[[bytes], Read]) -> Iterator[Read]:
        for one in self._records:
            if one.kind == kind and (one.owner == self.name or kind in _BELOW):
                try:
                    yield read(one.content)
                except DnsUnreadable:
                    self.unreadable.add(one)

    def of(self, kind: int, read: Callable[[bytes], Read]) -> tuple[Read, ...]:
        """Return the records of a type."""
        return tuple(self._read(kind, read))

    def name_of(self, key: Key) -> str:
        """Return the canonical name of a key's algorithm, with its size."""
        return key.fact.algorithm if key.fact else records.algorithm_name(key.algorithm)

    def signer_of(self, signature: Signature) -> str:
        """Return the canonical name of what a signature was made with: its key tells the size."""
        keys = (key for key in self.keys if (key.tag, key.algorithm) == (signature.tag, signature.algorithm))
        return next(map(self.name_of, keys), records.algorithm_name(signature.algorithm))


def _use(name: str, function: Function, code_point: str) -> AlgorithmUse:
    return AlgorithmUse(algorithm=name, function=function, code_point=code_point)


def _facts(zone: _Zone) -> Iterator[Seen]:
    for key in zone.keys:
        if key.fact:
            yield Strength.OFFERED, key.fact
        yield Strength.OFFERED, _use(zone.name_of(key), Function.SIGNATURE, str(key.algorithm))
    for signature in zone.signatures:
        # a signature that was made shows the algorithm at work
        point = str(signature.algorithm)
        yield Strength.NEGOTIATED, _use(zone.signer_of(signature), Function.SIGNATURE, point)
        if digest := records.digest_name(signature.algorithm):
            yield Strength.NEGOTIATED, _use(digest, Function.DIGEST, point)
    for delegation in zone.delegations:
        name = records.DS_DIGESTS.get(delegation.digest_kind, f"DS-digest-{delegation.digest_kind}")
        yield Strength.NEGOTIATED, _use(name, Function.DIGEST, f"DS {delegation.digest_kind}")
    yield from _published(zone)


def _published(zone: _Zone) -> Iterator[Seen]:
    for one in zone.of(wire.TLSA, records.tlsa):
        if one.whole:
            yield Strength.OFFERED, one.whole
        elif name := records.TLSA_DIGESTS.get(one.matching):
            yield Strength.OFFERED, _use(name, Function.DIGEST, f"TLSA {one.usage} {one.selector} {one.matching}")
    for key, digest in zone.of(wire.SSHFP, records.sshfp):
        point = f"SSHFP {key} {digest}"
        yield Strength.OFFERED, _use(records.SSHFP_KEYS.get(key, f"SSHFP-key-{key}"), Function.SIGNATURE, point)
        name = records.SSHFP_DIGESTS.get(digest, f"SSHFP-digest-{digest}")
        yield Strength.OFFERED, _use(name, Function.DIGEST, point)


def _remarks(zone: _Zone, answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return times and parameters, and what a reader must know to trust the rest."""
    if zone.signatures:
        begins, ends = _window(zone.signatures)
        together = f"all valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
        yield f"signatures: {together if begins <= ends else 'at no time all valid together'}"
    for denial in zone.of(wire.NSEC3PARAM, records.nsec3):
        # hides names, signs nothing: that SHA-1 is broken for signatures says nothing of it (RFC 5155, 12)
        name = records.NSEC3_HASHES.get(denial.hash, f"hash {denial.hash}")
        yield f"NSEC3: {name}, {denial.iterations} further iterations, {denial.salt_octets} octets of salt"
    yield from _chain(zone)
    if any(key.flags & records.REVOKED for key in zone.keys):
        yield "a key is revoked"
    if zone.unreadable:
        yield f"{len(zone.unreadable)} records cannot be read"
    asked = {answer.job.question for answer, _ in _talks(answers)}
    for answer, talk in _talks(answers):
        if talk.said is None:
            yield f"{answer.job.question}: unknown, {talk.fault or answer.reason or answer.ending.value}"
        elif talk.said.truncated and f"{answer.job.question}{_OVER_TCP}" not in asked:
            yield f"{answer.job.question}: unknown, the answer is cut short"
        elif talk.said.code not in (wire.NO_ERROR, wire.NO_SUCH_NAME):
            yield f"{answer.job.question}: {_code(talk.said.code)}"


def _window(signatures: tuple[Signature, ...]) -> tuple[datetime, datetime]:
    """Return from when to when all signatures are valid."""
    return max(one.begins for one in signatures), min(one.ends for one in signatures)


def _chain(zone: _Zone) -> Iterator[str]:
    """Return what is wrong with the way from the parent zone to the keys."""
    if not zone.delegations or not zone.keys:
        return
    matches = [records.delegates_to(one, zone.name, key) for one in zone.delegations for key in zone.keys]
    if True not in matches and None not in matches:
        yield "no DS of the parent zone is of a key that the zone has: validating resolvers refuse it"


def _code(code: int) -> str:
    return f"{wire.RESPONSE_CODES.get(code, 'response code')} ({code})"


def _not_seen(target: Target, zone: _Zone, answers: tuple[Answer, ...]) -> Attempt:
    """Return the attempt for a zone of which no key came: not signed, or not known."""
    said = [(answer, talk.said) for answer, talk in _talks(answers) if talk.said and not talk.said.truncated]
    first = next((one for answer, one in said if answer.job.question.startswith("dnskey")), None)
    if first is None:
        if any(talk.said for _, talk in _talks(answers)):
            why = answers[-1].reason or answers[-1].ending.value
            return attempt(target, Outcome.UNREADABLE, f"the answer is cut short, and over TCP there is none: {why}")
        faults = [talk.fault for _, talk in _talks(answers) if talk.fault]
        return attempt(target, Outcome.UNPARSABLE, faults[0]) if faults else unanswered(target, answers)
    return attempt(target, *_without_keys(first, zone))


def _without_keys(said: Reply, zone: _Zone) -> tuple[Outcome, str]:
    """Return what an answer without a key of the zone shows: none only where the server must know it."""
    if said.code not in (wire.NO_ERROR, wire.NO_SUCH_NAME):
        return Outcome.UNREADABLE, f"the server answers {_code(said.code)}"
    if not said.knows:
        return Outcome.UNREADABLE, "the server does not hold the zone and does not look it up"
    if zone.unreadable:
        return Outcome.UNPARSABLE, f"records of DNSSEC that cannot be read: {len(zone.unreadable)}"
    return Outcome.NONE, "there is no such name" if said.code == wire.NO_SUCH_NAME else "the zone is not signed"
