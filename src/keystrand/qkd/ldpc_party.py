"""The two parties of LDPC reconciliation. They share the plan, and nothing but messages.

Alice sends the syndromes, uint8 of shape (frames, syndrome bits). Bob's requests are int32 of shape (k, 2): the frames
not decoded yet, and for each the round of reveals he wants; the answer holds the bits of these rounds one after
another. One syndrome is mostly all that is sent. Importing this module loads the compiler.
"""

import numpy as np
import numpy.typing as npt

from keystrand.qkd import ldpc_kernel as kernel
from keystrand.qkd.cascade import TAG_BITS, Bits, as_frames, is_bits, tag
from keystrand.qkd.cascade_party import Corrected
from keystrand.qkd.ldpc import LdpcPlan, code_of, layout
from keystrand.qkd.ldpc_codes import COLUMNS

Counts = npt.NDArray[np.int64]
Requests = npt.NDArray[np.int32]

FIRST_ITERATIONS = 80  # a frame with one or two per cent to spare takes 25 to 60
MORE_ITERATIONS = 40  # after a round of reveals; what was found before is kept
CERTAIN = np.float32(40.0)  # log-likelihood ratio, in bits, of what both know; the decoder tells nothing above 24.5


class Alice:
    """The party whose bits count. `fill` are her secret random bits for the punctured places, fresh for each frame.

    The account rests on them: they must be uniform, and never leave her but by `answer`.
    """

    def __init__(self, plan: LdpcPlan, frames: npt.ArrayLike, fill: npt.ArrayLike) -> None:
        self._plan, self._places = plan, layout(plan)
        self._frames = as_frames(plan.frame_bits, frames)
        filled = np.asarray(fill)
        wanted = (len(self._frames), plan.punctured_bits)
        if filled.shape != wanted or not is_bits(filled):
            raise ValueError(f"the fill is bits of shape {wanted}, one for each punctured place")
        self._words = np.stack([_laid(plan, frame) for frame in self._frames])
        self._words[:, self._places.punctured] = filled
        self._rounds = np.zeros(len(self._frames), dtype=np.int64)
        self._revealed = np.zeros(len(self._frames), dtype=np.int64)

    @property
    def disclosed_bits(self) -> Counts:
        """Return for each frame what is leaked if Bob asks no more: see `ldpc` for the account."""
        return np.array(
            [
                self._plan.disclosed_bits(r + 1, v)
                for r, v in zip(self._rounds.tolist(), self._revealed.tolist(), strict=True)
            ]
        )

    def syndromes(self) -> Bits:
        """Return the syndromes of all frames; sent a second time they tell nothing new."""
        code = code_of(self._plan)
        return np.stack([kernel.syndrome(code, word) for word in self._words])

    def answer(self, requests: Requests) -> Bits:
        """Return the bits of the rounds asked for; ValueError for a frame not there or a round that is not the next."""
        asked = np.asarray(requests)
        if asked.ndim != 2 or asked.shape[1] != 2 or not np.issubdtype(asked.dtype, np.integer):
            raise ValueError("requests are whole numbers of shape (k, 2): frame, round")
        frame, turn = asked.T
        inside = (frame >= 0).all() and (frame < len(self._frames)).all() and (turn < self._plan.max_rounds).all()
        if not inside or np.unique(frame).size != frame.size:
            raise ValueError("a request names a frame twice, or a frame or round outside the plan")
        if (turn != self._rounds[frame]).any():
            raise ValueError("a request names a round that is not the frame's next")
        given = [self._words[i, self._places.rounds[k]] for i, k in zip(frame, turn, strict=True)]
        self._rounds[frame] += 1
        self._revealed[frame] += [part.size for part in given]
        return np.concatenate([np.empty(0, dtype=np.uint8), *given])

    def tags(self, points: list[int]) -> list[int]:
        """Return the tag of each frame at its point; the points are drawn once correction has ended."""
        return [tag(frame, point) for frame, point in zip(self._frames, points, strict=True)]


class Bob:
    """The party that corrects: `start` with the syndromes, then `take(answer(ask()))` until `ask` returns none."""

    def __init__(self, plan: LdpcPlan, frames: npt.ArrayLike) -> None:
        self._plan = plan
        self._frames = as_frames(plan.frame_bits, frames)
        self._work: list[_Attempt] = []
        self._awaited: list[_Attempt] = []
        self.rounds = 0

    @property
    def disclosed_bits(self) -> Counts:
        """Return for each frame what is leaked, by Bob's own count: see `ldpc` for the account."""
        return np.array([work.disclosed_bits for work in self._work], dtype=np.int64)

    def start(self, syndromes: npt.ArrayLike) -> None:
        """Take Alice's syndromes and decode; ValueError if they are no bits of the plan's shape, or come twice."""
        given, wanted = np.asarray(syndromes), (len(self._frames), self._plan.syndrome_bits)
        if given.shape != wanted or not is_bits(given):
            raise ValueError(f"syndromes are bits of shape {wanted}, not {given.shape}")
        if self._work:
            raise ValueError("the syndromes were taken before")
        pairs = zip(self._frames, given.astype(np.uint8), strict=True)
        self._work = [_Attempt(self._plan, frame, theirs) for frame, theirs in pairs]

    def ask(self) -> Requests:
        """Return the next requests, none when correction has ended; ValueError before its turn."""
        if not self._work or self._awaited:
            raise ValueError("the syndromes, or the bits asked for last, were not taken yet")
        open_ = [(i, work) for i, work in enumerate(self._work) if not work.ended]
        self._awaited = [work for _, work in open_]
        self.rounds += bool(open_)
        return np.array([(i, work.rounds) for i, work in open_], dtype=np.int32).reshape(-1, 2)

    def take(self, revealed: npt.ArrayLike) -> None:
        """Take the bits asked for last and decode again; ValueError if they are not as many bits, or come twice."""
        given, sizes = np.asarray(revealed), [work.next_bits for work in self._awaited]
        if not sizes or given.shape != (sum(sizes),) or not is_bits(given):
            raise ValueError(f"{sum(sizes)} bits, each 0 or 1, were asked for")
        parts = np.split(given.astype(np.uint8), np.cumsum(sizes)[:-1])
        for work, part in zip(self._awaited, parts, strict=True):
            work.learn(part)
        self._awaited = []

    def results(self, points: list[int], tags: list[int]) -> list[Corrected]:
        """Return what became of each frame by Alice's tags; ValueError before correction has ended.

        The leak holds all that was disclosed and the tag: it is what privacy amplification must remove.
        """
        if not self._work or self._awaited or any(not work.ended for work in self._work):
            raise ValueError("correction has not ended")
        everything = zip(self._work, self._frames, points, tags, strict=True)
        return [work.judged(frame, point, theirs) for work, frame, point, theirs in everything]


def reconcile(
    plan: LdpcPlan, alice: npt.ArrayLike, bob: npt.ArrayLike, fill: npt.ArrayLike, points: list[int]
) -> tuple[list[Corrected], int]:
    """Let both parties talk in one process, as a simulation does; also return the round trips after the syndromes."""
    sender, receiver = Alice(plan, alice, fill), Bob(plan, bob)
    receiver.start(sender.syndromes())
    while len(requests := receiver.ask()):
        receiver.take(sender.answer(requests))
    return receiver.results(points, sender.tags(points)), receiver.rounds


def _laid(plan: LdpcPlan, frame: Bits) -> Bits:
    """Return the frame on the bits of the code, with 0 in all other places."""
    word = np.zeros(COLUMNS * plan.lift, dtype=np.uint8)
    word[layout(plan).frame] = frame
    return word


class _Attempt:
    """One frame of Bob's: he looks for the pattern by which Alice's word differs from his, all 0 off the frame."""

    def __init__(self, plan: LdpcPlan, frame: Bits, theirs: Bits) -> None:
        self._plan, code = plan, code_of(plan)
        prior = np.full(COLUMNS * plan.lift, np.log2((1.0 - plan.qber) / plan.qber), dtype=np.float32)
        prior[layout(plan).punctured], prior[layout(plan).shortened] = 0.0, CERTAIN
        self.rounds, self._revealed = 0, 0
        self._errors: Bits | None = None
        self._decoder: kernel.Decoder | None = None
        self._run(kernel.Decoder(code, theirs ^ kernel.syndrome(code, _laid(plan, frame)), prior), FIRST_ITERATIONS)

    @property
    def ended(self) -> bool:
        """Whether a pattern was found, or no more can be revealed."""
        return self._decoder is None or self.rounds == self._plan.max_rounds

    @property
    def next_bits(self) -> int:
        """Return how many bits the next round reveals."""
        return layout(self._plan).rounds[self.rounds].size

    @property
    def disclosed_bits(self) -> int:
        """Return what was disclosed so far, by what came in and by the words said about it."""
        return self._plan.disclosed_bits(self.rounds + 1, self._revealed)

    def learn(self, revealed: Bits) -> None:
        """Take the bits of the next round and decode again."""
        if self._decoder is not None:
            places = layout(self._plan).rounds[self.rounds]
            self._decoder.learn(places, np.where(revealed, -CERTAIN, CERTAIN).astype(np.float32))
            self.rounds, self._revealed = self.rounds + 1, self._revealed + revealed.size
            self._run(self._decoder, MORE_ITERATIONS)

    def judged(self, frame: Bits, point: int, theirs: int) -> Corrected:
        """Return the frame's result, its bits only if the tags are the same."""
        errors = np.zeros_like(frame) if self._errors is None else self._errors
        corrected = frame ^ errors
        same = self._errors is not None and tag(corrected, point) == theirs
        return Corrected(
            bits=corrected if same else None,
            corrected_bits=int(errors.sum()),
            leak_bits=self.disclosed_bits + TAG_BITS,
        )

    def _run(self, decoder: kernel.Decoder, limit: int) -> None:
        """Decode; the decoder's large arrays are kept only where it failed."""
        found = decoder.run(limit) > 0
        self._errors = decoder.bits[layout(self._plan).frame] if found else None
        self._decoder = None if found else decoder
