"""A key policy made ready: patterns in tables, so that ten thousand entries cost no more than ten."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Generic, TypeVar

from keystrand.model.errors import InvalidInput
from keystrand.model.key import SourceKind, Strand, Strength
from keystrand.model.key_policy import (
    CryptoProfile,
    Denial,
    Effect,
    Entitlement,
    GroupRule,
    KeyPolicy,
    Quota,
    RegionException,
    Replay,
    RotationRule,
)

V = TypeVar("V")

REPLAY_WINDOW_S = {Replay.STRICT: 0.0, Replay.OPERATIONAL: 10.0}
"""Ten seconds outlast a lost answer and the client's own retries; a key of that age is hardly in use yet."""
DEFAULT_ENTRY = "default"
"""The name by which messages and tests call what holds where no entry matches."""


class NameTable(Generic[V]):
    """Values by SAE pattern. Of two values for one pattern the first stays."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self, entries: Iterable[tuple[str, V]]) -> None:
        self._exact: dict[str, V] = {}
        self._prefixes: dict[str, V] = {}
        for pattern, value in entries:
            if pattern.endswith("*"):
                self._prefixes.setdefault(pattern[:-1], value)
            else:
                self._exact.setdefault(pattern, value)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

    def find(self, name: str) -> Iterator[V]:
        """Yield the values whose pattern matches `name`, the most specific first: the name itself, then beginnings."""
        if name in self._exact:
            yield self._exact[name]
        for length in self._lengths:
            if length <= len(name) and (value := self._prefixes.get(name[:length])) is not None:
                yield value

    def first(self, name: str) -> V | None:
        """Return the most specific value for `name`, or None."""
        return next(self.find(name), None)


class PairTable(Generic[V]):
    """Values by a pair of SAE patterns; the master's counts before the slave's. Values of one pair stay in order."""

    __slots__ = ("_masters",)

    def __init__(self, entries: Iterable[tuple[str, str, V]]) -> None:
        by_master: dict[str, dict[str, list[V]]] = {}
        for master, slave, value in entries:
            by_master.setdefault(master, {}).setdefault(slave, []).append(value)
        self._masters = NameTable((master, NameTable(slaves.items())) for master, slaves in by_master.items())

    def find(self, master: str, slave: str) -> Iterator[V]:
        """Yield the values for the pair, the most specific first."""
        for slaves in self._masters.find(master):
            for values in slaves.find(slave):
                yield from values


class PolicyRules:
    """A policy that can be asked. `file` names it in messages; `revision` tells one activation from the next; `digest`
    is the SHA-256 of the file, empty where there is none.

    Raises `InvalidInput` where it names a profile that it does not define.
    """

    def __init__(self, policy: KeyPolicy, *, file: str, revision: int = 0, digest: str = "") -> None:
        self.policy, self.file, self.revision, self.digest = policy, file, revision, digest
        self.profiles: dict[str, CryptoProfile] = {profile.name: profile for profile in policy.profiles}
        self.replay_window_s = REPLAY_WINDOW_S[policy.replay]
        self._allows = PairTable(_directions(sorted(policy.allows, key=lambda entry: not entry.links)))
        self._denies = PairTable(_directions(policy.denies))
        self._rotations = PairTable(_directions(policy.rotations))
        self._quotas = NameTable((quota.sae, quota) for quota in policy.quotas)
        self._groups = NameTable((rule.sae, rule.post_quantum_group) for rule in policy.transports)
        self._exceptions: dict[str, list[tuple[RegionException, float]]] = {}
        for entry in policy.region_exceptions:
            self._exceptions.setdefault(entry.profile, []).append((entry, _start_of(entry)))
        self._default: Entitlement | None = None
        if policy.default is Effect.ALLOW:
            profiles = policy.default_profiles
            self._default = Entitlement(id=DEFAULT_ENTRY, master="*", slave="*", profiles=profiles)
        self._demand_profiles()

    def _demand_profiles(self) -> None:
        named = [name for entry in self.policy.allows for name in entry.profiles]
        named += [profile.exhaustion.degrade_to for profile in self.policy.profiles if profile.exhaustion.degrade_to]
        named += self.policy.default_profiles
        if unknown := sorted(set(named) - set(self.profiles)):
            raise InvalidInput(f"{self.file}: no profile has the name {', '.join(unknown)}")

    def entitlement(self, master: str, slave: str, link: str) -> Entitlement | None:
        """Return the most specific entry that lets `master` take keys for `slave` over `link`, or the default's."""
        for entry in self._allows.find(master, slave):
            if not entry.links or link in entry.links:
                return entry
        return self._default

    def denials(self, master: str, slave: str, link: str) -> Iterator[Denial]:
        """Yield every denial that holds for the pair on `link`: one is enough, however specific an allowance is."""
        return (entry for entry in self._denies.find(master, slave) if not entry.links or link in entry.links)

    def exceptions(self, profile: str, regions: frozenset[str], link: str) -> Iterator[tuple[RegionException, float]]:
        """Yield the exceptions that let `profile` over such a link, each with the end of its validity (epoch s)."""
        for entry, ends_at in self._exceptions.get(profile, ()):
            if set(entry.regions) == regions and (not entry.links or link in entry.links):
                yield entry, ends_at

    def quota(self, sae: str) -> Quota | None:
        """Return the quota of `sae`, None where nothing limits it."""
        return self._quotas.first(sae)

    def requires_post_quantum_group(self, sae: str) -> bool:
        """Return whether a connection of `sae` must have a post-quantum key exchange group."""
        return (self._groups.first(sae) or self.policy.post_quantum_group) is GroupRule.REQUIRED

    def rotation(self, master: str, slave: str) -> RotationRule | None:
        """Return the rotation rule of the pair, None where there is none."""
        return next(self._rotations.find(master, slave), None)


_P = TypeVar("_P", Entitlement, Denial, RotationRule)


def _directions(entries: Iterable[_P]) -> Iterator[tuple[str, str, _P]]:
    for entry in entries:
        yield entry.master, entry.slave, entry
        if entry.both_ways and entry.master != entry.slave:
            yield entry.slave, entry.master, entry


def _start_of(entry: RegionException) -> float:
    """Return when the day on which the exception expires begins, in seconds since the epoch."""
    return datetime(entry.expires.year, entry.expires.month, entry.expires.day, tzinfo=UTC).timestamp()


def _raw(name: str, strength: Strength) -> CryptoProfile:
    strands = (Strand(source=SourceKind.QKD, strength=strength),)
    return CryptoProfile(name=name, strands=strands, result=strength, regions=("any",))


BUILT_IN = PolicyRules(
    KeyPolicy(
        name="built-in",
        default=Effect.ALLOW,
        default_profiles=("qkd", "qkd-simulated"),
        profiles=(_raw("qkd", Strength.INFORMATION_THEORETIC), _raw("qkd-simulated", Strength.SIMULATED)),
    ),
    file="built-in policy",
)
"""What holds where no policy file is configured: any associated pair may take the QKD link's own bits, under the label
that the link gives them; nothing takes their place when they run out."""
