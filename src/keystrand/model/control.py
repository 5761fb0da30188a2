"""Controls, each with what it does not cover as part of its entry: data, never code."""

from msgspec import Struct

from keystrand.model.stages.weighed import Approach
from keystrand.model.units import Identifier, Text


class Control(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a control covers, what it does to the four properties, and what it leaves open in the four usual places.

    `approach`: where it is one of the five approaches for a segment.
    """

    id: Identifier
    name: Text
    approach: Approach | None = None
    covers: Text
    confidentiality: Text
    integrity: Text
    availability: Text
    recoverability: Text
    endpoint: Text
    insider: Text
    malware: Text
    misconfiguration: Text
