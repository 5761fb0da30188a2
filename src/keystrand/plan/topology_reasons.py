"""Why a need cannot be served: the first rule without which it could be."""

from collections.abc import Sequence

import msgspec

from keystrand.model.network import FibreNetwork, KeyNeed
from keystrand.model.planning import Protection
from keystrand.model.stages.designed import Optics, Tariff, Unserved
from keystrand.model.units import Answer
from keystrand.plan.topology_greedy import greedy
from keystrand.plan.topology_links import Link, problem_of
from keystrand.plan.topology_model import Fixed, programme_of
from keystrand.plan.topology_solver import solve

_ALONE_S = 20.0


def unserved_alone(
    network: FibreNetwork, links: Sequence[Link], optics: Optics, tariff: Tariff
) -> tuple[tuple[KeyNeed, ...], tuple[Unserved, ...]]:
    """Return the needs that can be served, each if it were alone, and the others with the reason."""
    served, others = [], []
    for need in network.needs:
        if _possible(network, need, links, optics, tariff):
            served.append(need)
        else:
            others.append(_told(network, need, links, optics, tariff))
    return tuple(served), tuple(others)


def _possible(network: FibreNetwork, need: KeyNeed, links: Sequence[Link], optics: Optics, tariff: Tariff) -> bool:
    """Return whether a need alone has its paths: greedy finds most of them, the integer programme all."""
    problem = problem_of(network, (need,), links, optics, tariff)
    if greedy(problem, 0).routes:
        return True
    made, _ = programme_of(problem, (0,), Fixed({}, ()), penalty={})
    return solve(made, seconds=_ALONE_S, gap=1.0).values is not None


def _told(network: FibreNetwork, need: KeyNeed, links: Sequence[Link], optics: Optics, tariff: Tariff) -> Unserved:
    """Return why: the rules are dropped one by one, the easiest to change first, until it can be served."""
    anywhere = msgspec.structs.replace(need, regions=(), zones=())
    one_way = msgspec.structs.replace(anywhere, protection=Protection.NONE)
    trusting = msgspec.structs.replace(
        network, nodes=tuple(msgspec.structs.replace(node, may_relay=Answer.YES) for node in network.nodes)
    )
    little = msgspec.structs.replace(one_way, bits_per_s=1e-3)
    by_link = msgspec.structs.replace(need, protection=Protection.LINK)
    ends = f"{need.a} and {need.b}"
    known = (
        (network, msgspec.structs.replace(need, bits_per_s=1e-3), "the fibres cannot carry so many keys",
         "ask for less, or for more systems on a fibre"),
        (network, anywhere, "no way stays within the regions and trust zones that it asks for",
         "allow another region or zone for its relays, or find a fibre within them"),
        (trusting, need, "the places on the way may not be trusted nodes, or it is not known whether they may",
         "answer may_host_node and controlled of the sites on the way"),
        (network, by_link, "every two ways share a place, so the loss of one place would end both",
         'accept that with protection = "link" in its [[demand]] (or --protection link), or find a way around'),
        (network, msgspec.structs.replace(need, protection=Protection.NONE),
         "there are no two ways that share nothing",
         'accept that with protection = "none" in its [[demand]] (or --protection none), or find a fibre'),
        (trusting, one_way, "it could be served only with other trusted nodes, regions or zones, and by one way",
         "answer may_host_node of the sites on the way, and find a second fibre"),
        (trusting, little, "the fibres cannot carry so many keys", "ask for less"),
    )  # fmt: skip
    for net, changed, reason, step in known:
        if _possible(net, changed, links, optics, tariff):
            return Unserved(need=need.id, reason=reason, next_step=step)
    return Unserved(
        need=need.id,
        reason=f"no chain of fibres within reach joins {ends}",
        next_step="find a dark fibre between them, or a place on the way where a trusted node may stand",
    )
