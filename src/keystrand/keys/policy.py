"""What a policy decides of one request, on values alone.

A denial wins over every entitlement. Of the entitlements the most specific counts; where none matches, the default.
Then the profiles it names are tried in their order, and the first that nothing speaks against is permitted. One thing
ends the search: where a link delivers bits under another label than declared, no other kind of key takes their place.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from keystrand.crypto.combiner import COMBINED_BITS_MOST
from keystrand.formats.etsi014 import BAD_REQUEST, MANDATORY_UNMET
from keystrand.formats.etsi014_extensions import PREFIX
from keystrand.keys.profile import regions_equal, tags
from keystrand.keys.rules import DEFAULT_ENTRY, PolicyRules
from keystrand.model.errors import InvalidInput, PolicyDenied, Problem
from keystrand.model.key import RouteType, SourceKind, Strength
from keystrand.model.key_policy import FAIL, CryptoProfile, Denial, Entitlement, Exhaustion, ExhaustionMode

NO_REGION: frozenset[str] = frozenset()


class KeyPolicyDenied(PolicyDenied):
    """The key policy does not allow it. `entry` is the id of the entry that decides, or the name of a profile."""

    def __init__(self, message: str, *, entry: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.entry = entry


class DemandUnmet(InvalidInput):
    """The policy allows the request, but no profile that it allows is what `extension_mandatory` demands."""

    default_hint = "demand less, or ask the policy's owner for a profile that gives it"


class Ask(Struct, frozen=True, kw_only=True):
    """A request for `number` keys of `size` bits that `master_sae` and every one of `slave_saes` shall share.

    `regions` are the tags of `link`. `offered` says what label the link's sources deliver now; a source that is not in
    it is not judged here. Demands: `profile`; `labels` (of the result; None for any); `route`; `max_age_s`.
    """

    master_sae: str
    slave_saes: tuple[str, ...]
    link: str
    regions: frozenset[str] = NO_REGION
    number: int = 1
    size: int = 256
    offered: Mapping[SourceKind, Strength] = {}
    profile: str | None = None
    labels: frozenset[str] | None = None
    route: RouteType | None = None
    max_age_s: float | None = None

    def __str__(self) -> str:
        return f"{self.master_sae} with {', '.join(self.slave_saes)}"


class Choice(Struct, frozen=True, kw_only=True):
    """A profile that a request may take. `exception`: the region exception it rests on, empty for none.

    `max_age_s` and `route` are the stricter of what profile and request say: the bits must meet them, None for any.
    """

    profile: CryptoProfile
    exception: str = ""
    max_age_s: float | None = None
    route: RouteType | None = None


class Objection(Struct, frozen=True, kw_only=True):
    """Why a profile may not be taken. `demand`: the request's own parameter that stands against it, empty for none.

    `source`: the source whose bits carry another label than the profile declares.
    """

    text: str
    entry: str = ""
    hint: str = ""
    demand: str = ""
    source: SourceKind | None = None


class Permit(Struct, frozen=True, kw_only=True):
    """What a request may take: `choices` in order, each next one only where the one before is degraded.

    `exhaustion` says what to do when the first runs out; it is `fail` where the request may not take what the profile
    would degrade to. `entry` is the entitlement, `revision` the policy that gave it, `passed` what speaks against the
    profiles that the entitlement prefers.
    """

    choices: tuple[Choice, ...]
    exhaustion: Exhaustion
    entry: str
    revision: int
    passed: tuple[Objection, ...] = ()

    @property
    def profile(self) -> CryptoProfile:
        """The profile to take."""
        return self.choices[0].profile

    @property
    def fallback(self) -> tuple[CryptoProfile, ...]:
        """What may take its place, in order."""
        return tuple(choice.profile for choice in self.choices[1:])

    @property
    def exception(self) -> str:
        """The region exception that the profile to take rests on."""
        return self.choices[0].exception


def at_least(strength: Strength) -> frozenset[str]:
    """Return the labels that are as strong as `strength` or stronger: for the demands of an `Ask`."""
    return frozenset(one for one in Strength if one.at_least(strength))


def decide(rules: PolicyRules, ask: Ask, now: float) -> Permit:
    """Return what `ask` may take at `now` (seconds since the epoch).

    Raises `KeyPolicyDenied`, which names file, entry and subject and hints at the next step; `DemandUnmet` where only
    the request's own demands stand against what is allowed.
    """
    granted = _granted(rules, ask)
    judge = _Judge(rules, ask, granted, _denials(rules, ask), now)
    passed: list[Objection] = []
    for name in granted[0].profiles if ask.profile is None else (ask.profile,):
        found = judge.choice(name)
        if isinstance(found, Choice):
            found = _mislabelled(found.profile, passed) or found
        if isinstance(found, Choice):
            return _permit(rules, granted[0], (found, *judge.fallback(found.profile)), tuple(passed))
        passed.append(found)
    raise _refusal(rules, ask, passed)


def decide_all(rules: PolicyRules, asks: Sequence[Ask], now: float) -> Permit:
    """Return what a request over several links may take: what the first of `asks` may, as far as all others may too.

    Each of `asks` is the part of the request that goes over one link. Raises as `decide` does.
    """
    permit = decide(rules, asks[0], now)
    choices: list[Choice] = []
    for choice in permit.choices:
        try:
            for ask in asks[1:]:
                decide(rules, replace(ask, profile=choice.profile.name), now)
        except (PolicyDenied, DemandUnmet):
            if not choices:
                raise
            break  # the chain of fallbacks ends where one of the links does not allow it, or not what is demanded
        choices.append(choice)
    return _permit_of(permit, tuple(choices))


def _permit_of(permit: Permit, choices: tuple[Choice, ...]) -> Permit:
    """Return `permit` for fewer choices: with one alone there is nothing to degrade to."""
    told = permit.exhaustion
    if told.mode is ExhaustionMode.DEGRADE and len(choices) == 1:
        told = FAIL
    return replace(permit, choices=choices, exhaustion=told)


def _mislabelled(profile: CryptoProfile, passed: list[Objection]) -> Objection | None:
    """Return the objection to a profile that would do without a source because the link mislabels its bits."""
    sources = {strand.source for strand in profile.strands}
    return next((one for one in passed if one.source is not None and one.source not in sources), None)


def _granted(rules: PolicyRules, ask: Ask) -> tuple[Entitlement, ...]:
    """Return the entitlement for each slave: all of them must be allowed."""
    found = []
    for slave in ask.slave_saes:
        entry = rules.entitlement(ask.master_sae, slave, ask.link)
        if entry is None:
            text = f"no entry allows it for {slave} on link {ask.link!r}"
            raise _denied(rules, ask, DEFAULT_ENTRY, text, f"add an [[allow]] for {ask.master_sae} and {slave}")
        found.append(entry)
    return tuple(found)


def _denials(rules: PolicyRules, ask: Ask) -> tuple[Denial, ...]:
    """Return the denials that take some profiles away. Raises `KeyPolicyDenied` where one takes all."""
    found = [denial for slave in ask.slave_saes for denial in rules.denials(ask.master_sae, slave, ask.link)]
    for denial in found:
        if not denial.sources and not denial.profiles:
            raise _denied(rules, ask, denial.id, denial.reason, f"change [[deny]] {denial.id!r}")
    return tuple(found)


def _permit(
    rules: PolicyRules, entry: Entitlement, choices: tuple[Choice, ...], passed: tuple[Objection, ...]
) -> Permit:
    told = choices[0].profile.exhaustion
    if told.mode is ExhaustionMode.DEGRADE and len(choices) == 1:
        told = FAIL
    return Permit(choices=choices, exhaustion=told, entry=entry.id, revision=rules.revision, passed=passed)


class _Judge(NamedTuple):
    """What a request is judged by, one profile after the other."""

    rules: PolicyRules
    ask: Ask
    granted: tuple[Entitlement, ...]
    denials: tuple[Denial, ...]
    now: float

    def choice(self, name: str) -> Choice | Objection:
        """Return the profile `name` as a choice, or what speaks against it."""
        for entry in self.granted:
            if name not in entry.profiles:
                text = f"entry {entry.id!r} does not give the profile {name!r}"
                return Objection(text=text, entry=entry.id, hint=f"add {name!r} to [[allow]] {entry.id!r}")
        profile, ask = self.rules.profiles[name], self.ask
        exception = "" if regions_equal(profile, ask.regions) else self._exception(profile)
        if isinstance(exception, Objection):
            return exception
        objection = self._denied_part(profile) or self._other_label(profile) or self._unmet(profile)
        if objection is not None:
            return objection
        ages = [age for age in (profile.max_age_s, ask.max_age_s) if age is not None]
        age, route = min(ages, default=None), ask.route or profile.route
        return Choice(profile=profile, exception=exception, max_age_s=age, route=route)

    def fallback(self, profile: CryptoProfile) -> list[Choice]:
        """Return what `profile` degrades to, as far as the request may take it; a cycle ends where it began."""
        choices: list[Choice] = []
        seen = {profile.name}
        while (name := profile.exhaustion.degrade_to) is not None and name not in seen:
            choice = self.choice(name)
            if isinstance(choice, Objection):
                break
            choices.append(choice)
            profile = choice.profile
            seen.add(name)
        return choices

    def _exception(self, profile: CryptoProfile) -> str | Objection:
        """Return the id of an exception that lets the profile over this link, or the objection."""
        link, regions = self.ask.link, self.ask.regions
        text = f"profile {profile.name!r} is for {tags(profile.regions)}, link {link!r} carries {tags(regions)}"
        for entry, ends_at in self.rules.exceptions(profile.name, regions, link):
            if self.now < ends_at:
                return entry.id
            text += f"; exception {entry.id!r} of {entry.owner} ended on {entry.expires}"
        hint = "use a link with the same tags, or add a [[region_exception]] with owner, reason and expiry"
        return Objection(text=text, entry=profile.name, hint=hint)

    def _denied_part(self, profile: CryptoProfile) -> Objection | None:
        for denial in self.denials:
            sources = [strand.source for strand in profile.strands if strand.source in denial.sources]
            if sources or profile.name in denial.profiles:
                what = f"{sources[0]} keys" if sources else f"the profile {profile.name!r}"
                text = f"entry {denial.id!r} forbids {what}: {denial.reason}"
                return Objection(text=text, entry=denial.id, hint=f"change [[deny]] {denial.id!r}")
        return None

    def _other_label(self, profile: CryptoProfile) -> Objection | None:
        for strand in profile.strands:
            delivered = self.ask.offered.get(strand.source, strand.strength)
            if delivered != strand.strength:
                text = f"profile {profile.name!r} declares {strand}, link {self.ask.link!r} delivers {delivered}"
                hint = f"allow a profile with a strand {strand.source}:{delivered}, or correct the source's label"
                return Objection(text=text, entry=profile.name, hint=hint, source=strand.source)
        return None

    def _unmet(self, profile: CryptoProfile) -> Objection | None:
        ask = self.ask
        if ask.labels is not None and profile.result not in ask.labels:
            return Objection(text=f"profile {profile.name!r} gives {profile.result}", demand=f"{PREFIX}label")
        if ask.route is not None and profile.route not in (None, ask.route):
            text = f"profile {profile.name!r} takes only {profile.route} routes"
            return Objection(text=text, demand=f"{PREFIX}route_type")
        if profile.combined and ask.size > COMBINED_BITS_MOST:
            text = f"profile {profile.name!r} gives keys of at most {COMBINED_BITS_MOST} bits"
            return Objection(text=text, demand="size")
        return None


def _refusal(rules: PolicyRules, ask: Ask, objections: list[Objection]) -> PolicyDenied | DemandUnmet:
    demands = tuple(Problem(message=one.text, field=one.demand) for one in objections if one.demand)
    if demands:
        extended = any(problem.field.startswith(PREFIX) for problem in demands)
        return DemandUnmet(MANDATORY_UNMET if extended else BAD_REQUEST, problems=demands)
    text = "; ".join(dict.fromkeys(objection.text for objection in objections))
    return _denied(rules, ask, objections[0].entry, text, objections[0].hint)


def _denied(rules: PolicyRules, ask: Ask, entry: str, text: str, hint: str) -> KeyPolicyDenied:
    owner = f"ask {rules.policy.owner}, who owns the policy, to: " if rules.policy.owner else ""
    message = f"{rules.file}, entry {entry!r}: {ask}: {text}"
    return KeyPolicyDenied(message, entry=entry, hint=f"{owner}{hint}, then run: keystrand policy test {rules.file}")
