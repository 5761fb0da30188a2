"""Profiles at work: which links may carry their keys.

Labels are compared for equality, never for "at least" (`keys.policy`): a source that gives stronger bits than declared
is refused like one that gives weaker ones. So no profile says one thing and delivers another, whoever fills the pools.
"""

from collections.abc import Collection

from keystrand.model.key_policy import ANY_REGION, CryptoProfile


def regions_equal(profile: CryptoProfile, regions: Collection[str]) -> bool:
    """Return whether a link with the tags `regions` may carry the profile's keys without an exception."""
    return profile.regions == (ANY_REGION,) or set(profile.regions) == set(regions)


def tags(regions: Collection[str]) -> str:
    """Return `regions` in words."""
    return f"the regions {', '.join(sorted(regions))}" if regions else "no region"
