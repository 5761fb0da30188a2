"""Whose signatures vouch for whose: the anchors that a signature is trusted through."""

from keystrand.model.estate import Estate, Place

TRUST_ANCHORS = frozenset({Place.IDENTITY, Place.CODE_SIGNING})
"""Places whose signatures others check: certificate authorities, sign-on, time stamps, signing of software. A signature
that moves before its anchor proves nothing, because a forged anchor vouches for any key. A key exchange has no anchor:
a front end gains as soon as it moves, whatever stands behind it."""


def anchors_of(estate: Estate) -> dict[str, tuple[str, ...]]:
    """Return, for each system, the trust anchors among `depends_on`; anchors in a circle do not wait for each other."""
    anchors = {system.id for system in estate.system if system.place in TRUST_ANCHORS}
    direct = {s.id: tuple(name for name in s.depends_on if name in anchors) for s in estate.system}
    # whoever is no anchor is in nobody's list, and so in no circle
    return {
        name: tuple(anchor for anchor in found if name not in anchors or name not in _reach(anchor, direct))
        for name, found in direct.items()
    }


def _reach(start: str, needs: dict[str, tuple[str, ...]]) -> set[str]:
    """Return `start` and everything it needs, directly or over others."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += needs.get(name, ())
    return found
