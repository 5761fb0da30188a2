"""Blocks by key agreement between the KMEs: the same at both ends, labelled as what they are, and only where agreed."""

from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from keystrand.edge.devices.pqc import AGREEMENTS, agreed_block
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.messages import AGREE_URL, AGREED_OCTETS, Agree
from keystrand.edge.pki import Kind
from keystrand.formats import etsi014
from keystrand.model.key import SourceKind, Strength

from .conftest import Duo, until

FAST = 8_000_000
POLICY = """\
name = "agreed"
default = "allow"
default_profiles = ["pqc", "classical"]
[[profile]]
name = "pqc"
strands = [{ source = "pqc", strength = "post-quantum" }]
result = "post-quantum"
[[profile]]
name = "classical"
strands = [{ source = "classical", strength = "classical" }]
result = "classical"
"""
BLOCK_ID = "0b8f5a51-7c8e-4a39-9a25-1df5cb3e1a10"


def source(kind: str) -> str:
    """Return the table of a fast source."""
    return f"[[pqc_source]]\nlink = 'corridor'\nsource = '{kind}'\nbits_per_s = {FAST}\n"


def filled(duo: Duo, at: int, limit: int) -> bool:
    """Return whether KME number `at` may cut more than `limit` bits."""
    return duo.bits(at, "pqc") > limit


def asked(kind: SourceKind, share: bytes, link: str = "corridor") -> Agree:
    """Return what a master KME asks."""
    return Agree(link=link, block_id=BLOCK_ID, source=kind, share=share.hex())


@pytest.mark.parametrize(
    ("kind", "label"), [(SourceKind.PQC, Strength.POST_QUANTUM), (SourceKind.CLASSICAL, Strength.CLASSICAL)]
)
def test_both_ends_derive_one_block_with_the_label_of_what_was_used(kind: SourceKind, label: Strength) -> None:
    """The block has its fixed length and its source's own label: a classical agreement makes no post-quantum block."""
    share, finish = AGREEMENTS[kind].begin()
    secret, answer = AGREEMENTS[kind].answer(share)
    question = asked(kind, share)
    slave = agreed_block(secret, question, answer, master_kme="a", slave_kme="b")
    master = agreed_block(finish(answer), question, answer, master_kme="a", slave_kme="b")
    assert master.key_bits == slave.key_bits
    assert len(master.key_bits) == AGREED_OCTETS
    assert (master.source, master.label, master.master_kme) == (kind, label, "a")


def test_another_link_direction_share_or_answer_is_another_block() -> None:
    """The same shared secret gives other bytes wherever the ends were not told the same."""
    secret = bytes(32)
    usual = agreed_block(secret, asked(SourceKind.PQC, b"s"), b"x", master_kme="a", slave_kme="b").key_bits
    others = (
        agreed_block(secret, asked(SourceKind.PQC, b"s", "other"), b"x", master_kme="a", slave_kme="b"),
        agreed_block(secret, asked(SourceKind.PQC, b"s"), b"x", master_kme="b", slave_kme="a"),
        agreed_block(secret, asked(SourceKind.PQC, b"t"), b"x", master_kme="a", slave_kme="b"),
        agreed_block(secret, asked(SourceKind.PQC, b"s"), b"y", master_kme="a", slave_kme="b"),
        agreed_block(secret, asked(SourceKind.CLASSICAL, b"s"), b"x", master_kme="a", slave_kme="b"),
        agreed_block(bytes(31) + b"1", asked(SourceKind.PQC, b"s"), b"x", master_kme="a", slave_kme="b"),
    )
    assert all(other.key_bits != usual for other in others)


@pytest.mark.parametrize("kind", AGREEMENTS)
def test_what_is_no_share_is_refused(kind: SourceKind) -> None:
    """A share of another length, and a point of small order, are errors and never a weak secret."""
    with pytest.raises(ValueError, match=r".+"):
        AGREEMENTS[kind].answer(b"short")
    _, finish = AGREEMENTS[kind].begin()
    with pytest.raises(ValueError, match=r".+"):
        finish(b"short")
    with pytest.raises(ValueError, match=r".+"):
        AGREEMENTS[SourceKind.CLASSICAL].answer(bytes(32))


@pytest.mark.system
def test_two_kmes_agree_in_both_directions_until_their_pools_are_full(duo: Duo) -> None:
    """Keys flow both ways with the label post-quantum; a pool is filled to its limit, and again as keys are taken."""
    (duo.pair.folder / "policy.toml").write_text(POLICY)
    for at in (0, 1):
        duo.configure(at, source("pqc"), head="policy = 'policy.toml'")
    limit = 1000 * 256 - 8 * AGREED_OCTETS
    for at in (0, 1):
        until(partial(filled, duo, at, limit))
        for told in duo.deliver(at, number=100):
            assert told["keystrand_label"] == "post-quantum"
            assert told["keystrand_sources"] == ["pqc"]
            assert "keystrand_qber_max" not in told
    assert duo.bits(0, "classical") == 0
    until(partial(filled, duo, 0, limit))


@pytest.mark.system
def test_a_classical_source_gives_classical_keys(duo: Duo) -> None:
    """What X25519 made says so at both ends, and no profile that wants post-quantum keys is given any of it."""
    (duo.pair.folder / "policy.toml").write_text(POLICY.replace('["pqc", "classical"]', '["classical"]'))
    for at in (0, 1):
        duo.configure(at, source("classical"), head="policy = 'policy.toml'")
    until(lambda: duo.bits(0, "classical"))
    assert {told["keystrand_label"] for told in duo.deliver()} == {"classical"}
    assert duo.bits(0, "pqc") == 0


@pytest.mark.system
def test_an_end_that_was_not_told_to_agree_refuses(duo: Duo) -> None:
    """One end alone makes nothing; the other names what its configuration lacks, and strangers are no ends at all."""
    duo.configure(0, source("pqc"))
    until(lambda: "this end has no [[pqc_source]] of pqc keys" in duo.log(0))
    assert duo.bits(0, "pqc") == 0
    share = MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
    for kind, name in ((Kind.SAE, "sae-a"), (Kind.MODULE, "module-a"), (Kind.OPERATOR, "operator")):
        channel = Channel(duo.pair.urls[0], duo.pair.credentials(kind, name))
        assert channel.exchange("POST", AGREE_URL, etsi014.encode(asked(SourceKind.PQC, share)))[0] == 401
        channel.close()


@pytest.mark.system
def test_a_share_that_is_none_is_answered_with_400(duo: Duo) -> None:
    """A peer that sends rubbish learns where, and nothing is stored."""
    duo.configure(1, source("pqc"))
    channel = Channel(duo.pair.urls[1], duo.pair.credentials(Kind.KME, "kme-a"))
    for share in (b"short", bytes(1184)):
        status, answer = channel.exchange("POST", AGREE_URL, etsi014.encode(asked(SourceKind.PQC, share)))
        assert (status, b"share" in answer) == ((400, True) if share == b"short" else (200, True))
    channel.close()
    assert duo.bits(1, "pqc") == 0
