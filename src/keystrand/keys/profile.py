"""Profiles at work: what a block of key must be to serve as a strand.

Labels are compared for equality, never for "at least": a block that is stronger than declared is refused like a weaker
one. So no profile says one thing and delivers another, whoever fills the pools.
"""

from collections.abc import Collection

from keystrand.model.errors import PolicyDenied
from keystrand.model.key import Strand
from keystrand.model.key_policy import ANY_REGION, CryptoProfile


class LabelMismatch(PolicyDenied):
    """A block of key carries another label than the profile declares; it was not used."""


def judge_block(profile: CryptoProfile, strand: int, block: Strand, regions: Collection[str]) -> None:
    """Raise `LabelMismatch` unless `block` may serve as the profile's strand number `strand` (from 0).

    `regions` are the tags of the link that the block came over, or those that an exception lets in for it.
    """
    declared = profile.strands[strand]
    if block != declared:
        raise LabelMismatch(
            f"profile {profile.name!r} declares {declared}, the link delivers {block}",
            hint=f"declare a profile with a strand {block}, or have the link's module deliver {declared}",
        )
    if not regions_equal(profile, regions):
        raise LabelMismatch(
            f"profile {profile.name!r} is for {tags(profile.regions)}, the link carries {tags(regions)}",
            hint="use a link with the same tags, or add a [[region_exception]] with owner, reason and expiry",
        )


def regions_equal(profile: CryptoProfile, regions: Collection[str]) -> bool:
    """Return whether a link with the tags `regions` may carry the profile's keys without an exception."""
    return profile.regions == (ANY_REGION,) or set(profile.regions) == set(regions)


def tags(regions: Collection[str]) -> str:
    """Return `regions` in words."""
    return f"the regions {', '.join(sorted(regions))}" if regions else "no region"
