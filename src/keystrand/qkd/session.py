"""Alice and Bob of a QKD post-processing session: from each end's own record to one authenticated key, by messages.

Neither end does input or output: `start` and `receive` return the frames to send, `state` says where it stands.
Sifting, counting of the test basis, reconciliation, verification, the finite key's length, amplification, delivery.

What is promised. Before Bob confirms, nobody has a key. Alice delivers when Bob's confirmation has arrived, Bob when
Alice's last message has. Where anything but that last message reaches Bob then, or nothing, Alice may have delivered,
and he cannot know (no protocol spares both ends this): he ends `Aborted` with `in_doubt`, withholds the key and names
the block, so that it can be discarded at Alice's. In every other case one end aborted means that both have no key.
"""

import contextlib
from collections.abc import Callable, Generator
from typing import ClassVar

import msgspec
import numpy as np

from keystrand.model.errors import KeystrandError
from keystrand.qkd import session_cascade, sifting, toeplitz, universal_hash
from keystrand.qkd.authentication import KEY_OCTETS, AuthenticationKeyExhausted, forgery_bound
from keystrand.qkd.bb84_link import TEST
from keystrand.qkd.detections import Marks, Received, Sent, Tally
from keystrand.qkd.session_account import (
    Account,
    EpsilonExceeded,
    KeyLedger,
    SessionParameters,
    counts_of,
    differing,
    epsilon_budget,
    key_length,
    with_key,
)
from keystrand.qkd.session_cascade import Entropy, Reconciled, random_point
from keystrand.qkd.session_messages import (
    MOST_DETECTIONS,
    PROTOCOL_VERSION,
    Abort,
    Amplify,
    Announce,
    Confirmed,
    Deliver,
    Hello,
    KeyErrors,
    Message,
    ProtocolFault,
    Reply,
    TestCounts,
    Without,
    expect,
    integers,
    pack,
    unpack,
)
from keystrand.qkd.session_states import Aborted, Done, KeyOctets, NoKey, PeerAborted, PeerLost, Running, State
from keystrand.qkd.session_wire import Wire, pool

REFILL_BITS = 2 * 8 * KEY_OCTETS
"""Authentication key comes in such portions, half for each direction."""

_Finish = Callable[[], Done | NoKey]
_Talk = Generator[list[Message], Message, tuple[list[Message], _Finish]]


class _Party:
    """One end. `key` is overwritten if it is a bytearray; `entropy` returns cryptographic randomness, so many octets.

    Raises `ValueError` for authentication key that is no multiple of 64 octets, or a record too long for one session.
    """

    initiator: ClassVar[bool]

    def __init__(self, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy) -> None:
        self.parameters, self.state = parameters, _running("hello")
        self._entropy = entropy
        self._wire = Wire(pool(key, initiator=self.initiator))
        self._kinds = len(parameters.link.transmitter.intensities)
        self._detections = self._frames = self._failed = self._rounds = 0
        self._key = self._key_errors = self._test = self._test_errors = (0,) * self._kinds
        self._ledger = KeyLedger(sifted_bits=0, parity_bits=0, tag_bits=0, told_bits=0, shrink_bits=0, final_bits=0)
        self._may_end = self._in_doubt = False
        self._block = b""
        self._talk = self._conversation()

    def start(self) -> list[bytes]:
        """Return the first frames to send."""
        return self._go(lambda: next(self._talk))

    def receive(self, frame: bytes) -> list[bytes]:
        """Take the peer's next frame and return the frames to send; none once the session is over."""
        if not isinstance(self.state, Running):
            return []
        try:
            message = self._wire.open(frame)
        except KeystrandError as error:
            return self._abort(error)
        if message is None:
            return []
        if isinstance(message, Abort):
            return self._abort(PeerAborted(f"the other end aborted: {message.reason}"), tell=False)
        if isinstance(message, Without) and self._may_end:
            self._talk.close()
            self.state = self._without(message.reason)
            return []
        return self._go(lambda: self._talk.send(message))

    def lost(self, reason: str) -> None:
        """Note that nothing more will come from the peer."""
        if isinstance(self.state, Running):
            self._abort(PeerLost(reason), tell=False)

    def _go(self, step: Callable[[], list[Message]]) -> list[bytes]:
        finish: _Finish | None = None
        try:
            said = step()
        except StopIteration as end:
            said, finish = end.value
        except (KeystrandError, ValueError) as error:
            known = (
                error if isinstance(error, KeystrandError) else ProtocolFault(f"what arrived makes no sense: {error}")
            )
            return self._abort(known)
        try:
            frames = [frame for message in said for frame in self._wire.seal(message)]
        except AuthenticationKeyExhausted as error:  # what was sealed so far is never sent
            return self._abort(error, tell=False)
        if finish is not None:
            self.state = finish()
        return frames

    def _abort(self, error: KeystrandError, *, tell: bool = True) -> list[bytes]:
        frames: list[bytes] = []
        self._talk.close()
        if tell and not self._wire.closed:
            with contextlib.suppress(AuthenticationKeyExhausted):
                frames = self._wire.seal(Abort(reason=error.message[:1000]))
        self._wire.close()
        self.state = Aborted(
            error=error, in_doubt=self._in_doubt, block=self._block, authentication=self._wire.ledger()
        )
        return frames

    def _conversation(self) -> _Talk:
        raise NotImplementedError

    def _agree(self) -> Generator[list[Message], Message, None]:
        """Say hello; both ends check that they want the same."""
        own = msgspec.Raw(msgspec.msgpack.encode(self.parameters))
        theirs = expect(Hello, (yield [Hello(version=PROTOCOL_VERSION, parameters=own)]))
        if theirs.version != PROTOCOL_VERSION:
            raise ProtocolFault(f"the other end speaks version {theirs.version}, this one {PROTOCOL_VERSION}")
        try:
            parameters = msgspec.msgpack.decode(theirs.parameters, type=SessionParameters)
        except msgspec.MsgspecError as error:
            raise ProtocolFault(f"the other end's parameters cannot be read: {error}") from error
        if names := differing(self.parameters, parameters):
            raise ProtocolFault(f"the ends do not have the same {', '.join(names)}")

    def _sifted(self, key: sifting.SiftedKey, detections: int) -> None:
        counted = sifting.by_intensity(key.intensity, self._kinds)
        self._key, self._detections = _whole(counted), detections
        self._ledger = msgspec.structs.replace(
            self._ledger, sifted_bits=int(key.bits.size), shrink_bits=int(key.bits.size)
        )

    def _reconciled(self, result: Reconciled) -> None:
        """Take over the account, with the whole key's tag in it."""
        self._frames, self._failed, self._rounds = result.frames, result.failed, result.rounds
        told = result.ledger
        tag = min(self._tag_bits(), told.sifted_bits - told.leak_bits)
        self._ledger = with_key(msgspec.structs.replace(told, tag_bits=told.tag_bits + tag), final_bits=0)

    def _tag_bits(self) -> int:
        return universal_hash.tag_bits_for(self._ledger.sifted_bits, self.parameters.security.correctness)

    def _whole_tag(self, bits: Marks, point: int) -> bytes:
        return universal_hash.tag(pack(bits), bits.size, point, self._tag_bits()).to_bytes(16, "big")

    def _final_bits(self) -> int:
        """Return the length both ends find from the same counts, in whole octets."""
        counts = counts_of(self._key, self._key_errors, self._test, self._test_errors)
        return int(key_length(self.parameters, counts, self._ledger.leak_bits).length_bits) // 8 * 8

    def _check_epsilon(self, final_bits: int) -> None:
        """Raise `EpsilonExceeded`, the messages still to come counted at their largest."""
        ahead = forgery_bound(self._ledger.sifted_bits // 8 + 2**16)
        epsilon_budget(self.parameters, final_bits, self._wire.forgery + ahead).check()

    def _without(self, reason: str) -> NoKey:
        unused, account = self._closed()
        return NoKey(reason=reason, authentication=KeyOctets(unused), account=account)

    def _done(self, key: bytes, refill_bits: int) -> Done:
        self._ledger = msgspec.structs.replace(self._ledger, refill_bits=refill_bits)
        unused, account = self._closed()
        refill, rest = key[: refill_bits // 8], key[refill_bits // 8 :]
        return Done(block=self._block, key=KeyOctets(rest), authentication=KeyOctets(unused + refill), account=account)

    def _closed(self) -> tuple[bytes, Account]:
        unused, authentication = self._wire.end()
        account = Account(
            detections=self._detections,
            key=self._key, key_errors=self._key_errors, test=self._test, test_errors=self._test_errors,
            frames=self._frames, failed_frames=self._failed,
            rounds=self._rounds, messages=self._wire.messages,
            ledger=self._ledger, authentication=authentication,
            epsilon=epsilon_budget(self.parameters, self._ledger.final_bits, self._wire.forgery),
        )  # fmt: skip
        return unused, account


class Alice(_Party):
    """The end that sent the pulses, and whose bits count. She is the initiator of the authentication."""

    initiator = True

    def __init__(self, record: Sent, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy) -> None:
        _check_size(record.slot.size)
        self._record = record
        super().__init__(parameters, key, entropy)

    def _conversation(self) -> _Talk:
        yield from self._agree()
        self.state = _running("announcement")
        said = expect(Announce, (yield []))
        key, answer, bases = self._sift(said)
        self.state = _running("test counts")
        self._take_test(expect(TestCounts, (yield [_reply(answer)])), answer, bases)
        if reason := self._hopeless():
            return [Without(reason=reason)], lambda: self._without(reason)
        self.state = _running("reconciliation")
        qber = min(sum(self._test_errors) / max(sum(self._test), 1), 0.5)
        result, said_last = yield from session_cascade.alice(key.bits, self.parameters, qber, self._entropy)
        errors = expect(KeyErrors, (yield said_last)).errors
        if len(errors) != self._kinds or any(e > n for e, n in zip(errors, self._key, strict=False)):
            raise ProtocolFault("there cannot be more errors than key bits")
        self._key_errors = errors
        self._reconciled(result)
        return (yield from self._end(key.bits))

    def _end(self, bits: Marks) -> _Talk:
        """Verify, amplify and deliver, or say why there is no key."""
        length = self._final_bits()
        reason = "" if length else f"the counts prove no key beyond the {self._ledger.leak_bits} bits disclosed"
        try:
            self._check_epsilon(length)
        except EpsilonExceeded as error:
            reason = error.message
        if reason:
            return [Without(reason=reason)], lambda: self._without(reason)
        self.state = _running("confirmation")
        message, key = self._amplified(bits, length)
        self._ledger = with_key(self._ledger, final_bits=length)
        expect(Confirmed, (yield [message]))
        refill = _refill_bits(self._wire.ledger().spent_bits + 8 * KEY_OCTETS, length)
        return [Deliver(refill_bits=refill)], lambda: self._done(key, refill)

    def _amplified(self, bits: Marks, length: int) -> tuple[Amplify, bytes]:
        point, self._block = random_point(self._entropy), self._entropy(16)
        seed = random_bits(self._entropy, bits.size - 1)
        message = Amplify(
            block=self._block, point=point.to_bytes(16, "big"), tag=self._whole_tag(bits, point),
            length_bits=length, seed=pack(seed),
        )  # fmt: skip
        return message, pack(toeplitz.amplify(bits, seed, length))

    def _sift(self, said: Announce) -> tuple[sifting.SiftedKey, sifting.Reply, Marks]:
        slots = integers(said.slots, "<i8")
        bases = unpack(said.bases, slots.size)
        key, answer = sifting.reply(self._record, sifting.Announcement(slots, bases))
        self._sifted(key, slots.size)
        return key, answer, bases

    def _take_test(self, told: TestCounts, answer: sifting.Reply, bases: Marks) -> None:
        in_test = bases[answer.kept == 1] == TEST
        counted = _whole(sifting.by_intensity(answer.intensity[in_test], self._kinds))
        if told.detections != counted or told.key_bits != self._ledger.sifted_bits:
            raise ProtocolFault("the ends do not agree on how many detections were kept")
        if len(told.errors) != self._kinds or any(e > n for e, n in zip(told.errors, counted, strict=False)):
            raise ProtocolFault("there cannot be more errors than detections")
        self._test, self._test_errors = counted, told.errors

    def _hopeless(self) -> str:
        """Return why no key can come of this block even if correction cost nothing; else nothing."""
        if not sum(self._key) or not sum(self._test):
            return "nothing was detected in one of the bases"
        counts = counts_of(self._key, (0,) * self._kinds, self._test, self._test_errors)
        found = key_length(self.parameters, counts, 0)
        if found.length_bits >= 8:
            return ""
        qber = sum(self._test_errors) / sum(self._test)
        return (
            f"the counts prove no key: {-float(found.balance_bits):.0f} bits short, QBER {qber:.3f} in the test basis"
        )


class Bob(_Party):
    """The end that detected, and corrects."""

    initiator = False

    def __init__(
        self, record: Received, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy
    ) -> None:
        _check_size(record.slot.size)
        self._record = record
        super().__init__(parameters, key, entropy)

    def _conversation(self) -> _Talk:
        yield from self._agree()
        self.state = _running("reply")
        slots, bases = sifting.announce(self._record)
        answer = expect(Reply, (yield [Announce(slots=slots.astype("<i8").tobytes(), bases=pack(bases))]))
        key, counts = self._sift(answer)
        self.state, self._may_end = _running("reconciliation"), True
        plan = yield [counts]
        self._may_end = False
        result, said_last = yield from _resumed(session_cascade.bob(key.bits, self.parameters), plan)
        wrong = result.bits ^ key.bits
        self._key_errors = _whole(sifting.by_intensity(key.intensity, self._kinds, wrong))
        self._reconciled(result)
        self.state, self._may_end = _running("amplification"), True
        message = expect(Amplify, (yield [*said_last, KeyErrors(errors=self._key_errors)]))
        self._may_end = False
        made = self._amplified(result.bits, message)
        self.state, self._in_doubt = _running("delivery"), True
        refill = expect(Deliver, (yield [Confirmed()])).refill_bits
        if refill > message.length_bits or refill % REFILL_BITS:
            raise ProtocolFault("the refill does not fit the key")
        return [], lambda: self._done(made, refill)

    def _sift(self, told: Reply) -> tuple[sifting.SiftedKey, TestCounts]:
        kept = unpack(told.kept, self._record.slot.size)
        intensity = np.frombuffer(told.intensities, dtype=np.uint8)
        answer = sifting.Reply(kept, intensity, unpack(told.test_bits, told.test_count))
        coins = random_bits(self._entropy, sifting.doubles(self._record))
        key, tested = sifting.sift(self._record, answer, coins, self._kinds)
        self._sifted(key, self._record.slot.size)
        self._test, self._test_errors = _whole(tested.detections), _whole(tested.errors)
        counts = TestCounts(detections=self._test, errors=self._test_errors, key_bits=int(key.bits.size))
        return key, counts

    def _amplified(self, bits: Marks, told: Amplify) -> bytes:
        """Return the key. Raises `ProtocolFault` where the keys differ, or the ends do not find the same length."""
        if self._whole_tag(bits, int.from_bytes(told.point, "big")) != told.tag:
            raise ProtocolFault("the keys differ after correction")
        length = self._final_bits()
        if told.length_bits != length or not length:
            raise ProtocolFault(f"the other end makes a key of {told.length_bits} bits, the counts prove {length}")
        self._check_epsilon(length)
        self._block = told.block
        self._ledger = with_key(self._ledger, final_bits=length)
        return pack(toeplitz.amplify(bits, unpack(told.seed, bits.size - 1), length))


def random_bits(entropy: Entropy, count: int) -> Marks:
    """Return `count` random bits."""
    return np.unpackbits(np.frombuffer(entropy(-(-count // 8)), dtype=np.uint8))[:count]


def _resumed(talk: session_cascade.Talk, first: Message) -> session_cascade.Talk:
    """Continue `talk`, whose first answer is here already."""
    next(talk)
    said = talk.send(first)
    while True:
        try:
            said = talk.send((yield said))
        except StopIteration as end:
            result: tuple[Reconciled, list[Message]] = end.value
            return result


def _reply(answer: sifting.Reply) -> Reply:
    return Reply(
        kept=pack(answer.kept), intensities=answer.intensity.tobytes(),
        test_bits=pack(answer.test_bit), test_count=int(answer.test_bit.size),
    )  # fmt: skip


def _refill_bits(spent_bits: int, final_bits: int) -> int:
    """Return how much of the key replaces what its messages cost: all of it, or all the key there is."""
    return min(-(-spent_bits // REFILL_BITS), final_bits // REFILL_BITS) * REFILL_BITS


def _running(step: str) -> State:
    return Running(step=step)


def _whole(counts: Tally) -> tuple[int, ...]:
    return tuple(int(n) for n in counts)


def _check_size(detections: int) -> None:
    if detections > MOST_DETECTIONS:
        raise ValueError(f"a session takes {MOST_DETECTIONS} detections at most, not {detections}: shorten the run")
