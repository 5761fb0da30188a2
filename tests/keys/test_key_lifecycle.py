"""The life of a key: what can follow what, checked over all sequences; tables and their drawings."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent, step
from keystrand.keys.machine import ImpossibleStep, Table, drawing
from keystrand.model.key import CEILING, KeyState, SourceKind, Strand, Strength, strength_of

ENDS = {KeyEvent.EXPIRE, KeyEvent.REVOKE, KeyEvent.VOID, KeyEvent.COMPROMISE, KeyEvent.DESTROY}


History = tuple[KeyState, frozenset[KeyEvent]]


def _histories() -> set[tuple[History, KeyEvent, KeyState]]:
    """Return every step of every life: state, the events so far, the event that comes, the state it leads to."""
    start: History = (KeyState.PRE_ACTIVATION, frozenset())
    seen, to_do, steps = {start}, [start], set[tuple[History, KeyEvent, KeyState]]()
    while to_do:
        state, done = history = to_do.pop()
        for event in KeyEvent:
            if (state, event) in LIFECYCLE.rows:
                after = step(state, event)
                steps.add((history, event, after))
                if (then := (after, done | {event})) not in seen:
                    seen.add(then)
                    to_do.append(then)
    return steps


def test_in_every_life_the_promises_hold() -> None:
    """Delivered once at most; replayed only after that and before anything ended its use; destroyed for ever."""
    steps = _histories()
    assert {after for *_, after in steps} == set(KeyState) - {KeyState.PRE_ACTIVATION}
    for (state, done), event, after in steps:
        assert state is not KeyState.DESTROYED
        if event is KeyEvent.DELIVER:
            assert KeyEvent.ASSIGN in done
            assert not {KeyEvent.DELIVER, *ENDS} & done
        if event is KeyEvent.REPLAY:
            assert KeyEvent.DELIVER in done
            assert not ENDS & done
        if event is KeyEvent.VOID:
            assert KeyEvent.DELIVER not in done
        if KeyEvent.COMPROMISE in done:
            assert after is KeyState.DESTROYED


def test_only_an_active_key_can_be_delivered() -> None:
    """Not pool bits, not a suspended, delivered, compromised or destroyed key."""
    assert [state for state in KeyState if (state, KeyEvent.DELIVER) in LIFECYCLE.rows] == [KeyState.ACTIVE]


def test_every_state_but_destroyed_can_be_destroyed_and_expires_or_is_pool() -> None:
    """Nothing lasts for ever: a deadline or an order ends every state."""
    for state, event in product(set(KeyState) - {KeyState.DESTROYED}, (KeyEvent.DESTROY, KeyEvent.EXPIRE)):
        assert step(state, event) is KeyState.DESTROYED


def test_an_impossible_event_is_an_error_that_says_so() -> None:
    """It names machine, event and state, and nothing changes."""
    with pytest.raises(ImpossibleStep, match="key: deliver is not possible in the state suspended"):
        step(KeyState.SUSPENDED, KeyEvent.DELIVER)
    assert LIFECYCLE.after(KeyState.SUSPENDED, KeyEvent.DELIVER) is KeyState.SUSPENDED


def test_a_drawing_holds_every_row_of_its_table() -> None:
    """Start, end, all states and all events, with names that Mermaid takes."""
    lines = drawing(LIFECYCLE).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    [*] --> pre_activation" in lines
    assert "    pre_activation: pre-activation" in lines
    assert "    destroyed --> [*]" in lines
    for (state, event), after in LIFECYCLE.rows.items():
        arrow = f"    {state.replace('-', '_')} --> {after.replace('-', '_')}: "
        assert any(line.startswith(arrow) and event in line.removeprefix(arrow).split(", ") for line in lines)


@given(st.dictionaries(st.tuples(st.sampled_from(KeyState), st.sampled_from(KeyEvent)), st.sampled_from(KeyState)))
def test_any_table_can_be_drawn(rows: dict[tuple[KeyState, KeyEvent], KeyState]) -> None:
    """One arrow for each pair of states, however many events lead over it."""
    lines = drawing(Table(name="t", start=KeyState.ACTIVE, rows=rows)).splitlines()
    pairs = {(state, after) for (state, _), after in rows.items()}
    assert sum(" --> " in line and "[*]" not in line for line in lines) == len(pairs)


# Strengths


def test_strengths_are_in_one_order() -> None:
    """From information-theoretic down to simulated, each at least itself."""
    for one, two in product(Strength, Strength):
        assert one.at_least(two) == (list(Strength).index(one) <= list(Strength).index(two))


@given(
    st.lists(st.sampled_from([(k, s) for k, s in product(SourceKind, Strength) if CEILING[k].at_least(s)]), min_size=1)
)
def test_several_strands_are_as_strong_as_the_strongest_but_post_quantum_at_most(
    strands: list[tuple[SourceKind, Strength]],
) -> None:
    """One strand keeps its strength. A combination never claims information-theoretic security."""
    made = [Strand(source=source, strength=strength) for source, strength in strands]
    strength = strength_of(made)
    if len(made) == 1:
        assert strength is made[0].strength
    else:
        assert Strength.POST_QUANTUM.at_least(strength)
        assert all(strength.at_least(strand.strength) or strand.strength is Strength.INFORMATION_THEORETIC
                   for strand in made)  # fmt: skip
        assert strength is Strength.POST_QUANTUM or strength in {strand.strength for strand in made}


def test_no_label_claims_more_than_its_source_gives() -> None:
    """Post-quantum keys are not information-theoretic, whoever says so."""
    with pytest.raises(ValueError, match="post-quantum at most"):
        Strand(source=SourceKind.PQC, strength=Strength.INFORMATION_THEORETIC)
    assert str(Strand(source=SourceKind.QKD, strength=Strength.SIMULATED)) == "qkd:simulated"
