"""Cascade inside a session: queries of all frames in flight in one message a round, see `cascade_party`."""

import numpy as np

from keystrand.qkd import cascade_party
from keystrand.qkd.cascade import Bits, CascadePlan, plan_for
from keystrand.qkd.session_account import SessionParameters
from keystrand.qkd.session_code import AliceTalk, Answered, Asked, BobTalk, Entropy
from keystrand.qkd.session_messages import (
    Message,
    Parities,
    Plan,
    ProtocolFault,
    Queries,
    expect,
    integers,
    pack,
    unpack,
)


def alice(
    frames: Bits, qber: float, parameters: SessionParameters, entropy: Entropy, pending: list[Message]
) -> AliceTalk:
    """Say `pending` and the plan, then answer until Bob asks no more. The plan's seed is drawn here, after the run."""
    plan = plan_for(qber, frames.shape[1], int.from_bytes(entropy(8), "big"), batched=parameters.batched)
    party, rounds = cascade_party.Alice(plan, frames), 0
    message = yield [*pending, _said(plan)]
    while isinstance(message, Queries):
        asked = integers(message.asked, "<i4").astype(np.int32).reshape(-1, 3)
        message = yield [Parities(bits=pack(party.answer(asked)))]
        rounds += 1
    return Answered(party, tuple(int(n) for n in party.parity_bits), rounds, message)


def bob(frames: Bits, parameters: SessionParameters, pending: list[Message]) -> BobTalk:
    """Say `pending`, take the plan, and ask until nothing is left to ask."""
    plan = _heard(expect(Plan, (yield pending)))
    if plan.frame_bits != parameters.frame_bits:
        raise ProtocolFault("the plan is for another frame size")
    party = cascade_party.Bob(plan, frames, batched=parameters.batched)
    while (asked := party.ask()).size:
        parities = expect(Parities, (yield [Queries(asked=asked.astype("<i4").tobytes())]))
        party.take(unpack(parities.bits, len(asked)))
    return Asked(party, tuple(int(n) for n in party.parity_bits), party.rounds)


def _said(plan: CascadePlan) -> Plan:
    return Plan(frame_bits=plan.frame_bits, block_bits=plan.block_bits, seed=plan.seed.to_bytes(8, "big"))


def _heard(said: Plan) -> CascadePlan:
    seed = int.from_bytes(said.seed, "big")
    return CascadePlan(frame_bits=said.frame_bits, block_bits=said.block_bits, seed=seed)
