"""The life of a key after NIST SP 800-57 Part 1 Rev. 5, section 7: which event leads from which state to which.

What the states mean here: pool bits are pre-activation; a key that both KMEs have committed is active; one that its SAE
has fetched is deactivated, and its bytes stay no longer than the replay window; those of a destroyed key are gone, and
those of a compromised one are never given out. Nothing but a delivery leads to deactivated, so nothing but a delivered
key can be replayed, and whatever ends a key's use ends its replay too.

Where the bytes lie besides: a key is cut from a block, and what was cut stays in the block as it is sealed on the disk,
readable for who has the keyring, up to the end of the epoch in which it was cut. Then the block is sealed anew without
it and the epoch's data key is destroyed. That bound, not the event, holds for a revoked, compromised or destroyed key's
bytes in its block; its own sealed copy goes with the event.
"""

from enum import StrEnum

from keystrand.keys.machine import Table
from keystrand.model.key import KeyState as S


class KeyEvent(StrEnum):
    """What can happen to a key. Revocation is an event, not a state.

    `expire`: its deadline has passed. `revoke`: its owner or an operator ends its use. `void`: the KMEs cannot be sure
    that both hold it, so neither gives it out. `replay`: the same SAE fetches it again within the window.
    """

    ASSIGN = "assign"
    DELIVER = "deliver"
    REPLAY = "replay"
    SUSPEND = "suspend"
    RESUME = "resume"
    EXPIRE = "expire"
    REVOKE = "revoke"
    VOID = "void"
    COMPROMISE = "compromise"
    DESTROY = "destroy"


def step(state: S, event: KeyEvent) -> S:
    """Return the state after `event`. Raises `ImpossibleStep`: what was delivered cannot be voided, nor given again."""
    return LIFECYCLE.step(state, event)


E = KeyEvent
LIFECYCLE = Table(
    name="key",
    start=S.PRE_ACTIVATION,
    rows={
        (S.PRE_ACTIVATION, E.ASSIGN): S.ACTIVE,
        (S.PRE_ACTIVATION, E.EXPIRE): S.DESTROYED,
        (S.PRE_ACTIVATION, E.VOID): S.DESTROYED,
        (S.PRE_ACTIVATION, E.COMPROMISE): S.COMPROMISED,
        (S.PRE_ACTIVATION, E.DESTROY): S.DESTROYED,
        (S.ACTIVE, E.DELIVER): S.DEACTIVATED,
        (S.ACTIVE, E.SUSPEND): S.SUSPENDED,
        (S.ACTIVE, E.EXPIRE): S.DESTROYED,
        (S.ACTIVE, E.REVOKE): S.DESTROYED,
        (S.ACTIVE, E.VOID): S.DESTROYED,
        (S.ACTIVE, E.COMPROMISE): S.COMPROMISED,
        (S.ACTIVE, E.DESTROY): S.DESTROYED,
        (S.SUSPENDED, E.RESUME): S.ACTIVE,
        (S.SUSPENDED, E.EXPIRE): S.DESTROYED,
        (S.SUSPENDED, E.REVOKE): S.DESTROYED,
        (S.SUSPENDED, E.VOID): S.DESTROYED,
        (S.SUSPENDED, E.COMPROMISE): S.COMPROMISED,
        (S.SUSPENDED, E.DESTROY): S.DESTROYED,
        (S.DEACTIVATED, E.REPLAY): S.DEACTIVATED,
        (S.DEACTIVATED, E.EXPIRE): S.DESTROYED,
        (S.DEACTIVATED, E.REVOKE): S.DESTROYED,
        (S.DEACTIVATED, E.COMPROMISE): S.COMPROMISED,
        (S.DEACTIVATED, E.DESTROY): S.DESTROYED,
        (S.COMPROMISED, E.EXPIRE): S.DESTROYED,
        (S.COMPROMISED, E.DESTROY): S.DESTROYED,
    },
)
"""The whole of it. Of a destroyed key nothing but the record is left, so nothing leads out of there."""
