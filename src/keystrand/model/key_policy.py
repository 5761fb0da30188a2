"""A key policy as data: which SAEs may take which keys, how many, and what happens when there are none."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from keystrand.model.key import RouteType, SourceKind, Strand, Strength, strength_of
from keystrand.model.units import Identifier

SaeId = Annotated[str, Meta(min_length=1, max_length=128, description="an SAE ID")]
SaePattern = Annotated[
    str,
    Meta(min_length=1, max_length=129, pattern=r"^[^*]*\*?\Z", description="an SAE ID, or its beginning with * last"),
]
Reason = Annotated[str, Meta(min_length=1, max_length=400)]
Seconds = Annotated[float, Meta(gt=0, le=31_622_400, description="seconds, a year at most")]
WaitSeconds = Annotated[float, Meta(gt=0, le=300, description="seconds, five minutes at most: a caller is waiting")]
PerSecond = Annotated[float, Meta(gt=0, le=1e12, description="each second")]
Positive = Annotated[int, Meta(ge=1, le=1 << 50)]
KeyBits = Annotated[int, Meta(ge=8, le=1 << 20, multiple_of=8, description="bits, a multiple of 8")]
Links = tuple[Identifier, ...]

ANY_REGION = "any"
"""Alone in a profile's `regions`: its keys may come over any link, whatever tags it carries."""


class _Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every table refuses keys it does not know."""


class Effect(StrEnum):
    """What holds where no entry matches."""

    ALLOW = "allow"
    DENY = "deny"


class Replay(StrEnum):
    """Whether an SAE whose answer got lost may fetch the same keys again: never, or for ten seconds."""

    STRICT = "strict"
    OPERATIONAL = "operational"


class GroupRule(StrEnum):
    """Whether an SAE's connection must have a post-quantum key exchange group."""

    REQUIRED = "required"
    PREFERRED = "preferred"


class ExhaustionMode(StrEnum):
    """What happens when a profile's keys run out."""

    FAIL = "fail"
    WAIT = "wait"
    DEGRADE = "degrade"


class Exhaustion(_Entry, frozen=True, kw_only=True):
    """What to do when the keys of a profile run out, and when they count as back.

    `wait`: requests wait up to `wait_s` from the moment they ran out. `degrade`: `degrade_to` takes their place for
    `max_duration_s` at most; after that nothing is given. Either ends once the stock is back at `recover_bits`.
    """

    mode: ExhaustionMode = ExhaustionMode.FAIL
    wait_s: WaitSeconds | None = None
    degrade_to: Identifier | None = None
    max_duration_s: Seconds | None = None
    recover_bits: Positive = 25_600

    def __post_init__(self) -> None:
        needs = _NEEDS[self.mode]
        for name in ("wait_s", "degrade_to", "max_duration_s"):
            given = getattr(self, name) is not None
            if given != (name in needs):
                raise ValueError(f'mode = "{self.mode}" {"has no" if given else "needs"} {name}')


_NEEDS = {
    ExhaustionMode.FAIL: (),
    ExhaustionMode.WAIT: ("wait_s",),
    ExhaustionMode.DEGRADE: ("degrade_to", "max_duration_s"),
}
FAIL = Exhaustion()


class CryptoProfile(_Entry, frozen=True, kw_only=True):
    """A kind of key: the strands it is made from, in their order, and what may be said of it.

    `result` is what the author believes to get, and is checked. `regions` must equal the tags of the link. `max_age_s`
    bounds the age of its bits; `route` the way they came.
    """

    name: Identifier
    strands: Annotated[tuple[Strand, ...], Meta(min_length=1, max_length=len(SourceKind))]
    result: Strength
    regions: tuple[Identifier, ...] = ()
    max_age_s: Seconds | None = None
    route: RouteType | None = None
    exhaustion: Exhaustion = FAIL

    def __post_init__(self) -> None:
        if len({strand.source for strand in self.strands}) < len(self.strands):
            raise ValueError("a source can be one strand only")
        if self.result is not (true := strength_of(self.strands)):
            raise ValueError(f'these strands give {true}, not {self.result}: write result = "{true}"')
        if ANY_REGION in self.regions and len(self.regions) > 1:
            raise ValueError(f'"{ANY_REGION}" must stand alone in regions')

    @property
    def combined(self) -> bool:
        """Whether its keys come out of the key derivation; otherwise they are the strand's own bits."""
        return len(self.strands) > 1

    @property
    def label(self) -> str:
        """What is said of its keys wherever they are named: `hybrid(qkd:information-theoretic+pqc:post-quantum)`."""
        strands = "+".join(map(str, self.strands))
        return f"hybrid({strands})" if self.combined else strands


class Entitlement(_Entry, frozen=True, kw_only=True):
    """Who may take which profiles, the preferred one first. `links` empty: any."""

    id: Identifier
    master: SaePattern
    slave: SaePattern
    profiles: Annotated[tuple[Identifier, ...], Meta(min_length=1)]
    both_ways: bool = False
    links: Links = ()


class Denial(_Entry, frozen=True, kw_only=True):
    """Who may not, whatever an entitlement says. Without `sources` and `profiles`: nothing at all."""

    id: Identifier
    reason: Reason
    master: SaePattern = "*"
    slave: SaePattern = "*"
    both_ways: bool = True
    links: Links = ()
    sources: tuple[SourceKind, ...] = ()
    profiles: tuple[Identifier, ...] = ()


class RegionException(_Entry, frozen=True, kw_only=True):
    """Lets a profile use links that carry exactly `regions`, until the day `expires` begins (UTC)."""

    id: Identifier
    profile: Identifier
    regions: tuple[Identifier, ...]
    owner: Reason
    reason: Reason
    expires: date
    links: Links = ()


class Quota(_Entry, frozen=True, kw_only=True):
    """How much each SAE may take: a bucket of `burst_*` that refills at `*_per_s`. Bits of pools, requests, or both."""

    id: Identifier
    sae: SaePattern
    burst_bits: Positive | None = None
    bits_per_s: PerSecond | None = None
    burst_requests: Positive | None = None
    requests_per_s: PerSecond | None = None

    def __post_init__(self) -> None:
        for burst, rate in (("burst_bits", "bits_per_s"), ("burst_requests", "requests_per_s")):
            if (getattr(self, burst) is None) != (getattr(self, rate) is None):
                raise ValueError(f"{burst} and {rate} belong together")
        if self.burst_bits is None and self.burst_requests is None:
            raise ValueError("limits nothing: give burst_bits and bits_per_s, or burst_requests and requests_per_s")


class TransportRule(_Entry, frozen=True, kw_only=True):
    """What key exchange the connections of these SAEs must have."""

    id: Identifier
    sae: SaePattern
    post_quantum_group: GroupRule


class RotationRule(_Entry, frozen=True, kw_only=True):
    """How long, and for how many deliveries, a pair may go on before it must take a new key."""

    id: Identifier
    master: SaePattern
    slave: SaePattern
    both_ways: bool = True
    max_age_s: Seconds | None = None
    max_keys: Positive | None = None

    def __post_init__(self) -> None:
        if self.max_age_s is None and self.max_keys is None:
            raise ValueError("limits nothing: give max_age_s, max_keys, or both")


class Outcome(StrEnum):
    """What a request comes to: allowed, denied by the policy, or allowed but not with what it demands."""

    ALLOW = "allow"
    DENY = "deny"
    UNMET = "unmet"


class Case(_Entry, frozen=True, kw_only=True):
    """One request and what must come of it; run by `keystrand policy test`. `on`: the day, today where left out.

    `wants`, `min_strength`, `route` and `max_age_s` are what the request demands; `offers` what the link's sources
    deliver. `profile`, `fallback`, `exception` and `entry` are compared where they are given.
    """

    name: Reason
    master: SaeId
    slave: SaeId
    expect: Outcome
    additional_slaves: tuple[SaeId, ...] = ()
    link: str = ""
    regions: tuple[Identifier, ...] = ()
    offers: tuple[Strand, ...] = ()
    on: date | None = None
    size: KeyBits = 256
    wants: Identifier | None = None
    min_strength: Strength | None = None
    route: RouteType | None = None
    max_age_s: Seconds | None = None
    profile: Identifier | None = None
    fallback: tuple[Identifier, ...] | None = None
    exception: Identifier | None = None
    entry: Identifier | None = None

    def __post_init__(self) -> None:
        allowed = self.profile is not None or self.fallback is not None or self.exception is not None
        if self.expect is not Outcome.ALLOW and allowed:
            raise ValueError(f'expect = "{self.expect}" leaves no profile, fallback or exception')


class KeyPolicy(_Entry, frozen=True, kw_only=True):
    """A whole policy. `default` holds where no entry matches; `default_profiles` are what it then allows."""

    name: Identifier
    default: Effect
    owner: str = ""
    default_profiles: tuple[Identifier, ...] = ()
    replay: Replay = Replay.OPERATIONAL
    post_quantum_group: GroupRule = GroupRule.PREFERRED
    profiles: Annotated[tuple[CryptoProfile, ...], Meta(min_length=1)] = field(name="profile")
    allows: tuple[Entitlement, ...] = field(name="allow", default=())
    denies: tuple[Denial, ...] = field(name="deny", default=())
    region_exceptions: tuple[RegionException, ...] = field(name="region_exception", default=())
    quotas: tuple[Quota, ...] = field(name="quota", default=())
    transports: tuple[TransportRule, ...] = field(name="transport", default=())
    rotations: tuple[RotationRule, ...] = field(name="rotation", default=())
    tests: tuple[Case, ...] = field(name="test", default=())
