"""Where one end of a session stands, and how it can end: with a key, without one, or aborted."""

from msgspec import Struct

from keystrand.model.errors import KeystrandError, PeerUnavailable
from keystrand.qkd.authentication import Ledger
from keystrand.qkd.session_account import Account

_AGAIN = "start both ends again, with fresh authentication key and the records of a run with another seed"


class PeerLost(PeerUnavailable):
    """The other end is gone, or silent for too long."""

    default_hint = f"look at the other end's message; {_AGAIN}"


class PeerAborted(PeerUnavailable):
    """The other end gave up, and said why."""

    default_hint = f"correct what the other end complains of; {_AGAIN}"


class KeyOctets(bytearray):
    """Key, which no message shows by accident; whoever takes it overwrites it."""

    def __repr__(self) -> str:
        return f"<key of {8 * len(self)} bits>"


class Running(Struct, frozen=True, kw_only=True):
    """The session goes on; `step` says what it waits for."""

    step: str


class Done(Struct, frozen=True, kw_only=True):
    """Both ends hold the same key. `authentication` is for the next session: unused key, then the refill."""

    block: bytes
    key: KeyOctets
    authentication: KeyOctets
    account: Account


class NoKey(Struct, frozen=True, kw_only=True):
    """The block gives no key, both ends know why, and nothing went wrong. `authentication` is what was not used."""

    reason: str
    authentication: KeyOctets
    account: Account


class Aborted(Struct, frozen=True, kw_only=True):
    """Something went wrong; this end has no key, and its authentication key is overwritten.

    `in_doubt`: the other end may have delivered the key of `block`, which is then to be discarded there.
    """

    error: KeystrandError
    in_doubt: bool
    block: bytes
    authentication: Ledger

    @property
    def reason(self) -> str:
        """Return why."""
        return self.error.message


State = Running | Done | NoKey | Aborted
