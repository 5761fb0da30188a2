"""The two-KME contract: an order of keys at its master KME. What an SAE then holds lives by `keys.lifecycle`.

The master cuts bytes and asks every slave KME to assign them. A slave commits, then says so. The master commits, then
answers. Whatever is in doubt is burned here and made void there; no key leaves before both ends hold what they need,
and nothing that was handed out can be handed out again. The table stands at the end of the file; it is what runs.
"""

from collections.abc import Mapping
from enum import StrEnum

from keystrand.keys.machine import Table

INDEX_DIGITS = 3
"""The last hexadecimal digits of a key_ID: the key's place in its order. Before them stands the order's own ID."""
KEYS_PER_ORDER = 16**INDEX_DIGITS


def key_ids_of(order_id: str, count: int) -> tuple[str, ...]:
    """Return the key IDs of an order of `count` keys, each a UUID (RFC 9562) in lower case."""
    return tuple([f"{order_id}{at:03x}" for at in range(count)])


class OrderState(StrEnum):
    """Where an order stands at its master KME. Nothing of it is durable before `delivered` or `burned`."""

    PLANNED = "planned"
    ASKED = "asked"
    ASSIGNED = "assigned"
    DELIVERED = "delivered"
    BURNED = "burned"
    REFUSED = "refused"


class OrderEvent(StrEnum):
    """What happens to an order."""

    SENT = "sent"
    NOT_SENT = "not sent"
    ASSIGNED = "assigned"
    USED = "used"
    DENIED = "denied"
    DOUBT = "doubt"
    COMMITTED = "committed"
    FAILED = "failed"


class OrderAction(StrEnum):
    """What the master KME does about it, in this order."""

    GIVE_BACK = "give the bytes back"
    SKIP = "skip the bytes that the slave KME has used"
    BURN = "burn the bytes"
    VOID = "tell every slave KME that the order is void"
    COMMIT = "commit the delivery and its audit record"
    REFUSE = "refuse the request"
    ANSWER = "answer with the keys"


def step(state: OrderState, event: OrderEvent) -> tuple[OrderState, tuple[OrderAction, ...]]:
    """Return an order's next state and what the master KME must do. Raises `ValueError` for an impossible event."""
    try:
        return ROWS[state, event]
    except KeyError:
        raise ValueError(f"{event.value} cannot happen to an order that is {state.value}") from None


S, E, A = OrderState, OrderEvent, OrderAction
_END = (A.BURN, A.VOID, A.REFUSE)
"""The slave KME holds the order, or may: its bytes serve nobody any more, at either end."""
Rows = Mapping[tuple[OrderState, OrderEvent], tuple[OrderState, tuple[OrderAction, ...]]]
ROWS: Rows = {
    (S.PLANNED, E.SENT): (S.ASKED, ()),
    (S.PLANNED, E.NOT_SENT): (S.REFUSED, (A.GIVE_BACK, A.REFUSE)),
    (S.ASKED, E.ASSIGNED): (S.ASSIGNED, (A.COMMIT,)),
    (S.ASKED, E.USED): (S.PLANNED, (A.SKIP,)),
    (S.ASKED, E.DENIED): (S.BURNED, _END),
    (S.ASKED, E.DOUBT): (S.BURNED, _END),
    (S.ASSIGNED, E.COMMITTED): (S.DELIVERED, (A.ANSWER,)),
    (S.ASSIGNED, E.FAILED): (S.BURNED, _END),
}
"""The whole of it. Where a commit failed because the store did, the process stops and neither burns nor tells; the
slave KME's cursor then stands behind the bytes, and its deadline ends the order there."""
ORDER = Table(name="order", start=S.PLANNED, rows={key: state for key, (state, _) in ROWS.items()})
"""The same without the actions, for drawing."""
