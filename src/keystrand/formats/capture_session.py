"""What a dissector makes of one conversation, whatever its protocol."""

from typing import NamedTuple, Protocol

from keystrand.model.algorithm import Function
from keystrand.model.observation import PublicKey


class Use(NamedTuple):
    """An algorithm by its canonical name, what it does there, and its value on the wire."""

    function: Function
    algorithm: str
    code_point: str = ""


class Session(NamedTuple):
    """One conversation.

    `exchange` is how its key was established, None where that was not seen; `uses` is all that was agreed, the exchange
    included; `offers` what the client proposed. `client_first`: the side that spoke first in the dissector's counting
    is the client; None where it could not be told. `offered_post_quantum`: the client sent what it takes.
    """

    protocol: str
    version: str = ""
    software: str = ""
    exchange: Use | None = None
    uses: tuple[Use, ...] = ()
    offers: tuple[Use, ...] = ()
    certificates: tuple[bytes, ...] = ()
    client_certificates: tuple[bytes, ...] = ()
    keys: tuple[PublicKey, ...] = ()
    client_first: bool | None = None
    offered_post_quantum: bool = False
    carried_by: str = ""


class Dissector(Protocol):
    """Reads one conversation as it comes. `take` returns whether all has been seen, and never raises."""

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take the next octets of a stream, or a datagram, of the side that was seen first or of the other."""

    def session(self) -> Session | None:
        """Return what was seen, None where it is nothing known."""
