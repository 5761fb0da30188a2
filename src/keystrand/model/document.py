"""What the six documents have in common: version, origin, coverage, and which of their values were measured."""

from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo

from keystrand.model.observation import Outcome
from keystrand.model.units import Count, Sha256

FORMAT_VERSION = "1.0"
"""Major: a reader of another major refuses. Minor: fields were added that an older reader of the major may ignore."""

T = TypeVar("T")
_MEASURED_KEY = "x-measured"
_PLAIN = frozenset((str, int, float, bool, type(None)))
Measured = Annotated[T, Meta(extra_json_schema={_MEASURED_KEY: True})]
"""A value that the world decided (a time, a rate): left out of the content hash, so runs can be compared."""


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every part of a document refuses fields it does not know."""


class InputRef(Part, frozen=True, kw_only=True):
    """A document that this one was made from: what it says (`content_sha256`) and its exact bytes (`file_sha256`)."""

    kind: str
    content_sha256: Sha256
    file_sha256: Measured[Sha256]


class Gap(Part, frozen=True, kw_only=True):
    """Something that was not looked at, or that gave no answer."""

    what: str
    outcome: Outcome
    reason: str


class OutcomeCount(Part, frozen=True, kw_only=True):
    """How many of what was looked at ended in one way."""

    outcome: Outcome
    count: Count


class Coverage(Part, frozen=True, kw_only=True):
    """What was looked at, what answered, and every gap with its reason. Unknown is shown, never counted as safe.

    `outcomes` counts each endpoint and file behind the targets by how the attempt on it ended.
    """

    unit: str
    looked_at: Count
    answered: Count
    gaps: tuple[Gap, ...] = ()
    outcomes: tuple[OutcomeCount, ...] = ()

    @property
    def complete(self) -> bool:
        """Return whether everything that was looked at answered and nothing was left out."""
        return not self.gaps and self.answered == self.looked_at


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The head of every document. `as_of`: the day it judges for; `seed`: None where nothing was drawn."""

    format_version: str
    tool_version: str
    as_of: date
    created_at: Measured[datetime]
    made_from: tuple[InputRef, ...]
    seed: int | None
    coverage: Coverage

    @classmethod
    def kind(cls) -> str:
        """Return the document's kind, as its `kind` field says it."""
        return str(cls.__struct_config__.tag)


def _is_measured(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and any(
        isinstance(m, Meta) and (m.extra_json_schema or {}).get(_MEASURED_KEY) for m in get_args(annotation)[1:]
    )


def _default(spec: FieldInfo) -> Any:
    return spec.default_factory() if spec.default_factory is not NODEFAULT else spec.default


@cache
def _stable_fields(kind: type[Struct]) -> tuple[dict[str, Any], tuple[tuple[str, str, Any], ...]]:
    """Return the tag of `kind`, and attribute, name in JSON and default of every field that is not measured."""
    specs, config = msgspec.structs.fields(kind), kind.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    return tag, tuple((spec.name, spec.encode_name, _default(spec)) for spec in specs if not _is_measured(spec.type))


def without_measured(value: Any) -> Any:
    """Return `value` as plain builtins with every measured field left out.

    Fields at their default are left out too: a minor version may add one, and what was said before stays the same.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Struct):
        tag, fields = _stable_fields(type(value))
        said = {name: one if type(one) in _PLAIN else without_measured(one) for attribute, name, default in fields
                if (one := getattr(value, attribute)) != default}  # fmt: skip
        return tag | said
    if isinstance(value, dict):
        return {key: without_measured(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else without_measured(item) for item in value]
    return msgspec.to_builtins(value)
