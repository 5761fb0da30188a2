"""Look at keys by their IDs, and let things happen to them. No key is ever shown: a KME tells operators states only."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from keystrand.app.kme import OperatorAccess, Row
from keystrand.edge.kme.operator_client import OperatorClient, Told
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput
from keystrand.model.key import KeyState

EVENTS = {
    "revoke": KeyEvent.REVOKE,
    "suspend": KeyEvent.SUSPEND,
    "resume": KeyEvent.RESUME,
    "compromise": KeyEvent.COMPROMISE,
}
"""What can be made happen to keys, by the word of the command."""
_TIMES = ("since", "until")
_SELDOM = ("kme", "link", "profile", "since")
_LIVE = (KeyState.ACTIVE, KeyState.SUSPENDED)


class RotationUnknown(KeystrandError):
    """Whether a key is due could not be found out: that is neither yes nor no."""

    exit_code = 3


# Looking


def list_keys(access: OperatorAccess, *, sae: str = "", state: str = "", limit: int) -> tuple[list[Told], bool]:
    """Return what is known of at most `limit` keys, and whether there are more. Raises `InvalidInput` for no state."""
    if state and state not in list(KeyState):
        raise InvalidInput(f"{state!r} is no state of a key", hint=f"one of {', '.join(KeyState)}")
    with access.open() as operator:
        found = list(islice(operator.keys(sae=sae, state=state), limit + 1))
    return found[:limit], len(found) > limit


def show_key(access: OperatorAccess, key_id: str) -> list[Told]:
    """Return what is known of one key, by the SAEs of this KME that hold it. Raises `MissingInput`."""
    with access.open() as operator:
        found = [one for one in _known(operator, key_id) if one["key_ID"] == key_id.lower()]
    if not found:
        raise _unknown(key_id)
    return found


def key_rows(keys: Iterable[Told], *, brief: bool = False) -> list[Row]:
    """Return one row a key and SAE, with times as people read them; `brief` leaves out what is seldom looked for."""
    left_out = _SELDOM if brief else ()
    return [
        {name: _moment(value) if name in _TIMES else value for name, value in one.items() if name not in left_out}
        for one in keys
    ]


def _moment(at: Any) -> str:
    return datetime.fromtimestamp(float(at), UTC).isoformat(timespec="seconds")


def _known(operator: OperatorClient, key_id: str) -> list[Told]:
    found = operator.keys_of(key_id)
    if not found:
        raise _unknown(key_id)
    return found


def _unknown(key_id: str) -> MissingInput:
    hint = "keystrand keys list shows those that are; each KME knows the keys of its own SAEs"
    return MissingInput(f"no key of ID {key_id!r} is known at this key management entity", hint=hint)


# Changing


def change_keys(access: OperatorAccess, key_id: str, word: str, why: str, *, dry_run: bool = False) -> list[Row]:
    """Let what `word` names happen to all keys of the order of `key_id`; return those that it changes, or would.

    The KME at the other end is told. Raises `InvalidInput` without a reason, `MissingInput` for an unknown key.
    """
    if not why.strip():
        raise InvalidInput("nobody will know why", hint="say it with --why: it goes into the audit")
    event = EVENTS[word]
    with access.open() as operator:
        before = {(one["key_ID"], one["sae"]): one["state"] for one in _known(operator, key_id)}
        if dry_run:
            after = {place: LIFECYCLE.after(KeyState(state), event).value for place, state in before.items()}
        else:
            after = {(one["key_ID"], one["sae"]): one["state"] for one in operator.happen(key_id, event, why)}
    return [
        {"key_ID": place[0], "sae": place[1], "state": before[place], "becomes": state}
        for place, state in after.items()
        if before.get(place) not in (None, state)
    ]


def rotate_pair(access: OperatorAccess, master: str, slave: str, *, dry_run: bool = False) -> Row:
    """Void what the pair has not fetched yet, and make a new key due, at the KMEs of both.

    Return how many orders that voids, or would at this KME alone; `trouble` says why the other one did not do its part.
    """
    with access.open() as operator:
        if not dry_run:
            return operator.rotate(master, slave)
        orders = {
            one["key_ID"][:-INDEX_DIGITS]
            for sae, partner in ((master, slave), (slave, master))
            for state in _LIVE
            for one in operator.keys(sae=sae, state=state.value)
            if one["partner"] == partner
        }
    return {"master": master, "slave": slave, "orders_voided": len(orders), "trouble": ""}


def rotation_of(access: OperatorAccess, master: str, slave: str) -> Told:
    """Return whether the pair must take a new key, and why; ask the KME of its master.

    Raises `RotationUnknown` where there is no answer, whatever the reason: a script must not take it for a no.
    """
    try:
        with access.open() as operator:
            return operator.rotation(master, slave)
    except KeystrandError as error:
        if error.exit_code > 1:
            raise
        raise RotationUnknown(error.message, hint=error.hint, problems=error.problems) from error
    except Exception as error:
        raise RotationUnknown(f"internal: {type(error).__name__}: {error}") from error
