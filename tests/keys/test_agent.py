"""Two ends of one consumer under every loss, crash and delay that hypothesis finds: that they meet again."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.keys.agent import End
from keystrand.keys.agent_initiator import InitiatorEnd
from keystrand.keys.agent_memory import Action, Do, Event, Heard, Memory, Pace, Save, Tell, Verb
from keystrand.keys.agent_responder import ResponderEnd
from keystrand.keys.lapse import FailurePolicy, Footing, Terms
from keystrand.model.errors import InvalidInput

PACE = Pace(rotate_every_s=60, wait_s=5, prove_within_s=10, prove_every_s=1, retry_s=1, retry_most_s=8)
TERMS = {
    FailurePolicy.FAIL_SECURE: Terms(policy=FailurePolicy.FAIL_SECURE, max_age_s=100),
    FailurePolicy.HOLD_UNTIL_TTL: Terms(policy=FailurePolicy.HOLD_UNTIL_TTL, max_age_s=100, ttl_s=200),
    FailurePolicy.FALLBACK_PQC: Terms(policy=FailurePolicy.FALLBACK_PQC, max_age_s=100, fallback_most_s=300),
}


class World:
    """Both ends with their consumers, KMEs and the way between them; time goes on only where a test says so."""

    def __init__(self, policy: FailurePolicy, pace: Pace = PACE) -> None:
        self.terms, self.pace, self.now = TERMS[policy], pace, 1000.0
        self.saved: list[Memory] = [Memory(), Memory()]
        self.holds: list[list[str]] = [[], []]
        self.installed: list[list[str]] = [[], []]
        self.told: list[list[Tell]] = [[], []]
        self.keys, self.kme, self.link, self.proves = 0, [True, True], True, True
        self.ends: list[End] = [self._made(0), self._made(1)]
        self.ahead: list[tuple[int, Action]] = []
        for at in (0, 1):
            self.take(at, self.ends[at].begin(self.now))

    def _made(self, at: int) -> End:
        kind = (InitiatorEnd, ResponderEnd)[at]
        return kind(self.terms, self.pace, self.saved[at])

    def take(self, at: int, actions: tuple[Action, ...]) -> None:
        """Have `actions` of one end done, after what is ahead already."""
        self.ahead += [(at, one) for one in actions]

    def step(self) -> bool:
        """Do the next thing that was asked for; return whether there was one."""
        if not self.ahead:
            return False
        at, action = self.ahead.pop(0)
        if isinstance(action, Save):
            self.saved[at] = action.memory
        elif isinstance(action, Tell):
            self.told[at].append(action)
        else:
            self._do(at, action)
        return True

    def lose(self) -> None:
        """Do the next thing, but let nobody hear of it where it is a word to the peer."""
        if self.ahead and isinstance(action := self.ahead[0][1], Do) and action.verb not in _OWN:
            self.ahead.pop(0)

    def crash(self, at: int) -> None:
        """Kill one end: whatever it was about to do is not done, and it starts from its journal."""
        self.ahead = [one for one in self.ahead if one[0] != at]
        self.ends[at] = self._made(at)
        other = 1 - at
        if new := self.ends[other].new:
            self.hear(other, Heard.FAILED, new.key_id, why="the connection broke")
        self.take(at, self.ends[at].begin(self.now))

    def hear(self, at: int, heard: Heard, key_id: str = "", **more: Any) -> None:
        """Tell one end of something."""
        self.take(at, self.ends[at].handle(Event(heard=heard, key_id=key_id, **more), self.now))

    def _do(self, at: int, do: Do) -> None:
        if do.verb in _OWN:
            getattr(self, f"_{do.verb.name.lower()}")(at, do)
        elif self.link:
            self._say(at, do)
        elif do.verb is Verb.OFFER:
            self.hear(at, Heard.FAILED, do.key_id, why="the peer is not reached")

    def _take(self, at: int, _: Do) -> None:
        if not self.kme[at]:
            self.hear(at, Heard.NO_KEY, why="empty")
            return
        self.keys += 1
        self.hear(at, Heard.TAKEN, f"key-{self.keys}", label="qkd")

    def _agree(self, at: int, _: Do) -> None:
        if not self.link:
            self.hear(at, Heard.NO_KEY, why="the peer is not reached")
            return
        self.keys += 1
        self.hear(at, Heard.TAKEN, f"key-{self.keys}", label="pqc", substitute=True)

    def _fetch(self, at: int, do: Do) -> None:
        known = self.kme[at] or do.label == "pqc"
        self.hear(at, Heard.MATCHED if known else Heard.UNMATCHED, do.key_id, why="" if known else "no such key")

    def _install(self, at: int, do: Do) -> None:
        assert self.ends[at].memory.held[-1].key_id == do.key_id
        assert self.saved[at].held[-1].key_id == do.key_id, "the journal knows before the consumer does"
        assert self.told[at][-1].action == "agent.install", "the audit knows before the consumer does"
        assert do.key_id not in self.installed[at], "no key is installed twice"
        assert at == 1 or do.key_id in self.installed[1], "the responder installs first"
        self.installed[at].append(do.key_id)
        self.holds[at].append(do.key_id)
        self.hear(at, Heard.INSTALLED, do.key_id)

    def _prove(self, at: int, do: Do) -> None:
        runs = self.proves and do.key_id in self.holds[0] and do.key_id in self.holds[1]
        self.hear(at, Heard.PROVED if runs else Heard.NOT_PROVED, do.key_id, why="a handshake" if runs else "none yet")

    def _retire(self, at: int, do: Do) -> None:
        self.holds[at] = [one for one in self.holds[at] if one != do.key_id]
        self.hear(at, Heard.RETIRED, do.key_id)

    def _destroy(self, at: int, do: Do) -> None:
        """Nobody needs to hear of it."""

    def _say(self, at: int, do: Do) -> None:
        other, mine = 1 - at, self.ends[at].memory
        heard = _SAID[do.verb]
        substitute = do.label == "pqc"
        self.hear(other, heard, do.key_id, label=do.label, substitute=substitute, number=mine.number, why=do.why)

    def run(self, seconds: float, *, wake: float = 1.0) -> None:
        """Let time go on, everything that is asked for being done at once."""
        end = self.now + seconds
        for _ in range(10_000):
            self.drain()
            if self.now >= end:
                return
            wakes = [one.next_s for one in self.ends if one.next_s > self.now]
            self.now = min([end, *(max(at, self.now + 0.001) for at in wakes)] if wakes else [end, self.now + wake])
            for at in (0, 1):
                self.take(at, self.ends[at].poll(self.now))
        raise AssertionError("time does not go on")

    def drain(self) -> None:
        """Do everything that is asked for. That has an end."""
        for _ in range(10_000):
            if not self.step():
                return
        raise AssertionError(f"the ends go round in a circle: {self.ahead[:9]}")

    @property
    def footing(self) -> list[Footing]:
        """What the traffic stands on at either end."""
        return [one.lapse.footing for one in self.ends]


_OWN = {Verb.TAKE, Verb.AGREE, Verb.FETCH, Verb.INSTALL, Verb.PROVE, Verb.RETIRE, Verb.DESTROY}
_SAID = {
    Verb.OFFER: Heard.OFFERED, Verb.TELL_INSTALL: Heard.TOLD_TO_INSTALL, Verb.TELL_PROVEN: Heard.PEER_PROVED,
    Verb.CONFIRM: Heard.CONFIRMED, Verb.REFUSE: Heard.REFUSED, Verb.SAY_INSTALLED: Heard.PEER_INSTALLED,
    Verb.WANT: Heard.WANTED,
}  # fmt: skip


def test_a_key_an_interval_and_one_at_a_time() -> None:
    """Undisturbed, both ends go from key to key at the pace they were told, and hold one when it is quiet."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(0)
    assert world.footing == [Footing.FRESH, Footing.FRESH]
    world.run(10 * 60 + 1)
    assert world.holds == [["key-11"], ["key-11"]]
    assert [memory.doomed for memory in world.saved] == [(), ()]


def test_fail_secure_takes_the_key_away_at_its_age_and_not_before() -> None:
    """The KME dies: traffic goes on to the age that the policy names, then nothing passes, and a key brings it back."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(0)
    world.kme = [False, False]
    world.run(99)
    assert world.holds == [["key-1"], ["key-1"]]
    world.run(2)
    assert world.holds == [[], []]
    assert world.footing == [Footing.INVALID, Footing.INVALID]
    world.kme = [True, True]
    world.run(PACE.retry_most_s)
    assert world.footing == [Footing.FRESH, Footing.FRESH]
    assert world.holds[0] == world.holds[1] != []


def test_a_substitute_comes_before_the_key_is_too_old_and_goes_when_a_fresh_one_comes() -> None:
    """Not one moment is invalid; the box is its time and no longer; the return is by itself."""
    world = World(FailurePolicy.FALLBACK_PQC)
    world.run(0)
    world.kme = [False, True]
    world.run(70)
    assert world.footing == [Footing.FRESH, Footing.FRESH], "a key that is not old needs no substitute"
    for _ in range(250):
        world.run(1)
        assert Footing.INVALID not in world.footing
    assert world.footing == [Footing.SUBSTITUTE, Footing.SUBSTITUTE]
    world.run(70)
    assert world.footing == [Footing.INVALID, Footing.INVALID]
    assert world.holds == [[], []]
    world.kme = [True, True]
    world.run(PACE.retry_most_s)
    assert world.footing == [Footing.FRESH, Footing.FRESH]


def test_a_responder_whose_kme_is_dead_leads_to_a_substitute_too() -> None:
    """A key that only one end can have is none."""
    world = World(FailurePolicy.FALLBACK_PQC)
    world.run(0)
    world.kme = [True, False]
    world.run(120)
    assert world.footing == [Footing.SUBSTITUTE, Footing.SUBSTITUTE]


def test_an_offer_is_heard_once() -> None:
    """A replayed offer, or one with an older number, changes nothing and is told."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(0)
    responder = world.ends[1]
    before = responder.memory
    for number, key_id in ((1, "key-1"), (1, "other"), (0, "other")):
        actions = responder.handle(Event(heard=Heard.OFFERED, key_id=key_id, label="qkd", number=number), world.now)
        assert [one.verb for one in actions if isinstance(one, Do)] == [Verb.REFUSE]
    assert responder.memory == before


def test_a_peer_cannot_ask_for_keys_without_end() -> None:
    """An end whose consumer lost its key is helped, but not again and again."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(20)
    before = world.keys
    for _ in range(50):
        world.hear(0, Heard.WANTED)
        world.run(0.5)
    assert world.keys - before <= 1 + 25 / PACE.retry_most_s


def test_keys_that_are_never_proven_do_not_pile_up() -> None:
    """A consumer without traffic proves nothing: unproven keys go with the one that was proven before."""
    pace = replace(PACE, rotate_every_s=20.0)
    world = World(FailurePolicy.HOLD_UNTIL_TTL, pace)
    world.run(0)
    world.proves = False
    for _ in range(60):
        world.run(10)
        for at in (0, 1):
            ages = [world.now - note.born_s for note in world.ends[at].memory.held]
            assert all(age < 200 + pace.prove_within_s for age in ages)
            assert set(world.holds[at]) <= {note.key_id for note in world.ends[at].memory.held}


def test_a_responder_left_without_a_key_asks_for_one() -> None:
    """The word of the first proof is lost, and a false offer ends the wait: the other end hears of it at once."""
    world = World(FailurePolicy.FAIL_SECURE)
    while not any(isinstance(one, Do) and one.verb is Verb.TELL_PROVEN for _, one in world.ahead):
        assert world.step()
    world.ahead = [one for one in world.ahead if not (isinstance(one[1], Do) and one[1].verb is Verb.TELL_PROVEN)]
    world.kme[1] = False
    world.hear(1, Heard.OFFERED, "false", label="qkd", number=99)
    world.drain()
    assert world.footing == [Footing.FRESH, Footing.INVALID]
    world.kme[1] = True
    world.run(PACE.retry_most_s + 1)
    assert world.footing == [Footing.FRESH, Footing.FRESH]
    assert world.holds[0] == world.holds[1]


def test_an_initiator_that_lost_its_journal_goes_on_above_what_the_peer_heard() -> None:
    """A new disk at one end does not stop the two for ever."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(5 * 60)
    world.saved[0] = Memory()
    world.crash(0)
    world.run(20)
    assert world.footing == [Footing.FRESH, Footing.FRESH]
    assert world.holds[0][-1] == world.holds[1][-1]


@pytest.mark.parametrize("policy", [FailurePolicy.FAIL_SECURE, FailurePolicy.HOLD_UNTIL_TTL])
def test_no_other_policy_hears_an_offer_of_a_substitute(policy: FailurePolicy) -> None:
    """A peer cannot talk an end into a weaker key."""
    end = ResponderEnd(TERMS[policy], PACE, Memory())
    actions = end.handle(Event(heard=Heard.OFFERED, key_id="k", label="pqc", substitute=True, number=1), 0.0)
    assert [one.verb for one in actions if isinstance(one, Do)] == [Verb.REFUSE]


def test_a_key_that_was_not_proven_goes_with_the_one_before_it() -> None:
    """Traffic that never ran under the new key: both go when the old one is too old, and none stays for ever."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(0)
    world.proves = False
    world.run(300)
    assert world.footing == [Footing.INVALID, Footing.INVALID]
    trial = {one.new.key_id for one in world.ends if one.new}
    assert set(world.holds[0]) | set(world.holds[1]) <= trial
    world.kme = [False, False]
    world.run(60)
    assert world.holds == [[], []]


@pytest.mark.parametrize("gone", [0.0, 50.0, 99.0, 101.0, 1e6])
@pytest.mark.parametrize("at", [0, 1])
def test_a_restart_counts_the_time_that_it_was_away(gone: float, at: int) -> None:
    """Killed and started later, an end has a key as old as it is: too old, it is gone at once."""
    world = World(FailurePolicy.FAIL_SECURE)
    world.run(0)
    world.kme = [False, False]
    world.now += gone
    world.crash(at)
    world.drain()
    assert world.ends[at].lapse.footing is (Footing.FRESH if gone < 100 else Footing.INVALID)
    assert world.holds[at] == (["key-1"] if gone < 100 else [])


def test_a_restart_does_not_open_the_box_of_substitutes_anew() -> None:
    """The time that post-quantum keys may serve in all counts from the first one, over every restart."""
    world = World(FailurePolicy.FALLBACK_PQC)
    world.run(0)
    world.kme = [False, False]
    invalid = False
    for _ in range(14):
        world.run(30)
        world.crash(0)
        world.crash(1)
        invalid = invalid or Footing.INVALID in world.footing
    assert world.footing == [Footing.INVALID, Footing.INVALID]
    assert world.holds == [[], []]


steps = st.lists(
    st.sampled_from(["step"] * 12 + ["lose", "crash 0", "crash 1", "wait", "kme 0", "kme 1", "link", "proof"]),
    max_size=80,
)


@settings(max_examples=100)
@given(st.sampled_from(sorted(TERMS)), steps)
def test_whatever_happens_the_ends_meet_again_and_no_key_serves_beyond_its_time(
    policy: FailurePolicy, what: list[str]
) -> None:
    """No key is installed twice, none stays where the footing is invalid, and one calm changeover settles both."""
    world = World(policy)
    for one in what:
        match one:
            case "step":
                world.step()
            case "lose":
                world.lose()
            case "crash 0" | "crash 1":
                world.crash(int(one[-1]))
            case "wait":
                world.run(13)
                _nothing_invalid_serves(world)
            case "kme 0" | "kme 1":
                world.kme[int(one[-1])] ^= True
            case "link":
                world.link = not world.link
            case "proof":
                world.proves = not world.proves
    world.kme, world.link, world.proves = [True, True], True, True
    world.run(PACE.rotate_every_s + 4 * PACE.wait_s + PACE.prove_within_s + PACE.retry_most_s)
    world.run(PACE.rotate_every_s)
    assert world.footing == [Footing.FRESH, Footing.FRESH]
    assert world.holds[0][-1:] == world.holds[1][-1:] != []
    for at, end in enumerate(world.ends):
        assert set(world.holds[at]) <= {note.key_id for note in end.memory.held}, "the journal knows every key in place"


def _nothing_invalid_serves(world: World) -> None:
    """Check that an end without a footing holds no key but the one on trial, and no end a key that is too old."""
    for at, end in enumerate(world.ends):
        trial = {end.new.key_id} if end.new else set()
        if end.lapse.footing is Footing.INVALID:
            assert set(world.holds[at]) <= trial
        assert end.lapse.age_s(world.now) == math.inf or end.lapse.age_s(world.now) <= 200


def test_times_that_make_no_sense_are_refused() -> None:
    """A pace of nothing, or one that grows shorter."""
    with pytest.raises(InvalidInput, match="above 0"):
        Pace(rotate_every_s=0)
    with pytest.raises(InvalidInput, match="retry_most_s is below"):
        Pace(rotate_every_s=1, retry_s=5, retry_most_s=1)
    assert [Pace(rotate_every_s=1).after(n) for n in (1, 2, 3, 50)] == [1, 2, 4, 30]
    assert replace(PACE, wait_s=1.0).wait_s < math.inf


def test_what_came_to_its_end_and_what_did_not_is_counted_over_restarts() -> None:
    """Each changeover counts once at either end; so does each failure; the KME's stock is kept as it was told."""
    world = World(FailurePolicy.HOLD_UNTIL_TTL)
    world.run(0)
    world.hear(0, Heard.STOCK, number=7)
    world.run(3 * 60 + 1)
    for at in (0, 1):
        world.crash(at)
    world.run(1)
    assert [(memory.changeovers, memory.failures) for memory in world.saved] == [(4, 0), (4, 0)]
    assert [memory.stock for memory in world.saved] == [7, None]
    world.kme = [True, False]
    world.run(65)
    failed = [sum(one.action == "agent.changeover-failed" for one in told) for told in world.told]
    assert failed[0] > 0
    assert [memory.failures for memory in world.saved] == failed
    assert [memory.changeovers for memory in world.saved] == [4, 4]
