"""Change of policy without a restart: stage, activate, roll back. Values only; whoever holds the newest is in force."""

from msgspec import Struct
from msgspec.structs import replace

from keystrand.keys.cases import failures
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput
from keystrand.model.key_policy import KeyPolicy

REVISIONS_KEPT = 8
"""How many earlier revisions can be rolled back to; the files themselves belong in version control."""


class Revisions(Struct, frozen=True, kw_only=True):
    """The policy in force, the one that is staged, and the earlier ones, the newest last.

    A revision's number names its content for ever: rolling back brings the old number back, and no number comes twice.
    """

    active: PolicyRules
    staged: PolicyRules | None = None
    earlier: tuple[PolicyRules, ...] = ()
    last_number: int = 0


def begin(rules: PolicyRules) -> Revisions:
    """Return the revisions of a KME that starts with `rules`."""
    return Revisions(active=rules, last_number=rules.revision)


def stage(revisions: Revisions, policy: KeyPolicy, *, file: str, now: float, digest: str = "") -> Revisions:
    """Return `revisions` with `policy` staged under the next number; what was staged before is dropped.

    Raises `InvalidInput`, with nothing staged, where the policy does not hold together or one of its tests fails.
    """
    number = revisions.last_number + 1
    rules = PolicyRules(policy, file=file, revision=number, digest=digest)
    if failed := failures(rules, now):
        names = ", ".join(repr(result.case.name) for result in failed)
        hint = f"see what comes of them with: keystrand policy test {file}"
        raise InvalidInput(f"{file}: tests of the policy itself fail: {names}", hint=hint)
    return replace(revisions, staged=rules, last_number=number)


def activate(revisions: Revisions) -> Revisions:
    """Return `revisions` with the staged policy in force. Raises `InvalidInput` where none is staged."""
    if revisions.staged is None:
        raise InvalidInput("no policy is staged", hint="stage one first")
    earlier = (*revisions.earlier, revisions.active)[-REVISIONS_KEPT:]
    return replace(revisions, active=revisions.staged, staged=None, earlier=earlier)


def roll_back(revisions: Revisions) -> Revisions:
    """Return `revisions` with the policy before this one in force. Raises `InvalidInput` where there is none."""
    if not revisions.earlier:
        raise InvalidInput("there is no earlier revision", hint="stage the policy that shall hold, and activate it")
    *earlier, active = revisions.earlier
    return replace(revisions, active=active, earlier=tuple(earlier))
