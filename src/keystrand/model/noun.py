"""What every noun of an estate has in common."""

from msgspec import Struct


class Noun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every noun of the estate refuses keys it does not know."""
