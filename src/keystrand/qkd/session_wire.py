"""Messages as sealed frames: each message is cut into pieces of bounded size, each piece sealed by one-time key."""

from keystrand.qkd.authentication import AuthenticationPool, Ledger, MessageRefused, forgery_bound
from keystrand.qkd.session_messages import MOST_OCTETS, Message, decode, encode

CONTEXT = b"keystrand qkd session 1"
PIECE_OCTETS = 2**20
FRAME_OCTETS = PIECE_OCTETS + 64
"""The most a frame has: a piece with its first octet, 16 octets of header and 16 of tag; the rest is to spare."""
FIRST_OCTETS = 2**16
"""The most the first frame has: a hello."""
MOST_STRANGERS = 1000
"""So many connections a listener looks at before it gives up: each may hold a forged hello."""
_MORE, _LAST = b"\x01", b"\x00"


class Wire:
    """One end's sealed frames: what goes out, what comes in, and the sum of the probabilities that one was forged."""

    def __init__(self, pool: AuthenticationPool) -> None:
        self._pool = pool
        self._parts: list[bytes] = []
        self._octets = 0
        self.forgery = MOST_STRANGERS * forgery_bound(FIRST_OCTETS, len(CONTEXT))
        self.messages = 0

    @property
    def closed(self) -> bool:
        """Whether nothing can be said any more."""
        return self._pool.closed

    def seal(self, message: Message) -> list[bytes]:
        """Return the frames of a message. Raises `AuthenticationKeyExhausted`, `MessageRefused` once closed."""
        body = encode(message)
        pieces = [body[at : at + PIECE_OCTETS] for at in range(0, len(body), PIECE_OCTETS)]
        self.messages += 1
        marks = [_MORE] * (len(pieces) - 1) + [_LAST]
        return [self._sealed(mark + piece) for mark, piece in zip(marks, pieces, strict=True)]

    def open(self, frame: bytes) -> Message | None:
        """Return the message that `frame` completes, or None while more is to come.

        Raises `MessageRefused` for a frame that is not the peer's next; `ProtocolFault` for what is no message.
        """
        if len(frame) > FRAME_OCTETS:
            self._pool.close()
            raise MessageRefused("a frame is longer than any this protocol has")
        piece = self._pool.open(frame)
        self.forgery += forgery_bound(len(piece), len(CONTEXT))
        self._octets += len(piece)
        if self._octets > MOST_OCTETS + 2**16 or piece[:1] not in {_MORE, _LAST}:
            self._pool.close()
            raise MessageRefused("a message is longer than any this protocol has, or no piece of one")
        self._parts.append(piece[1:])
        if piece[:1] == _MORE:
            return None
        body, self._parts, self._octets = b"".join(self._parts), [], 0
        self.messages += 1
        return decode(body)

    def recognises(self, frame: bytes) -> bool:
        """Return whether `frame` is the peer's next, without spending key on it."""
        return self._pool.recognises(frame)

    def ledger(self) -> Ledger:
        """Return the account of the authentication key so far."""
        return self._pool.ledger()

    def end(self) -> tuple[bytes, Ledger]:
        """Close after a clean end; return the key never used and the account with that key among what is left."""
        unused = self._pool.withdraw()
        after = self._pool.ledger()
        bits = 8 * len(unused)
        return unused, Ledger(
            put_in_bits=after.put_in_bits + bits,
            spent_bits=after.spent_bits,
            discarded_bits=after.discarded_bits,
            left_bits=bits,
        )

    def close(self) -> None:
        """Overwrite the key that is left."""
        self._pool.close()

    def _sealed(self, piece: bytes) -> bytes:
        self.forgery += forgery_bound(len(piece), len(CONTEXT))
        return self._pool.seal(piece)


def pool(key: bytes | bytearray, *, initiator: bool) -> AuthenticationPool:
    """Return a pool for one session, filled with pre-shared key; a bytearray is overwritten.

    Raises `ValueError` for a length that is no multiple of 64 octets.
    """
    made = AuthenticationPool(initiator=initiator, context=CONTEXT)
    made.put(key)
    return made
