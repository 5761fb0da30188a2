"""Our own parameters within ETSI GS QKD 014: what an SAE may demand of its keys, and what comes back with each.

Demands go in `extension_mandatory` (met, or the request is refused) or `extension_optional` (met where possible). Where
a key came from stands in its `key_extension`. All names begin with `keystrand_`, as clause 6.2 advises.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from keystrand.formats.etsi014 import MANDATORY_UNMET, MANDATORY_UNSUPPORTED, Extension, bad_request
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.key import RouteType, SourceKind, Strength
from keystrand.model.taken_apart import take_apart
from keystrand.model.units import Identifier, Ratio

PREFIX = "keystrand_"
_YEAR_S = 31_536_000
Seconds = Annotated[int, Meta(ge=0, le=100 * _YEAR_S, description="seconds")]


class Demands(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=lambda name: PREFIX + name):
    """What an SAE asks of its keys beyond number and size. What is unset is not asked."""

    max_age_s: (
        Annotated[Seconds, Meta(description="The KME received all of the material so long ago at most, in seconds.")]
        | UnsetType
    ) = UNSET
    min_label: Annotated[Strength, Meta(description="This label or a stronger one.")] | UnsetType = UNSET
    label: Annotated[Strength, Meta(description="Exactly this label.")] | UnsetType = UNSET
    route_type: RouteType | UnsetType = UNSET
    profile: Annotated[Identifier, Meta(description="The crypto profile that makes the key, by name.")] | UnsetType = (
        UNSET
    )

    @property
    def labels(self) -> frozenset[Strength]:
        """The labels that both `label` and `min_label` allow; none where they contradict each other."""
        weakest = Strength.SIMULATED if self.min_label is UNSET else self.min_label
        return frozenset(one for one in Strength if one.at_least(weakest) and self.label in (UNSET, one))


class Provenance(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=lambda name: PREFIX + name):
    """Where a key came from."""

    label: Strength
    sources: tuple[SourceKind, ...]
    hops: Annotated[tuple[str, ...], Meta(description="The KMEs that held the key, the master's first.")]
    route_type: RouteType
    age_s: Annotated[Seconds, Meta(description="The age of its oldest material at the answering KME, in seconds.")]
    qber_max: Annotated[Ratio, Meta(description="The highest error rate of its quantum links, 0 to 1.")] | UnsetType = (
        UNSET
    )
    profile: Annotated[Identifier, Meta(description="The crypto profile that made the key.")] | UnsetType = UNSET
    instead_of: Annotated[
        tuple[Identifier, ...], Meta(description="Profiles in whose place it was given: their keys had run out.")
    ] = ()


_WIRE_NAMES = {field.encode_name for field in msgspec.structs.fields(Demands)}


def parse_demands(extensions: Iterable[Extension]) -> Demands:
    """Return what `extension_mandatory` demands.

    Raises `InvalidInput`: with the message of clause 6.2 where a name is not ours, else where a value is not what its
    name takes or a name appears twice.
    """
    pairs = [pair for extension in extensions for pair in extension.items()]
    unknown = [f"{name} is not supported" for name, _ in pairs if name not in _WIRE_NAMES]
    if unknown:
        faults = tuple(Problem(message=fault, field="extension_mandatory_unsupported") for fault in unknown)
        raise InvalidInput(MANDATORY_UNSUPPORTED, problems=faults)
    asked = dict(pairs)
    if len(asked) != len(pairs):
        raise bad_request("a parameter appears twice", "extension_mandatory")
    try:
        return msgspec.convert(asked, Demands)
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$.")
        raise bad_request(fault, path.rstrip("`")) from None


def parse_wishes(extensions: Iterable[Extension]) -> Demands:
    """Return what `extension_optional` asks for, without what is not ours, malformed, or said a second time."""
    wished: dict[str, Any] = {}
    for name, value in (pair for extension in extensions for pair in extension.items()):
        if name in _WIRE_NAMES and name not in wished and _convertible({name: value}):
            wished[name] = value
    return msgspec.convert(wished, Demands)


def _convertible(members: Extension) -> bool:
    try:
        msgspec.convert(members, Demands)
    except msgspec.ValidationError:
        return False
    return True


def joined(demands: Demands, wishes: Demands) -> Demands:
    """Return the demands, and of the wishes what no demand speaks of: to be tried before the demands alone."""
    asked = {name: value for name, value in msgspec.structs.asdict(wishes).items() if getattr(demands, name) is UNSET}
    return msgspec.structs.replace(demands, **asked)


def unmet(demands: Demands, key: Provenance) -> tuple[str, ...]:
    """Return the names of the demands that `key` does not meet."""
    met = {
        "max_age_s": demands.max_age_s is UNSET or key.age_s <= demands.max_age_s,
        "min_label": demands.min_label is UNSET or key.label.at_least(demands.min_label),
        "label": demands.label in (UNSET, key.label),
        "route_type": demands.route_type in (UNSET, key.route_type),
        "profile": demands.profile in (UNSET, key.profile),
    }
    return tuple(PREFIX + name for name, yes in met.items() if not yes)


def refuse_unmet(names: Iterable[str]) -> InvalidInput:
    """Return the 400 for mandatory parameters that no keys of now can meet; `names` says which, as on the wire."""
    return InvalidInput(
        MANDATORY_UNMET, problems=tuple(Problem(message="cannot be met now", field=name) for name in names)
    )


take_apart(Provenance)


def extension_of(key: Provenance) -> bytes:
    """Return the JSON of the `key_extension` that says where `key` came from."""
    return msgspec.json.encode(key)


def provenance_in(extension: Extension | UnsetType) -> Provenance:
    """Return where a key came from by its `key_extension`; members of others are passed over.

    Raises `InvalidInput` where ours are not there, or not what they should be.
    """
    try:
        return msgspec.convert({} if extension is UNSET else extension, Provenance)
    except msgspec.ValidationError as error:
        raise bad_request(str(error), "key_extension") from None
