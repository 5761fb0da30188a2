"""What each end writes down of a run, and what sifting makes of it. The ends hold their own record and nothing else.

Alice knows what she sent in every slot; her record here covers the slots Bob announced. Slots count pulses from 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int64]
Marks = NDArray[np.uint8]
Tally = NDArray[np.int64]


class Sent(NamedTuple):
    """Alice's record, arrays of one length, slots rising: which intensity (0 the strongest), basis and bit."""

    slot: Slots
    intensity: Marks
    basis: Marks
    bit: Marks


class Received(NamedTuple):
    """Bob's record, arrays of one length, slots rising: basis, and outcome 0, 1 or 2 (`response.DOUBLE`)."""

    slot: Slots
    basis: Marks
    outcome: Marks


class Run(NamedTuple):
    """A simulated run of `pulses` pulses: both records, and how many pulses of each intensity and basis were sent.

    `sent_pulses` has shape (intensities, 2). Only a simulation holds both ends at once.
    """

    alice: Sent
    bob: Received
    pulses: int
    sent_pulses: Tally


def joined(runs: Sequence[Run]) -> Run:
    """Return runs that follow each other as one; at least one is needed."""
    sent, received = [run.alice for run in runs], [run.bob for run in runs]
    return Run(
        Sent(
            np.concatenate([one.slot for one in sent]),
            np.concatenate([one.intensity for one in sent]),
            np.concatenate([one.basis for one in sent]),
            np.concatenate([one.bit for one in sent]),
        ),
        Received(
            np.concatenate([one.slot for one in received]),
            np.concatenate([one.basis for one in received]),
            np.concatenate([one.outcome for one in received]),
        ),
        sum(run.pulses for run in runs),
        np.asarray(sum(run.sent_pulses for run in runs)),
    )
