"""Two ends of a session in one process, and the wire between them, for the tests of sessions."""

from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import numpy as np

from keystrand.qkd import event_engine
from keystrand.qkd.bb84_link import KEY as KEY_BASIS
from keystrand.qkd.bb84_link import TEST, Bb84Link, Receiver, Transmitter
from keystrand.qkd.detections import Run
from keystrand.qkd.finite import Counts, Security
from keystrand.qkd.response import DOUBLE, honest
from keystrand.qkd.session import Alice, Bob
from keystrand.qkd.session_account import Account, SessionParameters
from keystrand.qkd.session_states import Aborted

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.15), probabilities=(0.5, 0.5), key_basis_ratio=0.7),
    receiver=Receiver(efficiency=0.5, dark_count_ratio=1e-6, misalignment=0.01, key_basis_ratio=0.7),
    channel_loss_db=1.0,
)
PULSES = 800_000
PARAMETERS = SessionParameters(
    link=LINK,
    pulses=PULSES,
    security=Security(secrecy=1e-3, correctness=1e-9),
    epsilon_limit=1e-2,
    frame_bits=4096,
    frames_in_flight=8,
)
KEY = np.random.default_rng(7).bytes(64 * 1000)

Change = Callable[[int, bytes], list[bytes]]
"""What the channel makes of the frame with this number: what arrives."""


@cache
def run_of(pulses: int = PULSES, seed: int = 5, link: Bb84Link = LINK) -> Run:
    """Return a simulated run, always the same."""
    return event_engine.run(link, honest(link), pulses, seed)


def ends(
    parameters: SessionParameters = PARAMETERS,
    key: bytes = KEY,
    bob: SessionParameters | None = None,
    run: Run | None = None,
) -> tuple[Alice, Bob]:
    """Return both ends, whose randomness is seeded so that a test can be repeated."""
    made = run or run_of()
    return (
        Alice(made.alice, parameters, key, np.random.default_rng(1).bytes),
        Bob(made.bob, bob or parameters, key, np.random.default_rng(2).bytes),
    )


def talk(alice: Alice, bob: Bob, change: Change | None = None) -> list[bytes]:
    """Carry frames until nobody says anything; return them in order. Whoever is left waiting learns of the silence."""
    queue, sent = deque[tuple[Alice | Bob, bytes]](), list[bytes]()
    queue.extend((bob, frame) for frame in alice.start())
    queue.extend((alice, frame) for frame in bob.start())
    while queue:
        to, frame = queue.popleft()
        sent.append(frame)
        other = bob if to is alice else alice
        for arriving in change(len(sent) - 1, frame) if change else [frame]:
            queue.extend((other, answer) for answer in to.receive(arriving))
    for end in (alice, bob):
        end.lost("nothing more comes")
    return sent


def with_security(**changes: object) -> SessionParameters:
    """Return the parameters with some of them changed."""
    return msgspec.structs.replace(PARAMETERS, **changes)


def no_key(*states: object) -> bool:
    """Return whether every end was aborted and none holds a key."""
    return all(isinstance(state, Aborted) for state in states)


def balances(account: Account, authentication_octets: int) -> bool:
    """Return whether every bit of key and of authentication key is accounted for."""
    key, spent = account.ledger, account.authentication
    return (
        key.sifted_bits == key.parity_bits + key.tag_bits + key.told_bits + key.shrink_bits + key.final_bits
        and key.final_bits == key.refill_bits + key.delivered_bits
        and min(msgspec.structs.astuple(key)) >= 0
        and spent.put_in_bits == spent.spent_bits + spent.discarded_bits + spent.left_bits == 8 * len(KEY)
        and 8 * authentication_octets == spent.left_bits + key.refill_bits
    )


def known(run: Run, coins_seed: int = 2) -> Counts:
    """Return the counts as somebody sees them who has both records, and Bob's coins for double clicks."""
    sent, received = run.alice, run.bob
    double = received.outcome == DOUBLE
    coins = np.unpackbits(np.frombuffer(np.random.default_rng(coins_seed).bytes(-(-int(double.sum()) // 8)), np.uint8))
    bits = received.outcome.copy()
    bits[double] = coins[: double.sum()]
    kinds = range(run.sent_pulses.shape[0])

    def count(basis: int, *, wrong: bool) -> Any:
        chosen = (sent.basis == basis) & (received.basis == basis)
        chosen &= (bits != sent.bit) if wrong else True
        return np.array([np.sum(chosen & (sent.intensity == k)) for k in kinds], dtype=np.float64)

    return Counts(*(count(basis, wrong=wrong) for basis in (KEY_BASIS, TEST) for wrong in (False, True)))
