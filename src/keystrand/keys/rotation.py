"""Rotation: when a pair of SAEs must take a new key."""

from msgspec import Struct

from keystrand.keys.rules import PolicyRules


class Rotation(Struct, frozen=True, kw_only=True):
    """Whether a new key is due, why, and by which entry (empty where none names the pair)."""

    due: bool
    reason: str
    entry: str = ""

    def __bool__(self) -> bool:
        return self.due


def needs_rotation(
    rules: PolicyRules, pair: tuple[str, str], last_delivered_at: float | None, delivered_since: int, now: float
) -> Rotation:
    """Return whether the `pair` (master, slave) must take a new key at `now`; all times in seconds since the epoch.

    `last_delivered_at` is None where it never took one; `delivered_since` counts the keys since its last rotation. A
    time that lies in the future counts as far away as it is: the clock was wrong, and an early rotation harms nobody.
    """
    rule = rules.rotation(*pair)
    if rule is None:
        return Rotation(due=False, reason="no rotation rule names this pair")
    if last_delivered_at is None:
        return Rotation(due=True, reason="no key was ever delivered", entry=rule.id)
    age_s = abs(now - last_delivered_at)
    if rule.max_age_s is not None and age_s >= rule.max_age_s:
        return Rotation(due=True, reason=f"the last key is {age_s:.0f} s old, of {rule.max_age_s:.0f} s", entry=rule.id)
    if rule.max_keys is not None and delivered_since >= rule.max_keys:
        reason = f"{delivered_since} keys were delivered, of {rule.max_keys}"
        return Rotation(due=True, reason=reason, entry=rule.id)
    return Rotation(due=False, reason="within age and count", entry=rule.id)
