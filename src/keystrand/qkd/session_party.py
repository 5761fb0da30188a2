"""What both ends of a session have in common: frames in and out, how it can end, and the account."""

import contextlib
from collections.abc import Callable, Generator
from typing import ClassVar

import msgspec

from keystrand.model.errors import KeystrandError
from keystrand.qkd import sifting, universal_hash
from keystrand.qkd.authentication import AuthenticationKeyExhausted, forgery_bound
from keystrand.qkd.detections import Marks, Tally
from keystrand.qkd.session_account import (
    Account,
    KeyLedger,
    SessionParameters,
    counts_of,
    differing,
    epsilon_budget,
    key_length,
    with_key,
)
from keystrand.qkd.session_code import Entropy
from keystrand.qkd.session_messages import (
    PROTOCOL_VERSION,
    Abort,
    Hello,
    Message,
    ProtocolFault,
    Without,
    expect,
    pack,
)
from keystrand.qkd.session_reconciliation import Reconciled
from keystrand.qkd.session_states import Aborted, Done, KeyOctets, NoKey, PeerAborted, PeerLost, Running, State
from keystrand.qkd.session_wire import Wire, pool

Finish = Callable[[], Done | NoKey]
Talk = Generator[list[Message], Message, tuple[list[Message], Finish]]


class Party:
    """One end, whichever: frames in, frames out, the account.

    `key` is overwritten if it is a bytearray; `entropy` returns so many octets of cryptographic randomness. Raises
    `ValueError` for authentication key that is no multiple of 64 octets, or a record too long for one session.
    """

    initiator: ClassVar[bool]

    def __init__(self, parameters: SessionParameters, key: bytes | bytearray, entropy: Entropy) -> None:
        self.parameters, self.state = parameters, running("hello")
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
        finish: Finish | None = None
        try:
            said = step()
        except StopIteration as end:
            said, finish = end.value
        except (KeystrandError, ValueError, msgspec.MsgspecError) as error:
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

    def _conversation(self) -> Talk:
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
        self._key, self._detections = whole(counted), detections
        self._ledger = msgspec.structs.replace(
            self._ledger, sifted_bits=int(key.bits.size), shrink_bits=int(key.bits.size)
        )

    def _reconciled(self, result: Reconciled) -> None:
        """Take over the account, with the whole key's tag in it.

        Finite keys take log2(2 / correctness) for verification besides: some 50 bits count twice, on the safe side.
        """
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


def running(step: str) -> State:
    """Return that the session goes on, waiting for `step`."""
    return Running(step=step)


def whole(counts: Tally) -> tuple[int, ...]:
    """Return counts as plain integers."""
    return tuple(int(n) for n in counts)
