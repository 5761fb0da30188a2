"""The two-KME contract: an order of keys at its master KME. What an SAE then holds lives by `keys.lifecycle`.

The master cuts bytes and asks every slave KME to assign them. A slave commits, then says so. The master commits, then
answers. Whatever is in doubt is burned here and made void there; no key leaves before both ends hold what they need,
and nothing that was handed out can be handed out again. The table stands at the end of the file; it is what runs.
"""

from collections.abc import Mapping
from enum import StrEnum

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
        return ORDER[state, event]
    except KeyError:
        raise ValueError(f"{event.value} cannot happen to an order that is {state.value}") from None


ORDER: Mapping[tuple[OrderState, OrderEvent], tuple[OrderState, tuple[OrderAction, ...]]] = {
    (OrderState.PLANNED, OrderEvent.SENT): (OrderState.ASKED, ()),
    (OrderState.PLANNED, OrderEvent.NOT_SENT): (OrderState.REFUSED, (OrderAction.GIVE_BACK, OrderAction.REFUSE)),
    (OrderState.ASKED, OrderEvent.ASSIGNED): (OrderState.ASSIGNED, (OrderAction.COMMIT,)),
    (OrderState.ASKED, OrderEvent.USED): (OrderState.PLANNED, (OrderAction.SKIP,)),
    (OrderState.ASKED, OrderEvent.DENIED): (
        OrderState.BURNED,
        (OrderAction.BURN, OrderAction.VOID, OrderAction.REFUSE),
    ),
    (OrderState.ASKED, OrderEvent.DOUBT): (OrderState.BURNED, (OrderAction.BURN, OrderAction.VOID, OrderAction.REFUSE)),
    (OrderState.ASSIGNED, OrderEvent.COMMITTED): (OrderState.DELIVERED, (OrderAction.ANSWER,)),
    (OrderState.ASSIGNED, OrderEvent.FAILED): (OrderState.BURNED, (OrderAction.REFUSE,)),
}
"""A failed commit stops the process: its bytes are below the slave's cursor, so no later order can get them."""
