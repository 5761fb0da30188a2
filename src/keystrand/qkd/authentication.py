"""Authentication of the public channel by one-time Poly1305 keys: information-theoretic, and paid for in key.

Each message takes a fresh r and s, 256 bits of key that is used for nothing else, so no cipher and no assumption is
left in it. Bound as commonly cited, its derivation not checked here. For truly uniform keys a changed message of L
octets is accepted with probability at most 8 ceil(L / 16) / 2^106 (D. Bernstein, "The Poly1305-AES message-
authentication code", FSE 2005; one-time keys: RFC 8439, 2.5). L counts context, header and the longer of the two
messages. Key that is only epsilon-close to uniform adds its epsilon. The pool takes one attempt a key and then
closes, so the bounds of the messages add up and no more, but for what `recognises` was asked.

Each direction has its own half of the key: both ends may speak at once and never share a mask. The header, which the
tag covers, holds the sequence number and how many messages of the peer were accepted before: with the order kept in
each direction, that binds the transcript without a computational hash.
"""

import hmac
import struct

from cryptography.hazmat.primitives.poly1305 import Poly1305
from msgspec import Struct

from keystrand.model.errors import NoKeyAvailable, PeerUnavailable

KEY_OCTETS = 32
"""r (16 octets, of which RFC 8439 clears 22 bits) and s (16 octets)."""
TAG_OCTETS = 16
_HEADER = struct.Struct(">QQ")


class AuthenticationKeyExhausted(NoKeyAvailable):
    """No key is left to authenticate with; a message is never sent or taken without."""

    default_hint = "put new key into the authentication pool of both ends"


class MessageRefused(PeerUnavailable):
    """A message was not what the peer sent next, or came after such a one; the pool is closed for good."""

    default_hint = "somebody may be altering the channel: start a new session with fresh authentication key"


class Ledger(Struct, frozen=True, kw_only=True):
    """Where the key went, in bits: put in = spent + discarded + left, always."""

    put_in_bits: int
    spent_bits: int
    discarded_bits: int
    left_bits: int


class _OneTimeKeys:
    """The keys of one direction, oldest first; each leaves the store before it is used, and is overwritten after."""

    def __init__(self) -> None:
        self._keys: list[bytearray] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, material: memoryview) -> None:
        self._keys += [bytearray(material[at : at + KEY_OCTETS]) for at in range(0, len(material), KEY_OCTETS)]

    def first(self) -> bytearray | None:
        return self._keys[0] if self._keys else None

    def take(self) -> bytearray:
        return self._keys.pop(0)

    def discard(self) -> int:
        count = len(self._keys)
        while self._keys:
            _clear(self._keys.pop())
        return count


class AuthenticationPool:
    """One end of an authenticated channel; exactly one end is the `initiator`. Not safe to call from two threads.

    `context` names the session; both ends give the same. Clearing is best effort: a library's copies stay until freed.
    """

    def __init__(self, *, initiator: bool, context: bytes = b"") -> None:
        self._initiator = initiator
        self._context = context
        self._sending, self._receiving = _OneTimeKeys(), _OneTimeKeys()
        self._sent = self._accepted = self._acknowledged = 0
        self._put_in = self._spent = self._discarded = 0
        self.closed = False

    def put(self, key: bytes | bytearray | memoryview) -> None:
        """Add secret key, the same in the same order at both ends: first half initiator to responder, second half back.

        A bytearray given is overwritten. Raises `ValueError` unless the length is a multiple of 64 octets.
        """
        self._refuse_if_closed()
        view = memoryview(key).cast("B")
        if not len(view) or len(view) % (2 * KEY_OCTETS):
            raise ValueError(f"key comes in multiples of {2 * KEY_OCTETS} octets, half for each direction")
        first, second = (self._sending, self._receiving) if self._initiator else (self._receiving, self._sending)
        first.add(view[: len(view) // 2])
        second.add(view[len(view) // 2 :])
        self._put_in += len(view) // KEY_OCTETS
        if isinstance(key, bytearray):
            _clear(key)

    def seal(self, message: bytes) -> bytes:
        """Return header, message and tag to send. Raises `AuthenticationKeyExhausted`, `MessageRefused` once closed."""
        self._refuse_if_closed()
        body = _HEADER.pack(self._sent, self._accepted) + message
        made = self._tag(self._sending, body, from_initiator=self._initiator)
        self._sent += 1
        return body + made

    def open(self, frame: bytes) -> bytes:
        """Return the message of the peer's next frame.

        Raises `MessageRefused` for any other frame, then for ever; `AuthenticationKeyExhausted` with nothing changed.
        """
        self._refuse_if_closed()
        body, given = frame[:-TAG_OCTETS], frame[-TAG_OCTETS:]
        expected = self._tag(self._receiving, body, from_initiator=not self._initiator)
        genuine = hmac.compare_digest(expected, given)
        if not genuine or len(body) < _HEADER.size or not self._is_next(body):
            self.close()
            raise MessageRefused("a message was altered, replayed, reordered or cut: nothing more is accepted")
        self._accepted += 1
        return body[_HEADER.size :]

    def recognises(self, frame: bytes) -> bool:
        """Return whether `frame` has the tag of the peer's next; nothing is spent.

        So strangers can be told from the peer before any key is at stake. Each call is one more attempt to forge with
        the same key, and adds its `forgery_bound`: let there be few.
        """
        key = self._receiving.first()
        body, given = frame[:-TAG_OCTETS], frame[-TAG_OCTETS:]
        text = _prefix(self._context, from_initiator=not self._initiator) + body
        return key is not None and hmac.compare_digest(Poly1305.generate_tag(key, text), given)

    def close(self) -> None:
        """Overwrite the key that is left; nothing is sealed or accepted any more."""
        self.closed = True
        self._discarded += self._sending.discard() + self._receiving.discard()

    def withdraw(self) -> bytes:
        """Close the pool and return the key that was never used, as `put` takes it: equal at both ends after equal use.

        What one direction has left beyond the other is discarded. The key is no longer among what was put in.
        """
        self._refuse_if_closed()
        forth, back = (self._sending, self._receiving) if self._initiator else (self._receiving, self._sending)
        both = min(len(forth), len(back))
        taken = [[bytes(keys.take()) for _ in range(both)] for keys in (forth, back)]
        self._put_in -= 2 * both
        self.close()
        return b"".join(taken[0] + taken[1])

    def ledger(self) -> Ledger:
        """Return the account of all key that was ever put in."""
        bits = 8 * KEY_OCTETS
        return Ledger(
            put_in_bits=self._put_in * bits,
            spent_bits=self._spent * bits,
            discarded_bits=self._discarded * bits,
            left_bits=(len(self._sending) + len(self._receiving)) * bits,
        )

    def _is_next(self, body: bytes) -> bool:
        sequence, acknowledged = _HEADER.unpack_from(body)
        if sequence != self._accepted or not self._acknowledged <= acknowledged <= self._sent:
            return False
        self._acknowledged = acknowledged
        return True

    def _tag(self, keys: _OneTimeKeys, body: bytes, *, from_initiator: bool) -> bytes:
        if not len(keys):
            raise AuthenticationKeyExhausted("no authentication key is left in this direction")
        # spent before it is used: whatever fails below, this mask is never taken again
        key = keys.take()
        self._spent += 1
        try:
            return Poly1305.generate_tag(key, _prefix(self._context, from_initiator=from_initiator) + body)
        finally:
            _clear(key)

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise MessageRefused("this authentication pool is closed")


def forgery_bound(message_octets: int, context_octets: int = 0) -> float:
    """Return the largest probability that a false frame of up to `message_octets` is accepted."""
    covered = len(_prefix(b"", from_initiator=True)) + context_octets + _HEADER.size + message_octets
    return min(1.0, 8 * -(-covered // 16) / 2.0**106)


def _prefix(context: bytes, *, from_initiator: bool) -> bytes:
    """Return direction and context; the length ahead keeps the context apart from what follows."""
    return struct.pack(">BQ", from_initiator, len(context)) + context


def _clear(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))
