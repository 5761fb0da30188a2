"""Two ends of a session: equal keys of the length the counts prove, every bit accounted for, and no key otherwise."""

from collections.abc import Generator
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.qkd.session_ends import KEY, PARAMETERS, balances, ends, known, no_key, run_of, talk, with_security

from keystrand.qkd import (
    cascade,
    event_engine,
    finite_one_decoy,
    finite_two_decoys,
    session_cascade,
    session_reconciliation,
)
from keystrand.qkd.authentication import MessageRefused
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.detections import Received, Run, Sent
from keystrand.qkd.finite import Security
from keystrand.qkd.response import honest
from keystrand.qkd.session import Alice
from keystrand.qkd.session_account import EpsilonExceeded, SessionParameters, differing, epsilon_budget
from keystrand.qkd.session_states import Aborted, Done, NoKey, PeerAborted, PeerLost, Running
from keystrand.qkd.session_wire import FRAME_OCTETS

TWO_DECOYS = Bb84Link(
    transmitter=Transmitter(
        pulse_rate_hz=1e9, intensities=(0.5, 0.15, 0.0), probabilities=(0.4, 0.4, 0.2), key_basis_ratio=0.7
    ),
    receiver=Receiver(efficiency=0.5, dark_count_ratio=1e-6, misalignment=0.01, key_basis_ratio=0.7),
    channel_loss_db=1.0,
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_ends_hold_the_same_key_and_account(seed: int) -> None:
    """Equal keys, equal accounts, balanced to the bit; the next session's authentication key is the same, too."""
    alice, bob = ends(run=run_of(seed=seed))
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    assert isinstance(bob.state, Done)
    assert alice.state.key == bob.state.key
    assert repr(alice.state.key) == f"<key of {8 * len(alice.state.key)} bits>"
    assert len(alice.state.key) * 8 == alice.state.account.ledger.delivered_bits > 0
    assert alice.state.authentication == bob.state.authentication
    assert (alice.state.account, alice.state.block) == (bob.state.account, bob.state.block)
    assert balances(alice.state.account, len(alice.state.authentication))


@pytest.mark.parametrize("link", [PARAMETERS.link, TWO_DECOYS], ids=["one decoy", "two decoys"])
def test_length_is_what_finite_keys_say(link: Bb84Link) -> None:
    """From the whole run, which neither end has, the formula gives the length that both ends found by messages."""
    pulses = 2_000_000
    run = event_engine.run(link, honest(link), pulses, 11)
    parameters = msgspec.structs.replace(PARAMETERS, link=link, pulses=pulses)
    alice, bob = ends(parameters, run=run)
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    account, counts = alice.state.account, known(run)
    assert (account.key, account.key_errors) == (tuple(counts.key), tuple(counts.key_errors))
    assert (account.test, account.test_errors) == (tuple(counts.test), tuple(counts.test_errors))
    module = finite_one_decoy if len(link.transmitter.intensities) == 2 else finite_two_decoys
    length = module.key_length(counts, link.transmitter.source, account.ledger.leak_bits, parameters.security)
    assert account.ledger.final_bits == int(length.length_bits) // 8 * 8 > 0


def test_next_session_runs_on_what_the_first_left() -> None:
    """Unused key and refill of one session authenticate the next."""
    first = ends()
    talk(*first)
    left = [bytes(end.state.authentication) for end in first if isinstance(end.state, Done)]
    alice, bob = ends(key=left[0])
    assert left[0] == left[1]
    talk(alice, bob)
    assert isinstance(bob.state, Done)


TRANSCRIPT = talk(*ends())
LAST = len(TRANSCRIPT) - 1


def flipped(frame: bytes, at: int, flip: int) -> bytes:
    """Return `frame` with one octet changed."""
    changed = bytearray(frame)
    changed[at % len(frame)] ^= flip
    return bytes(changed)


@settings(deadline=None, max_examples=40)
@given(index=st.integers(0, LAST - 1), at=st.integers(0), flip=st.integers(1, 255))
def test_a_flipped_octet_anywhere_leaves_nobody_a_key(index: int, at: int, flip: int) -> None:
    """Whatever octet of whatever frame but the last is altered: both ends abort, without doubt, without a key."""
    alice, bob = ends()
    talk(alice, bob, lambda n, frame: [flipped(frame, at, flip) if n == index else frame])
    assert no_key(alice.state, bob.state)
    assert isinstance(alice.state, Aborted)
    assert not alice.state.in_doubt
    for end in (alice, bob):
        assert isinstance(end.state, Aborted)
        assert end.state.authentication.left_bits == 0


@pytest.mark.parametrize("index", [*range(8), *range(LAST - 8, LAST)])
@pytest.mark.parametrize("at", [0, 20, -1], ids=["header", "message", "tag"])
def test_a_flipped_octet_of_each_kind_of_message(index: int, at: int) -> None:
    """The first and the last frames, which hold one of each message: header, content and tag."""
    alice, bob = ends()
    talk(alice, bob, lambda n, frame: [flipped(frame, at, 1) if n == index else frame])
    assert no_key(alice.state, bob.state)
    assert any(isinstance(end.state.error, MessageRefused) for end in (alice, bob) if isinstance(end.state, Aborted))


@pytest.mark.parametrize("fate", ["altered", "lost", "after a replay"])
def test_last_message(fate: str) -> None:
    """Where Alice's last message is not what Bob gets next, she has delivered; he withholds, and names the block."""
    alice, bob = ends()

    def change(n: int, frame: bytes) -> list[bytes]:
        if fate == "after a replay":
            return [frame, frame] if n == LAST - 2 else [frame]
        return [frame] if n < LAST else [flipped(frame, 30, 1)] if fate == "altered" else []

    talk(alice, bob, change)
    assert isinstance(alice.state, Done)
    assert isinstance(bob.state, Aborted)
    assert bob.state.in_doubt
    assert bob.state.block == alice.state.block


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5, 40, LAST - 5])
@pytest.mark.parametrize("fault", ["replayed", "cut", "longer", "empty", "lost", "reflected", "oversized"])
def test_frames_out_of_place(index: int, fault: str) -> None:
    """A frame twice, cut, longer, empty, not at all, an earlier one, or beyond any size: no key."""
    alice, bob = ends()
    earlier: list[bytes] = [b"x" * 50]

    def change(n: int, frame: bytes) -> list[bytes]:
        others = {
            "replayed": [frame, frame], "cut": [frame[:-1]], "longer": [frame + b"\0"], "empty": [b""], "lost": [],
            "reflected": [earlier[-1]], "oversized": [bytes(FRAME_OCTETS + 1)],
        }  # fmt: skip
        made = others[fault] if n == index else [frame]
        earlier.append(frame)
        return made

    talk(alice, bob, change)
    assert no_key(alice.state, bob.state)


def test_frames_in_another_order() -> None:
    """Two frames of Bob's that follow each other, changed over, are refused."""
    alice, bob = ends()
    held: list[bytes] = []

    def change(n: int, frame: bytes) -> list[bytes]:
        if n == LAST - 4:
            held.append(frame)
            return []
        return [frame, *held] if n == LAST - 3 else [frame]

    talk(alice, bob, change)
    assert no_key(alice.state, bob.state)
    assert isinstance(alice.state, Aborted)
    assert isinstance(alice.state.error, MessageRefused)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frame_bits", 8192), ("pulses", 7), ("security", Security(secrecy=1e-4)), ("batched", False),
        ("link", TWO_DECOYS), ("epsilon_limit", 0.5), ("frames_in_flight", 2),
    ],
)  # fmt: skip
def test_ends_that_do_not_want_the_same(field: str, value: object) -> None:
    """Any parameter that differs is named, at both ends."""
    other = with_security(**{field: value})
    alice, bob = ends(bob=other)
    talk(alice, bob)
    assert no_key(alice.state, bob.state)
    for end in (alice, bob):
        assert isinstance(end.state, Aborted)
        assert field in end.state.reason
    assert differing(PARAMETERS, other) == [field]


def test_records_of_different_runs() -> None:
    """Slots that Alice never sent, or a number of bits that differs, end the session."""
    alice, bob = ends(run=Run(run_of(seed=1).alice, run_of(seed=2).bob, PARAMETERS.pulses, run_of().sent_pulses))
    talk(alice, bob)
    assert no_key(alice.state, bob.state)
    assert isinstance(bob.state, Aborted)
    assert isinstance(bob.state.error, PeerAborted)


@pytest.mark.parametrize("portions", [1, 2, 3, 4, 5, 50, LAST // 2 - 1])
def test_exhausted_authentication(portions: int) -> None:
    """Where authentication key runs out, at whatever step, nobody has a key."""
    alice, bob = ends(key=KEY[: 64 * portions])
    talk(alice, bob)
    assert no_key(alice.state, bob.state)


def test_different_authentication_keys() -> None:
    """An end with another key is not listened to."""
    alice, _ = ends()
    _, bob = ends(key=KEY[::-1])
    talk(alice, bob)
    assert no_key(alice.state, bob.state)


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, 7, 100, LAST - 4, LAST - 3, LAST - 2, LAST - 1])
def test_dead_peer_at_each_step(index: int) -> None:
    """From some frame on nothing arrives: both ends say what they waited for, and have no key."""
    alice, bob = ends()
    talk(alice, bob, lambda n, frame: [frame] if n < index else [])
    assert no_key(alice.state, bob.state)
    for end in (alice, bob):
        assert isinstance(end.state, Aborted)
        assert isinstance(end.state.error, PeerLost)
    assert isinstance(alice.state, Aborted)
    assert not alice.state.in_doubt


def test_eavesdropped_run_gives_no_key() -> None:
    """All pulses measured and sent again: a quarter of the bits is wrong, and the counts prove nothing."""
    run = run_of()
    rng = np.random.default_rng(3)
    guessed = np.where(
        rng.random(run.bob.outcome.size) < 0.5, rng.integers(0, 2, run.bob.outcome.size), run.bob.outcome
    )
    alice, bob = ends(run=run._replace(bob=run.bob._replace(outcome=guessed.astype(np.uint8))))
    talk(alice, bob)
    assert isinstance(alice.state, NoKey)
    assert isinstance(bob.state, NoKey)
    assert alice.state.reason == bob.state.reason
    assert "prove no key" in bob.state.reason
    account = bob.state.account
    assert sum(account.test_errors) / sum(account.test) == pytest.approx(0.255, abs=0.02)
    assert balances(account, len(bob.state.authentication))


def test_block_of_zero() -> None:
    """A run in which nothing was detected ends without a key, and cleanly; so does one without the test basis."""
    none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    empty = Run(
        Sent(none[0], *[none[1]] * 3), Received(none[0], none[1], none[1]), 10, np.zeros((2, 2), dtype=np.int64)
    )
    alice, bob = ends(run=empty)
    talk(alice, bob)
    for end in (alice, bob):
        assert isinstance(end.state, NoKey)
        assert "nothing was detected" in end.state.reason
        assert balances(end.state.account, len(end.state.authentication))
    assert alice.state == bob.state or isinstance(bob.state, NoKey)


def test_failed_frames_are_told_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames whose correction fails are told in clear, count as disclosed whole, and stay in every count."""
    monkeypatch.setattr(session_cascade, "plan_for", partial(cascade.plan_for, passes=4))
    run = run_of(2_000_000, 11)
    parameters = with_security(pulses=2_000_000)
    alice, bob = ends(parameters, run=run)
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    assert isinstance(bob.state, Done)
    assert alice.state.key == bob.state.key
    assert alice.state.account == bob.state.account
    account = bob.state.account
    assert account.failed_frames > 0
    assert account.ledger.told_bits >= account.failed_frames * parameters.frame_bits - parameters.frame_bits
    assert account.key_errors == tuple(known(run).key_errors)
    assert balances(account, len(bob.state.authentication))


def test_keys_that_differ_after_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that correction got wrong unseen is found by the tag of the whole key, and nobody delivers."""
    true_bob = session_reconciliation.bob

    def wrong_bob(bits: Any, parameters: SessionParameters) -> Generator[Any, Any, Any]:
        result, said = yield from true_bob(bits, parameters)
        changed = result.bits.copy()
        changed[-1] ^= 1
        return result._replace(bits=changed), said

    monkeypatch.setattr(session_reconciliation, "bob", wrong_bob)
    alice, bob = ends()
    talk(alice, bob)
    assert no_key(alice.state, bob.state)
    assert isinstance(bob.state, Aborted)
    assert "differ" in bob.state.reason


LDPC = with_security(correction="ldpc", frame_bits=2**15)


def test_ldpc_takes_a_handful_of_messages() -> None:
    """The same key at both ends by LDPC codes, with a fraction of the messages, each bit accounted for."""
    alice, bob = ends(LDPC)
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    assert isinstance(bob.state, Done)
    assert alice.state.key == bob.state.key
    assert alice.state.account == bob.state.account
    account = alice.state.account
    assert account.key_errors == tuple(known(run_of()).key_errors)
    assert account.messages <= 16 + 2 * account.rounds <= 50
    assert account.net_bits > 0
    assert balances(account, len(alice.state.authentication))


@settings(deadline=None, max_examples=10)
@given(index=st.integers(0, 10), at=st.integers(0), flip=st.integers(1, 255))
def test_a_flipped_octet_with_ldpc(index: int, at: int, flip: int) -> None:
    """Nobody has a key after an octet was altered."""
    alice, bob = ends(LDPC)
    talk(alice, bob, lambda n, frame: [flipped(frame, at, flip) if n == index else frame])
    assert no_key(alice.state, bob.state)


def test_sequential_mode_discloses_less() -> None:
    """One search at a time costs more round trips and fewer parities, for the same key of both ends."""
    accounts = []
    for batched in (True, False):
        alice, bob = ends(with_security(batched=batched), key=KEY * 20)
        talk(alice, bob)
        assert isinstance(alice.state, Done)
        accounts.append(alice.state.account)
    assert accounts[1].ledger.parity_bits < accounts[0].ledger.parity_bits
    assert accounts[1].rounds > accounts[0].rounds


def test_epsilons_add_up() -> None:
    """Secrecy, correctness and all forgery bounds stay below the limit, and a sum above it is refused."""
    alice, bob = ends()
    talk(alice, bob)
    assert isinstance(alice.state, Done)
    epsilon = alice.state.account.epsilon
    assert epsilon.total == epsilon.secrecy + epsilon.correctness + epsilon.authentication <= epsilon.limit
    assert 0 < epsilon.authentication < 1e-20
    with pytest.raises(ValueError, match="epsilon_limit"):
        with_security(epsilon_limit=1e-4)
    with pytest.raises(EpsilonExceeded):
        epsilon_budget(PARAMETERS, 100, 0.5).check()


def test_epsilon_by_length_above_the_limit_gives_no_key() -> None:
    """With secrecy per bit of key, a key too long for the limit is not made."""
    parameters = with_security(security=Security(secrecy=1e-6, correctness=1e-9, per_key_bit=True), epsilon_limit=1e-3)
    alice, bob = ends(parameters)
    talk(alice, bob)
    assert isinstance(alice.state, NoKey)
    assert "above the limit" in alice.state.reason
    assert isinstance(bob.state, NoKey)


def test_bad_arguments() -> None:
    """Authentication key of an odd length and frames of no power of two are refused at once."""
    with pytest.raises(ValueError, match="multiples of 64"):
        Alice(run_of().alice, PARAMETERS, b"x" * 63, bytes)
    with pytest.raises(ValueError, match="power of two"):
        with_security(frame_bits=1000)
    with pytest.raises(ValueError, match="at least 32768"):
        with_security(correction="ldpc")


def test_an_ended_session_says_nothing_more() -> None:
    """Frames after the end are not answered and change nothing; a new end waits for hello."""
    alice, bob = ends()
    assert alice.state == Running(step="hello")
    talk(alice, bob)
    state = alice.state
    assert alice.receive(b"anything") == []
    assert alice.state is state
