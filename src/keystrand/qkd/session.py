"""Alice and Bob of a QKD post-processing session: from each end's own record to one authenticated key, by messages.

Neither end does input or output: `start` and `receive` return the frames to send, `state` says where it stands.
Sifting, counting of the test basis, reconciliation, verification, the finite key's length, amplification, delivery.

What is promised. Before Bob confirms, nobody has a key. Alice delivers when Bob's confirmation has arrived, Bob when
Alice's last message has. Where anything but that last message reaches Bob then, or nothing, Alice may have delivered,
and he cannot know (no protocol spares both ends this): he ends `Aborted` with `in_doubt`, withholds the key and names
the block, so that it can be discarded at Alice's. In every other case one end aborted means that both have no key.
"""

import numpy as np

from keystrand.qkd import session_reconciliation, sifting, toeplitz
from keystrand.qkd.authentication import KEY_OCTETS
from keystrand.qkd.bb84_link import TEST
from keystrand.qkd.detections import Marks, Received, Sent
from keystrand.qkd.session_account import (
    EpsilonExceeded,
    SessionParameters,
    counts_of,
    key_length,
    with_key,
)
from keystrand.qkd.session_code import Entropy
from keystrand.qkd.session_messages import (
    MOST_DETECTIONS,
    Amplify,
    Announce,
    Confirmed,
    Deliver,
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
from keystrand.qkd.session_party import Party, Talk, running, whole
from keystrand.qkd.session_reconciliation import Reconciled, random_point

REFILL_BITS = 2 * 8 * KEY_OCTETS
"""Authentication key comes in such portions, half for each direction."""


class Alice(Party):
    """The end that sent the pulses, and whose bits count. She is the initiator of the authentication."""

    initiator = True

    def __init__(self, record: Sent, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy) -> None:
        _check_size(record.slot.size)
        self._record = record
        super().__init__(parameters, key, entropy)

    def _conversation(self) -> Talk:
        yield from self._agree()
        self.state = running("announcement")
        said = expect(Announce, (yield []))
        key, answer, bases = self._sift(said)
        self.state = running("test counts")
        self._take_test(expect(TestCounts, (yield [_reply(answer)])), answer, bases)
        if reason := self._hopeless():
            return [Without(reason=reason)], lambda: self._without(reason)
        self.state = running("reconciliation")
        wrong = sum(self._test_errors)
        # one deviation above what was seen: an estimate too low costs Cascade little, but LDPC a frame
        qber = min((wrong + (wrong + 1) ** 0.5) / sum(self._test), 0.5)
        result, said_last = yield from session_reconciliation.alice(key.bits, self.parameters, qber, self._entropy)
        errors = expect(KeyErrors, (yield said_last)).errors
        if len(errors) != self._kinds or any(e > n for e, n in zip(errors, self._key, strict=False)):
            raise ProtocolFault("there cannot be more errors than key bits")
        self._key_errors = errors
        self._reconciled(result)
        return (yield from self._end(key.bits))

    def _end(self, bits: Marks) -> Talk:
        """Verify, amplify and deliver, or say why there is no key."""
        length = self._final_bits()
        reason = "" if length else f"the counts prove no key beyond the {self._ledger.leak_bits} bits disclosed"
        try:
            self._check_epsilon(length)
        except EpsilonExceeded as error:
            reason = error.message
        if reason:
            return [Without(reason=reason)], lambda: self._without(reason)
        self.state = running("confirmation")
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
        counted = whole(sifting.by_intensity(answer.intensity[in_test], self._kinds))
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
            f"the counts prove no key even before correction: {-float(found.balance_bits):.0f} bits short, "
            f"QBER {qber:.3f} in the test basis"
        )


class Bob(Party):
    """The end that detected, and corrects."""

    initiator = False

    def __init__(
        self, record: Received, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy
    ) -> None:
        _check_size(record.slot.size)
        self._record = record
        super().__init__(parameters, key, entropy)

    def _conversation(self) -> Talk:
        yield from self._agree()
        self.state = running("reply")
        slots, bases = sifting.announce(self._record)
        answer = expect(Reply, (yield [Announce(slots=slots.astype("<i8").tobytes(), bases=pack(bases))]))
        key, counts = self._sift(answer)
        self.state, self._may_end = running("reconciliation"), True
        plan = yield [counts]
        self._may_end = False
        result, said_last = yield from _resumed(session_reconciliation.bob(key.bits, self.parameters), plan)
        wrong = result.bits ^ key.bits
        self._key_errors = whole(sifting.by_intensity(key.intensity, self._kinds, wrong))
        self._reconciled(result)
        self.state, self._may_end = running("amplification"), True
        message = expect(Amplify, (yield [*said_last, KeyErrors(errors=self._key_errors)]))
        self._may_end = False
        made = self._amplified(result.bits, message)
        self.state, self._in_doubt = running("delivery"), True
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
        self._test, self._test_errors = whole(tested.detections), whole(tested.errors)
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


def _resumed(talk: session_reconciliation.Talk, first: Message) -> session_reconciliation.Talk:
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


def _check_size(detections: int) -> None:
    if detections > MOST_DETECTIONS:
        raise ValueError(f"a session takes {MOST_DETECTIONS} detections at most, not {detections}: shorten the run")
