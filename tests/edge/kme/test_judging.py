"""What a KME decides on values alone: who may deliver, who may share, which answer an error becomes."""

import math

import msgspec
import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import judging
from keystrand.edge.kme.config import KmeConfig, LinkEnd, ModuleLink, SaeHome, TlsFiles
from keystrand.edge.kme.judging import network_of
from keystrand.edge.kme.messages import Block, Order, StrandPieces
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.tls import Peer
from keystrand.keys.allocation import PoolTooSmall
from keystrand.keys.making import Origin
from keystrand.keys.rules import BUILT_IN, PolicyRules
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PeerUnavailable, PolicyDenied, StoreFailure
from keystrand.model.key import SourceKind, Strength
from keystrand.model.key_policy import Denial, Effect

NETWORK = network_of(
    KmeConfig(
        kme_id="kme-a",
        store="s",
        master_key="m",
        tls=TlsFiles(ca="ca", certificate="c", key="k"),
        links=(
            LinkEnd(id="to-b", peer_kme="kme-b", peer_url="https://b"),
            LinkEnd(id="to-c", peer_kme="kme-c", peer_url="https://c"),
        ),
        saes=(
            SaeHome(id="a1", kme="kme-a"),
            SaeHome(id="a2", kme="kme-a"),
            SaeHome(id="b1", kme="kme-b"),
            SaeHome(id="c1", kme="kme-c"),
        ),
        modules=(
            ModuleLink(id="module-b", link="to-b"),
            ModuleLink(id="agent", link="to-b", sources=(SourceKind.PQC,)),
        ),
    )
)


def peer(kind: Kind, name: str, group: str = "X25519MLKEM768") -> Peer:
    """Return a caller."""
    return Peer(identity=Identity(kind=kind, id=name), group=group, cipher="", valid_until_s=math.inf)


def block(source: SourceKind, label: Strength, *, link: str = "to-b", master: str = "kme-b") -> Block:
    """Return a block as it comes."""
    return Block(
        link=link, block_id="00000000-0000-0000-0000-000000000000", master_kme=master, key_bits=Secret(b"k" * 64),
        qber=0.0, label=label, source=source,
    )  # fmt: skip


def test_a_quantum_module_does_not_deliver_the_post_quantum_strand() -> None:
    """Whoever delivered both strands of a hybrid key would know it: a module gives what it is configured for."""
    judging.judge_block(NETWORK, peer(Kind.MODULE, "module-b"), block(SourceKind.QKD, Strength.SIMULATED))
    judging.judge_block(NETWORK, peer(Kind.MODULE, "agent"), block(SourceKind.PQC, Strength.POST_QUANTUM))
    for name, source, label in (
        ("module-b", SourceKind.PQC, Strength.POST_QUANTUM),
        ("module-b", SourceKind.CLASSICAL, Strength.CLASSICAL),
        ("agent", SourceKind.QKD, Strength.INFORMATION_THEORETIC),
    ):
        with pytest.raises(PolicyDenied, match=source.value):
            judging.judge_block(NETWORK, peer(Kind.MODULE, name), block(source, label))


def test_a_block_is_judged_by_link_master_and_label() -> None:
    """Another link, an end that is none, and a label that the source cannot give are refused."""
    module = peer(Kind.MODULE, "module-b")
    with pytest.raises(PolicyDenied):
        judging.judge_block(NETWORK, module, block(SourceKind.QKD, Strength.SIMULATED, link="to-c"))
    with pytest.raises(InvalidInput):
        judging.judge_block(NETWORK, module, block(SourceKind.QKD, Strength.SIMULATED, master="kme-c"))
    with pytest.raises(InvalidInput):
        judging.judge_block(NETWORK, peer(Kind.MODULE, "agent"), block(SourceKind.PQC, Strength.INFORMATION_THEORETIC))
    with pytest.raises(PolicyDenied):
        judging.judge_block(NETWORK, peer(Kind.SAE, "a1"), block(SourceKind.QKD, Strength.SIMULATED))


DIRECT = Order(
    order_id="00000000-0000-7000-8000-000000000", master_sae="b1", slave_saes=("c1", "a1"), size=256, count=1,
    profile="x", strands=(StrandPieces(source=SourceKind.CLASSICAL, pieces=((1, 32, 32),)),),
)  # fmt: skip
PADDED = msgspec.structs.replace(
    DIRECT, sealed="AAAA", strands=(StrandPieces(source=SourceKind.QKD, pieces=((1, 32, 64),)),),
    told=Origin(
        label=Strength.CLASSICAL, sources=(SourceKind.CLASSICAL,), qber=-1, received=0, profile="x", hops=("kme-b",)
    ),
)  # fmt: skip


@pytest.mark.parametrize("order", [DIRECT, PADDED])
@pytest.mark.parametrize(
    ("denied", "expected"),
    [
        ({"sources": (SourceKind.CLASSICAL,)}, True), ({"sources": (SourceKind.PQC,)}, False),
        ({"profiles": ("x",)}, True), ({"profiles": ("y",)}, False), ({}, True),
    ],
)  # fmt: skip
def test_what_this_end_denies_comes_under_a_pad_no_more_than_directly(
    order: Order, denied: dict[str, tuple[str, ...]], *, expected: bool
) -> None:
    """A key that was made on another link is judged by what it was made of, not only by the pad that it came under."""
    denial = Denial(id="never", master="*", slave="a1", reason="quantum computers", **denied)  # type: ignore[arg-type]
    rules = PolicyRules(msgspec.structs.replace(BUILT_IN.policy, denies=(denial,)), file="p")
    assert ("never" in judging.denial_of(rules, order, "to-b")) == expected


def test_a_policy_in_force_is_asked_wherever_it_came_from() -> None:
    """One that an operator activated has a say of a peer's orders as one from a file has; the built-in one has none."""
    closed = PolicyRules(msgspec.structs.replace(BUILT_IN.policy, default=Effect.DENY, default_profiles=()), file="p")
    assert "no entry" in judging.denial_of(closed, DIRECT, "to-b")
    assert not judging.denial_of(BUILT_IN, DIRECT, "to-b")


def test_slaves_come_with_their_kmes_and_none_is_unknown() -> None:
    """Slaves at other KMEs and at this one may be named; the caller, a repetition and a stranger may not."""
    assert judging.slaves_of(NETWORK, "a1", "b1", ("c1", "a2")) == (("b1", "kme-b"), ("c1", "kme-c"), ("a2", "kme-a"))
    for additional in (("b1",), ("a1",), ("c1", "c1")):
        with pytest.raises(InvalidInput):
            judging.slaves_of(NETWORK, "a1", "b1", additional)
    with pytest.raises(PolicyDenied):
        judging.slaves_of(NETWORK, "a1", "b1", ("nobody",))
    with pytest.raises(InvalidInput):
        judging.slaves_of(NETWORK, "a1", "b1", tuple(f"x{n}" for n in range(9)))


def test_a_classical_group_is_for_saes_at_most() -> None:
    """Peers, modules and operators always need a post-quantum group; an SAE only where it is required of it."""
    for kind in (Kind.KME, Kind.MODULE, Kind.OPERATOR):
        with pytest.raises(PolicyDenied):
            judging.demand(peer(kind, "x", "X25519"), kind)
    judging.demand_served(NETWORK, peer(Kind.SAE, "a1", "X25519"), post_quantum=False)
    with pytest.raises(PolicyDenied):
        judging.demand_served(NETWORK, peer(Kind.SAE, "a1", "X25519"), post_quantum=True)
    with pytest.raises(PolicyDenied):
        judging.demand_served(NETWORK, peer(Kind.SAE, "b1"), post_quantum=False)


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (InvalidInput("x"), 400, "x"),
        (PolicyDenied("no"), 401, "no"),
        (PoolTooSmall(96), 503, "not enough keys are stored"),
        (PeerUnavailable("10.0.0.1 is down"), 503, "the KME at the other end of the link cannot be reached"),
        (StoreFailure("/var/lib/x is full"), 503, "error on server side"),
        (NoKeyAvailable("some reason inside"), 503, "error on server side"),
    ],
)
def test_errors_become_the_standards_codes_and_say_nothing_of_the_inside(
    error: InvalidInput | PolicyDenied | NoKeyAvailable | PeerUnavailable | StoreFailure, status: int, says: str
) -> None:
    """Clauses 5 and 6 know 400, 401 and 503; what is wrong behind this KME is not told."""
    code, body = judging.refusal(error, 256)
    assert (code, body.message) == (status, says)


@pytest.mark.parametrize("kind", [InvalidInput, PolicyDenied])
def test_a_refusal_tells_the_next_step_where_there_is_one(kind: type[InvalidInput | PolicyDenied]) -> None:
    """In the details, behind what is wrong; what a command line is told by default is nothing for a caller of 014."""
    assert judging.refusal(kind("x", hint="ask for less"), 256)[1].details[-1] == {"hint": "ask for less"}
    assert judging.refusal(kind("x"), 256)[1].details == ()
