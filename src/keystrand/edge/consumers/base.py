"""What every consumer of keys can do, and nothing more: four verbs that the agent calls in the order of a changeover.

A consumer is the program that protects traffic or files: a tunnel, a server, a token. What it does is told to it here
and nowhere else, so that adding one is one file. Each verb may be called again after a crash and then changes nothing.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.model.errors import InvalidInput, KeystrandError, Problem


class ConsumerFailure(KeystrandError):
    """A consumer did not do what it was told. The key it held before is untouched unless the message says otherwise."""

    id = "consumer-failure"
    http_status = 502
    default_hint = "look at the consumer's own log; the next changeover is tried with another key"


class Role(StrEnum):
    """Which end this is: the initiator takes keys and begins, the responder installs first."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class NewKey(NamedTuple):
    """A key to install. `label` says what it is made of (`qkd`, `pqc` ...); `octets` is cleared by whoever made it."""

    key_id: str
    label: str
    octets: Secret


class Proof(Struct, frozen=True, kw_only=True):
    """Whether traffic runs under the key `key_id`, and what shows it, in words for the audit.

    Installed is not in use: a proof comes from the consumer itself (a security association that names the key, a
    handshake since), never from our having asked for it.
    """

    key_id: str
    in_use: bool
    shown_by: str


class Consumer(Protocol):
    """One consumer at one end."""

    def prepare(self) -> None:
        """Make ready, what keeps traffic from leaving in clear first. Raises `ConsumerFailure`, `MissingInput`."""

    def install(self, key: NewKey) -> None:
        """Take `key` beside the one in use, which stays valid. Raises `ConsumerFailure`: nothing has changed then."""

    def prove(self, key_id: str) -> Proof:
        """Return whether traffic runs under `key_id` now. Raises `ConsumerFailure` where that cannot be told."""

    def retire(self, key_id: str) -> None:
        """Forget the key `key_id`. Where it is the last one nothing passes any more, in clear least of all.

        Raises `ConsumerFailure` where it may still be in use.
        """


Settings = Mapping[str, str | int | float | bool]
Maker = Callable[[Settings, Role], Consumer]
"""Makes a consumer of one kind from its table in the agent's file. Raises `InvalidInput` with the field."""


def unusable(field: str, message: str, hint: str = "") -> InvalidInput:
    """Return what a maker raises where a field of its settings cannot be used."""
    problem = Problem(message=message, hint=hint, field=field)
    return InvalidInput("the consumer's settings cannot be used", problems=(problem,))
