"""Cutting keys from blocks: every byte once, of one label, and given back exactly."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keystrand.keys.allocation import Cut, Demand, Lane, Piece, PoolTooSmall, advance, cut, give_back

LABELS = ("information-theoretic", "post-quantum", "simulated")


def lanes_of(shapes: Sequence[tuple[int, int, str, float]]) -> list[Lane]:
    """Return lanes by (cursor, unused, label, received)."""
    return [
        Lane(no=no, block_id=f"b{no}", cursor=at, length=at + unused, label=label, qber=0.0, received=received)
        for no, (at, unused, label, received) in enumerate(shapes, 1)
    ]


SHAPES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(LABELS), st.floats(0, 100)), max_size=8
)
DEMANDS = st.builds(Demand, labels=st.frozensets(st.sampled_from(LABELS), max_size=2), since=st.floats(0, 100))


@given(SHAPES, st.integers(1, 100), DEMANDS)
def test_a_cut_gives_what_was_asked_for_or_nothing(
    shapes: list[tuple[int, int, str, float]], octets: int, demand: Demand
) -> None:
    """The exact number of bytes, all of one label that is allowed, each from where its lane's cursor stands.

    It fails where no label has enough, and says how much the best one has. Either way no lane is touched.
    """
    lanes = lanes_of(shapes)
    before = [lane.cursor for lane in lanes]
    allowed = [lane for lane in lanes if demand.allows(lane)]
    most = max((sum(lane.unused for lane in allowed if lane.label == label) for label in LABELS), default=0)
    if most < octets:
        with pytest.raises(PoolTooSmall) as caught:
            cut(lanes, octets, demand)
        assert caught.value.stored_octets == most
    else:
        cuts = cut(lanes, octets, demand)
        assert sum(piece.length for _, piece in cuts) == octets
        assert len({lane.label for lane, _ in cuts}) == 1
        assert len({piece.no for _, piece in cuts}) == len(cuts)
        for lane, piece in cuts:
            assert lane in allowed
            assert (piece.no, piece.offset) == (lane.no, lane.cursor)
            assert 0 < piece.length <= lane.unused
    assert [lane.cursor for lane in lanes] == before


@given(SHAPES, st.integers(1, 30), st.integers(1, 30), DEMANDS)
def test_what_was_given_back_is_as_if_never_cut(
    shapes: list[tuple[int, int, str, float]], first: int, second: int, demand: Demand
) -> None:
    """Two cuts undone, the last one first, leave every cursor where it was."""
    lanes = lanes_of(shapes)
    before = [lane.cursor for lane in lanes]
    taken: list[tuple[Cut, ...]] = []
    for octets in (first, second):
        try:
            taken.append(cut(lanes, octets, demand))
        except PoolTooSmall:
            continue
        advance(taken[-1])
    for cuts in reversed(taken):
        give_back(cuts)
    assert [lane.cursor for lane in lanes] == before


def test_older_blocks_and_other_labels_are_passed_over() -> None:
    """They stay for whom they may serve."""
    lanes = lanes_of([(0, 9, "simulated", 1.0), (0, 9, "post-quantum", 9.0), (0, 9, "simulated", 9.0)])
    cuts = cut(lanes, 4, Demand(labels=frozenset({"simulated"}), since=5.0))
    assert cuts == (Cut(lanes[2], Piece(3, 0, 4)),)


class Pool(RuleBasedStateMachine):
    """A pool in use: orders cut, burn, and where nothing left the process give back; blocks come and are used up."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: list[Lane] = []
        self.under_way: list[tuple[Cut, ...]] = []
        self.used: set[tuple[int, int]] = set()

    @initialize(unused=st.integers(1, 30))
    def begin(self, unused: int) -> None:
        """Begin with a block."""
        self.block(unused, LABELS[0])

    @rule(unused=st.integers(1, 30), label=st.sampled_from(LABELS))
    def block(self, unused: int, label: str) -> None:
        """Take a new block."""
        no = len(self.lanes) + 1
        self.lanes.append(
            Lane(no=no, block_id=str(no), cursor=0, length=unused, label=label, qber=0.0, received=float(no))
        )

    @rule(octets=st.integers(1, 20))
    def plan(self, octets: int) -> None:
        """Cut for an order; what is cut was never used, and no other order under way has it."""
        try:
            cuts = cut(self.lanes, octets, Demand())
        except PoolTooSmall:
            return
        others = {place for each in self.under_way for place in places(each)}
        assert not places(cuts) & (self.used | others)
        advance(cuts)
        self.under_way.append(cuts)

    @rule()
    def refuse_all(self) -> None:
        """Give back everything that is under way, as where the other end was not reached."""
        for cuts in reversed(self.under_way):
            give_back(cuts)
        self.under_way.clear()

    @rule()
    def deliver_first(self) -> None:
        """End the oldest order: its bytes are used."""
        if self.under_way:
            self.used |= places(self.under_way.pop(0))

    @invariant()
    def cursors_stand_behind_all_that_is_used(self) -> None:
        """No used byte lies in front of its lane's cursor, and no cursor outside of its block."""
        for lane in self.lanes:
            assert 0 <= lane.cursor <= lane.length
            assert all(at < lane.cursor for no, at in self.used if no == lane.no)


def places(cuts: Sequence[Cut]) -> set[tuple[int, int]]:
    """Return every byte of `cuts` by number and offset."""
    return {(piece.no, at) for _, piece in cuts for at in range(piece.offset, piece.end)}


TestPool = Pool.TestCase
TestPool.settings = settings(deadline=None, max_examples=50)
