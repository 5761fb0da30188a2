"""What an agent knows of one consumer, and what it asks its edge to do: values without a key byte in them."""

from enum import StrEnum

from msgspec import Struct

from keystrand.model.errors import InvalidInput

RECENT = 64
"""So many key IDs are remembered besides the number of the latest offer, which alone refuses every replay."""


class Pace(Struct, frozen=True, kw_only=True):
    """A consumer's times in seconds. `wait_s`: for a KME, the peer or the consumer to answer.

    `prove_within_s`: for traffic to run under a new key. After a failure the next try comes after `retry_s`, then twice
    as long each time, `retry_most_s` at most. Raises `InvalidInput`.
    """

    rotate_every_s: float
    wait_s: float = 10.0
    prove_within_s: float = 30.0
    prove_every_s: float = 0.2
    retry_s: float = 1.0
    retry_most_s: float = 30.0

    def __post_init__(self) -> None:
        if min(self.rotate_every_s, self.wait_s, self.prove_within_s, self.prove_every_s, self.retry_s) <= 0:
            raise InvalidInput("every time of a consumer must be above 0")
        if self.retry_most_s < self.retry_s:
            raise InvalidInput("retry_most_s is below retry_s", hint="make it as long or longer")

    def after(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        return min(self.retry_most_s, self.retry_s * 2.0 ** min(failures - 1, 30))


class Note(Struct, frozen=True, kw_only=True):
    """What is remembered of a key. `label`: what it is made of. `substitute`: it stands in for one from quantum links.

    `born_s`: when it was fetched, in the clock of `now`.
    """

    key_id: str
    label: str
    born_s: float
    substitute: bool = False


class Memory(Struct, frozen=True, kw_only=True):
    """What survives a crash. `held`: the keys that the consumer may hold, the newest last; `doomed`: those it must not.

    `number`: of the latest offer made or heard. `proven`: the key in use by the latest proof, at `proved_s`;
    `substitutes_since_s`: when the first post-quantum key after the latest one from quantum links was proven.
    `changeovers` and `failures` count since the journal began. `stock`: the keys that the KME had left when last asked.
    """

    state: str = "settled"
    began: str = "settled"
    number: int = 0
    recent: tuple[str, ...] = ()
    held: tuple[Note, ...] = ()
    doomed: tuple[str, ...] = ()
    proven: Note | None = None
    proved_s: float | None = None
    substitutes_since_s: float | None = None
    trouble: str = ""
    changeovers: int = 0
    failures: int = 0
    stock: int | None = None


class Verb(StrEnum):
    """What the edge is asked to do for a consumer; each is answered by the event that its comment names."""

    TAKE = "take"  # Taken or NoKey
    AGREE = "agree"  # Taken or NoKey: a key by ML-KEM with the peer
    OFFER = "offer"  # the peer's Confirmed or Refused
    TELL_INSTALL = "tell-install"  # the peer's PeerInstalled
    INSTALL = "install"  # Installed, Failed
    PROVE = "prove"  # Proved
    TELL_PROVEN = "tell-proven"
    FETCH = "fetch"  # Matched, Unmatched
    CONFIRM = "confirm"
    REFUSE = "refuse"
    SAY_INSTALLED = "say-installed"
    WANT = "want"  # ask the initiator to begin
    DESTROY = "destroy"
    RETIRE = "retire"  # Retired, NotRetired


class Do(Struct, frozen=True, kw_only=True):
    """One thing to do, for the key `key_id`; `label` and `why` where they mean something."""

    verb: Verb
    key_id: str = ""
    label: str = ""
    why: str = ""


class Save(Struct, frozen=True, kw_only=True):
    """Have this on the disk before anything that follows."""

    memory: Memory


class Tell(Struct, frozen=True, kw_only=True):
    """Have this in the audit before anything that follows. `detail`: words by name."""

    action: str
    detail: dict[str, str | float]


Action = Do | Save | Tell


class Heard(StrEnum):
    """What the edge reports back, or the peer says."""

    TAKEN = "taken"
    NO_KEY = "no key"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    PEER_INSTALLED = "peer installed"
    INSTALLED = "installed"
    PROVED = "proved"
    NOT_PROVED = "not proved"
    FAILED = "failed"
    MATCHED = "matched"
    UNMATCHED = "unmatched"
    OFFERED = "offered"
    TOLD_TO_INSTALL = "told to install"
    PEER_PROVED = "peer proved"
    WANTED = "wanted"
    RETIRED = "retired"
    NOT_RETIRED = "not retired"
    STOCK = "stock"


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a consumer's key `key_id`. `number`, `label`, `substitute` come with an offer or key.

    With `STOCK` the `number` is that of the keys that the KME has left.
    `why`: what went wrong, or what shows a proof, in words.
    """

    heard: Heard
    key_id: str = ""
    label: str = ""
    substitute: bool = False
    number: int = 0
    why: str = ""
