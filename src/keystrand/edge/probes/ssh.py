"""The SSH probe: what key exchanges and host keys a server offers, and the host key that it shows.

No login is tried and no session begins: the server shows its host key and signs with it, and we take our leave.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric import ec, mlkem

from keystrand.edge.probes.base import Answer, Ending, Job, Seen, attempt, observations, strongest, unanswered
from keystrand.formats.ssh_exchange import Opening, Transcript, doubt_of_signature, exchange_hash, opening
from keystrand.formats.ssh_names import (
    MODERN_HOST_KEYS,
    MODERN_KEX,
    host_key_fact,
    host_key_name,
    is_pseudo,
    key_exchange_name,
)
from keystrand.formats.ssh_wire import (
    DEBUG,
    DISCONNECT,
    IGNORE,
    Identification,
    KexInit,
    KexReply,
    disconnect_message,
    disconnect_reason,
    first_packet,
    identification,
    kex_init_message,
    kex_reply,
    kexinit,
    kexinit_message,
    packet,
)
from keystrand.formats.tls_key_share import CurvePart, KemPart, X25519BasePart
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Endpoint,
    Outcome,
    PublicKey,
    Record,
    Strength,
)

_SOFTWARE = b"SSH-2.0-keystrand\r\n"
_COOKIE_OCTETS = 16
_PREFERRED = "preferred host key"
MAX_KEYS = 8
"""Host keys that are asked for at most: a server has three or four."""


def _curve(curve: ec.EllipticCurve) -> CurvePart:
    return CurvePart(ec.generate_private_key(curve))


def _ml_kem(kind: type[mlkem.MLKEM768PrivateKey] | type[mlkem.MLKEM1024PrivateKey]) -> KemPart:
    return KemPart(kind.generate())


def _square(bits: int) -> Opening:
    """Open with the mpint of a random square below every prime of `bits`, whose logarithm we do not know.

    Servers refuse a share outside the subgroup of order (p - 1) / 2 (SP 800-56A, 5.6.2.3.1). Every square is inside,
    whatever the prime is.
    """
    half = bits // 2 - 1
    number = (secrets.randbits(half) | 1 << (half - 1)) ** 2
    return Opening(number.to_bytes(number.bit_length() // 8 + 1, "big"))


_OPENINGS: Mapping[str, Callable[[], Opening]] = {
    "X25519": lambda: opening("sha256", X25519BasePart()),
    "ECDH-P-256": lambda: opening("sha256", _curve(ec.SECP256R1())),
    "ECDH-P-384": lambda: opening("sha384", _curve(ec.SECP384R1())),
    "ECDH-P-521": lambda: opening("sha512", _curve(ec.SECP521R1())),
    "mlkem768x25519-sha256": lambda: opening("sha256", _ml_kem(mlkem.MLKEM768PrivateKey), X25519BasePart()),
    "mlkem768nistp256-sha256": lambda: opening("sha256", _ml_kem(mlkem.MLKEM768PrivateKey), _curve(ec.SECP256R1())),
    "mlkem1024nistp384-sha384": lambda: opening("sha384", _ml_kem(mlkem.MLKEM1024PrivateKey), _curve(ec.SECP384R1())),
    "FFDH-2048": partial(_square, 2048),
    "FFDH-1024": partial(_square, 1024),
    "FFDH-3072": partial(_square, 3072),
    "FFDH-4096": partial(_square, 4096),
    "FFDH-8192": partial(_square, 8192),
}
"""How to open each key exchange that we can: first those in which we can check the server's signature, and of these
the cheapest for the server."""


@cache
def _opening_of(exchange: str) -> Opening:
    """Return our half of a key exchange. It is made once: no key is taken into use and no secret is sent."""
    return _OPENINGS[exchange]()


# Servers of the same kind send the same lists.
_judged_once = lru_cache(maxsize=256)


@_judged_once
def _to_open(offered: tuple[str, ...]) -> tuple[str, str]:
    """Return the key exchange that we open, and what the server calls it; empty where it has none that we can."""
    # exchanges by Kerberos (gss-) open in another way
    plain = [name for name in offered if not name.startswith("gss-")]
    by_name = {key_exchange_name(name): name for name in reversed(plain)}
    exchange = next((name for name in _OPENINGS if name in by_name), "")
    return exchange, by_name.get(exchange, "")


def _first(preferred: tuple[str, ...], offered: tuple[str, ...]) -> str:
    """Return what two lists agree on: the client's first that the server has too (RFC 4253, 7.1); empty if nothing."""
    return next((name for name in preferred if name in offered), "")


class _Talk:
    """One connection: identification, lists of algorithms, and the host key where we can open a key exchange.

    `host_key_doubt` says why the server's proof that it holds the host key could not be checked; empty where it was.
    `wanted` are the host key algorithms that we ask for, best first; empty: whatever the server has.
    """

    def __init__(self, wanted: tuple[str, ...] = ()) -> None:
        self.done = False
        self.server: Identification | None = None
        self.lists: KexInit | None = None
        self.host_key: PublicKey | None = None
        self.host_key_doubt = ""
        self.host_key_algorithm = ""
        self.fault = ""
        self._wanted, self._buffer = wanted, b""
        self._server_lists = self._our_lists = b""
        self._opening = Opening(b"")

    def begin(self) -> bytes:
        return _SOFTWARE

    def receive(self, octets: bytes) -> bytes:
        self._buffer += octets
        reply = b""
        try:
            while not self.done and (said := self._step()) is not None:
                reply += said
        except InvalidInput as error:
            self._end(error.message)
        return reply

    def _end(self, fault: str = "") -> None:
        self.done, self.fault, self._buffer = True, fault, b""

    def _step(self) -> bytes | None:
        """Take one line or packet and return what to say to it; None where there is none yet."""
        if self.server is None:
            return self._identified()
        if (found := first_packet(self._buffer)) is None:
            return None
        payload, self._buffer = found
        if payload[0] in (IGNORE, DEBUG):
            return b""
        if payload[0] == DISCONNECT:
            raise InvalidInput(f"the server ended the talk: {disconnect_reason(payload)}")
        return self._listed(payload) if self.lists is None else self._shown(payload)

    def _identified(self) -> bytes | None:
        if (found := identification(self._buffer)) is None:
            return None
        self.server, self._buffer = found
        if not _speaks_version_2(self.server):
            self._end("the server speaks SSH version 1 only")
        return b""

    def _listed(self, payload: bytes) -> bytes:
        self.lists, self._server_lists = kexinit(payload), payload
        exchange, called = _to_open(self.lists.key_exchanges)
        offered = self.lists.host_keys
        self.host_key_algorithm = _first(self._wanted or (*MODERN_HOST_KEYS, *offered), offered)
        if not exchange or not self.host_key_algorithm:
            self._end("the server shows its host key only in key exchanges that this probe does not open")
            return packet(disconnect_message())
        self._our_lists = kexinit_message(secrets.token_bytes(_COOKIE_OCTETS), called, self.host_key_algorithm)
        self._opening = _opening_of(exchange)
        return packet(self._our_lists) + packet(kex_init_message(self._opening.public))

    def _shown(self, payload: bytes) -> bytes:
        reply = kex_reply(payload)
        shown = host_key_fact(reply.host_key)
        if not shown.algorithm.startswith(host_key_name(self.host_key_algorithm)):
            raise InvalidInput(
                f"asked for {self.host_key_algorithm}, the server showed a key of type {shown.algorithm}"
            )
        self.host_key_doubt = self._doubt(reply)
        self.host_key = shown
        self._end()
        return packet(disconnect_message())

    def _doubt(self, reply: KexReply) -> str:
        """Return why the signature could not be checked. Raises `InvalidInput` where it is not by the key shown."""
        if not self._opening.parts:
            return "its signature cannot be checked in a finite-field key exchange, of which we know no secret"
        server = self.server.line if self.server else b""
        said = Transcript(_SOFTWARE.rstrip(), server, self._our_lists, self._server_lists)
        signed = exchange_hash(said, reply.host_key, self._opening, reply.share)
        return doubt_of_signature(reply.host_key, self.host_key_algorithm, reply.signature, signed)


def _speaks_version_2(server: Identification) -> bool:
    """Return whether the server speaks SSH 2.0; "1.99" says that it speaks both (RFC 4253, 5.1)."""
    return server.protocol in ("2.0", "1.99")


def _versions(server: Identification) -> tuple[str, ...]:
    return ("1.5", "2.0") if server.protocol == "1.99" else (server.protocol,)


_PLAIN_KEYS = (*(name for name in MODERN_HOST_KEYS if "@" not in name), "ssh-rsa", "ssh-dss", "ssh-ed448")


class SshProbe:
    """Asks an SSH server for its lists and its host keys, one connection for each of these."""

    kind: ClassVar[ProbeKind] = ProbeKind.SSH

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Return the first job; then those for further host keys that were offered, unless quick is wanted.

        In standard mode that is the RSA key. The names of the others in use say their size; RSA's does not, and
        policies judge it by its size. In full mode it is every kind of key.
        """
        if target.host is None or target.port is None:
            return ()
        if not answers:
            return (Job(_PREFERRED, target.host, target.port, _Talk),)
        talk = _talk(answers[0])
        if len(answers) > 1 or talk.host_key is None or talk.lists is None or target.mode is ScanMode.QUICK:
            return ()
        others = _other_keys(talk.lists.host_keys, talk.host_key_algorithm)
        return tuple(
            Job(f"{kind} host key", target.host, target.port, partial(_Talk, names))
            for kind, names in others.items()
            if kind == "RSA" or target.mode is ScanMode.FULL
        )

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Return what the server offers and what a present-day client would get from it, and the attempt."""
        if not answers or target.host is None or target.port is None:
            return (unanswered(target, answers),)
        talks = [_talk(answer) for answer in answers]
        first = talks[0]
        if first.server is None:
            return (_no_identification(target, answers),)
        endpoint = Endpoint(
            protocol="ssh",
            host=target.host,
            port=target.port,
            versions=_versions(first.server),
            software=first.server.software,
            supports_post_quantum=_supports_post_quantum(first.lists),
            negotiates_post_quantum=_prefers_post_quantum(first.lists),
            prefers_post_quantum=_prefers_post_quantum(first.lists),
        )
        facts = strongest([(Strength.NEGOTIATED, endpoint), *_uses(first.lists, talks)])
        return (*observations(target, facts), _attempt(target, answers))


def _other_keys(offered: tuple[str, ...], shown: str) -> dict[str, tuple[str, ...]]:
    """Return the names of each kind of host key beside the one shown. Certificates of keys and tokens are left out."""
    found: dict[str, tuple[str, ...]] = {}
    for name in offered:
        if name in _PLAIN_KEYS and (kind := host_key_name(name)) != host_key_name(shown):
            found[kind] = (*found.get(kind, ()), name)
    return dict(list(found.items())[:MAX_KEYS])


def _talk(answer: Answer) -> _Talk:
    assert isinstance(answer.conversation, _Talk)  # noqa: S101 - the scheduler hands back what `start` made
    return answer.conversation


def _no_identification(target: Target, answers: tuple[Answer, ...]) -> Attempt:
    if fault := _talk(answers[0]).fault:
        return attempt(target, Outcome.NONE, fault)
    return unanswered(target, answers)


def _attempt(target: Target, answers: tuple[Answer, ...]) -> Attempt:
    """Return the attempt on a server that identified itself: seen only where its lists of algorithms were."""
    first = _talk(answers[0])
    why = first.fault or answers[0].reason or f"connection {answers[0].ending.value}"
    if first.lists is None:
        outcome = Outcome.TIMED_OUT if answers[0].ending is Ending.TIMED_OUT else Outcome.UNPARSABLE
        return attempt(target, outcome, f"an SSH server, but its algorithms stayed unknown: {why}")
    if first.host_key is None:
        return attempt(target, Outcome.SEEN, f"the host key stayed unknown: {why}")
    return attempt(target, Outcome.SEEN, "; ".join(_remarks(answers)))


def _remarks(answers: tuple[Answer, ...]) -> Iterator[str]:
    """Return what is missing or unproven of the host keys."""
    for answer in answers:
        talk, question = _talk(answer), answer.job.question
        what = "the host key" if question == _PREFERRED else f"the {question}"
        if talk.host_key is None:
            yield f"{what} was offered but stayed unknown: {talk.fault or answer.reason}"
        elif talk.host_key_doubt:
            yield f"{what} was shown but not proven: {talk.host_key_doubt}"


@_judged_once
def _supports_post_quantum(lists: KexInit | None) -> bool | None:
    """Return whether a quantum-safe key exchange is on offer; None where only one that nobody can judge is."""
    offered = [name for name in lists.key_exchanges if not is_pseudo(name)] if lists else []
    verdicts = {classify(key_exchange_name(name)).verdict for name in offered}
    if Verdict.QUANTUM_SAFE in verdicts:
        return True
    return False if verdicts == {Verdict.QUANTUM_VULNERABLE} else None


@_judged_once
def _prefers_post_quantum(lists: KexInit | None) -> bool | None:
    """Return whether a present-day client gets a quantum-safe key exchange; None where that cannot be told."""
    if lists is None:
        return None
    got = _first(MODERN_KEX, lists.key_exchanges)
    names = [got] if got else [name for name in lists.key_exchanges if not is_pseudo(name)]
    verdicts = {classify(key_exchange_name(name)).verdict for name in names}
    if verdicts == {Verdict.QUANTUM_SAFE}:
        return True
    return False if verdicts == {Verdict.QUANTUM_VULNERABLE} else None


def _uses(lists: KexInit | None, talks: list[_Talk]) -> Iterator[Seen]:
    if lists is None:
        return
    yield from _exchanges(lists.key_exchanges)
    keys = {talk.host_key.sha256: talk.host_key for talk in reversed(talks) if talk.host_key}
    shown = talks[0].host_key if not talks[0].host_key_doubt else None
    for key in keys.values():
        yield Strength.NEGOTIATED if key == shown else Strength.OFFERED, key
    sizes = {key.algorithm.partition("-")[0]: key.algorithm for key in keys.values() if key.bits}
    yield from _named(
        lists.host_keys,
        talks[0].host_key_algorithm if shown else "",
        Function.SIGNATURE,
        lambda name: sizes.get(host_key_name(name), host_key_name(name)),
    )


@_judged_once
def _exchanges(offered: tuple[str, ...]) -> tuple[Seen, ...]:
    return tuple(_named(offered, _first(MODERN_KEX, offered), Function.KEY_ESTABLISHMENT, key_exchange_name))


def _named(
    names: tuple[str, ...], negotiated: str, function: Function, canonical: Callable[[str], str]
) -> Iterator[Seen]:
    """Yield one use an algorithm in `names`. Of several names for it the negotiated, or else the first, counts."""
    uses: dict[str, str] = {}
    for name in (negotiated, *names):
        if name and not is_pseudo(name):
            uses.setdefault(canonical(name), name)
    for algorithm, name in uses.items():
        strength = Strength.NEGOTIATED if name == negotiated else Strength.OFFERED
        yield strength, AlgorithmUse(algorithm=algorithm, function=function, code_point=name)
