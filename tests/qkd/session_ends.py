"""Two ends of a session in one process, and the wire between them, for the tests of sessions."""

from collections import deque
from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np

from keystrand.qkd import event_engine
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.detections import Run
from keystrand.qkd.finite import Security
from keystrand.qkd.response import honest
from keystrand.qkd.session import Alice, Bob
from keystrand.qkd.session_account import SessionParameters

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
