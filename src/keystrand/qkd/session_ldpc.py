"""LDPC codes inside a session: the syndromes in one message, reveals where they were not enough; see `ldpc_party`."""

import math

import msgspec
import numpy as np

from keystrand.qkd import ldpc_party
from keystrand.qkd.cascade import Bits
from keystrand.qkd.ldpc import LdpcPlan, layout, plan_for
from keystrand.qkd.session_account import SessionParameters
from keystrand.qkd.session_code import AliceTalk, Answered, Asked, BobTalk, Entropy
from keystrand.qkd.session_messages import (
    Message,
    Parities,
    ProtocolFault,
    Queries,
    Syndromes,
    expect,
    integers,
    pack,
    unpack,
)

MOST_QBER = 0.11
"""Above it no key is made by any code, and no plan needs to hold."""


def alice(
    frames: Bits, qber: float, parameters: SessionParameters, entropy: Entropy, pending: list[Message]
) -> AliceTalk:
    """Say `pending`, plan and syndromes, then reveal until Bob asks no more. The fill of punctured places is drawn."""
    plan = plan_for(min(qber, MOST_QBER), parameters.frame_bits)
    count = len(frames) * plan.punctured_bits
    fill = np.unpackbits(np.frombuffer(entropy(math.ceil(count / 8)), dtype=np.uint8))[:count]
    party, rounds = ldpc_party.Alice(plan, frames, fill.reshape(len(frames), -1)), 0
    said = Syndromes(plan=msgspec.to_builtins(plan), bits=pack(party.syndromes().ravel()))
    message = yield [*pending, said]
    while isinstance(message, Queries):
        asked = integers(message.asked, "<i4").astype(np.int32).reshape(-1, 2)
        message = yield [Parities(bits=pack(party.answer(asked)))]
        rounds += 1
    return Answered(party, tuple(int(n) for n in party.disclosed_bits), rounds, message)


def bob(frames: Bits, parameters: SessionParameters, pending: list[Message]) -> BobTalk:
    """Say `pending`, decode from the syndromes, and ask for reveals until every frame is decoded or given up."""
    said = expect(Syndromes, (yield pending))
    plan = msgspec.convert(said.plan, LdpcPlan)
    if plan.frame_bits != parameters.frame_bits:
        raise ProtocolFault("the plan is for another frame size")
    party = ldpc_party.Bob(plan, frames)
    party.start(unpack(said.bits, len(frames) * plan.syndrome_bits).reshape(len(frames), -1))
    while (asked := party.ask()).size:
        parities = expect(Parities, (yield [Queries(asked=asked.astype("<i4").tobytes())]))
        party.take(unpack(parities.bits, sum(layout(plan).rounds[turn].size for _, turn in asked)))
    return Asked(party, tuple(int(n) for n in party.disclosed_bits), party.rounds)
