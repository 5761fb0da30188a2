"""The order's table: what it says of every state, and what the page about the contract shows of it."""

import uuid
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.contract import (
    INDEX_DIGITS,
    KEYS_PER_ORDER,
    ORDER,
    ROWS,
    OrderAction,
    OrderEvent,
    OrderState,
    key_ids_of,
    step,
)
from keystrand.keys.machine import drawing

ENDS = {OrderState.DELIVERED, OrderState.BURNED, OrderState.REFUSED}


def test_every_order_ends_and_an_end_is_the_end() -> None:
    """From each state an end can be reached, and from an end nothing leads away."""
    for state in OrderState:
        reached, to_do = {state}, [state]
        while to_do:
            at = to_do.pop()
            new = {after for (before, _), (after, _) in ROWS.items() if before is at} - reached
            reached |= new
            to_do += new
        assert reached & ENDS
        assert state not in ENDS or reached == {state}


def test_keys_leave_in_one_way_only() -> None:
    """An answer follows a commit, a commit follows the slave KME's word, and that follows a question."""
    for (state, event), (after, actions) in ROWS.items():
        assert (OrderAction.ANSWER in actions) == (event is OrderEvent.COMMITTED)
        assert (OrderAction.COMMIT in actions) == (event is OrderEvent.ASSIGNED)
        assert (after is OrderState.DELIVERED) == (OrderAction.ANSWER in actions)
        assert (event is OrderEvent.ASSIGNED) <= (state is OrderState.ASKED)


def test_bytes_come_back_only_where_nothing_was_sent() -> None:
    """Whatever the slave KME may hold is burned there and made void here, and the request is refused."""
    for (_, event), (after, actions) in ROWS.items():
        assert (OrderAction.GIVE_BACK in actions) == (event is OrderEvent.NOT_SENT)
        if after is OrderState.BURNED:
            assert actions == (OrderAction.BURN, OrderAction.VOID, OrderAction.REFUSE)
        if after in (OrderState.BURNED, OrderState.REFUSED):
            assert OrderAction.REFUSE in actions


def test_an_impossible_event_is_a_fault_of_ours() -> None:
    """It names event and state; what is in the table is what `step` returns."""
    for state, event in product(OrderState, OrderEvent):
        if (state, event) in ROWS:
            assert step(state, event) == ROWS[state, event]
            assert ORDER.step(state, event) is ROWS[state, event][0]
        else:
            with pytest.raises(ValueError, match=f"{event.value} cannot happen to an order that is {state.value}"):
                step(state, event)


def test_the_drawing_has_every_row() -> None:
    """Each state, and each event on the arrow that it is."""
    lines = drawing(ORDER).splitlines()
    for (state, event), (after, _) in ROWS.items():
        assert any(line.startswith(f"    {state} --> {after}: ") and event in line for line in lines)
    assert {line for line in lines if line.endswith("--> [*]")} == {f"    {state} --> [*]" for state in ENDS}


@given(st.uuids(version=4), st.integers(1, 64) | st.just(KEYS_PER_ORDER))
def test_key_ids_are_distinct_uuids_that_name_their_order(order: uuid.UUID, count: int) -> None:
    """As many as were asked for, in order, each of one length; cutting off the last digits gives the order's ID."""
    order_id = str(order)[:-INDEX_DIGITS]
    ids = key_ids_of(order_id, count)
    assert len(set(ids)) == len(ids) == count
    assert list(ids) == sorted(ids)
    for at in (0, count // 2, count - 1):
        assert str(uuid.UUID(ids[at])) == ids[at]
        assert ids[at][:-INDEX_DIGITS] == order_id
        assert int(ids[at][-INDEX_DIGITS:], 16) == at
