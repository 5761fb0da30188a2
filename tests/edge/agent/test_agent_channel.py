"""What an agent lets nobody do: strangers, wrong certificates, replays, false proofs, words that are none."""

import hashlib
import hmac
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from keystrand.crypto.key_proof import agreed_key, key_proof
from keystrand.crypto.secret import Secret
from keystrand.edge.agent.frames import MOST, Unframer, framed, word_of
from keystrand.edge.agent.words import Answered, Install, Offer, Refuse
from keystrand.edge.kme.pair import Pair
from keystrand.edge.pki import Credentials, Identity, Kind, issue
from keystrand.edge.tls import BlockingTls, client_context
from keystrand.model.errors import PeerUnavailable, PolicyDenied

from .site import Site, running_pair, wait_until

QUIET = """policy = "fail-secure"
rotate_every_s = 3000
max_age_s = 4000
wait_s = 2
prove_every_s = 0.05
retry_s = 0.2
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("channel")) as running:
        yield running


@pytest.fixture(scope="module")
def site(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two sites that have one key and look for no other soon."""
    made = Site(tmp_path_factory.mktemp("site"), pair, QUIET)
    try:
        made.start()
        wait_until(lambda: made.settled() and made.status(1)["footing"] == "fresh", 20, lambda: made.log(0))
        yield made
    finally:
        made.close()


class Caller:
    """Somebody who speaks to the responder's agent."""

    def __init__(self, stream: BlockingTls) -> None:
        self.stream = stream

    def say(self, word: Any) -> None:
        """Send a word."""
        self.stream.sendall(framed(word))

    def hears(self) -> Answered:
        """Return the next word."""
        size = int.from_bytes(self.stream.recv_exactly(4), "big")
        word: Answered = word_of(self.stream.recv_exactly(size), Answered)
        return word


@contextmanager
def _calling(site: Site, files: Credentials) -> Iterator[Caller]:
    port = site.port(1)
    tls = SSL.Connection(client_context(files), None)
    tls.set_connect_state()
    stream = BlockingTls(tls, socket.create_connection(("127.0.0.1", port), timeout=5))
    stream.expire_in(10)
    try:
        stream.handshake()
        yield Caller(stream)
    finally:
        stream.close()


def _cut_off(site: Site, files: Credentials, sent: bytes) -> bool:
    """Return whether whoever shows these files and says this is cut off without an answer."""
    try:
        with _calling(site, files) as caller:
            caller.stream.sendall(sent)
            caller.hears()
    except (OSError, SSL.Error):
        return True
    return False


def _offer(key_id: str, number: int, **more: Any) -> Offer:
    fields = {"label": "qkd", "substitute": False, "nonce": secrets.token_hex(32), "proof": "00" * 64, **more}
    return Offer(consumer="door", key_id=key_id, number=number, **fields)


@pytest.mark.system
def test_a_replayed_or_false_offer_installs_nothing(site: Site, pair: Pair) -> None:
    """By the right certificate even: an old number, an unknown key, a real key with a false proof, a false label."""
    before = site.installed(1)
    files = pair.pki.of(Kind.AGENT, "agent-a")
    with pair.client("sae-a") as kme:
        keys = kme.enc_keys("sae-b", number=3)
    with _calling(site, files) as caller:
        answers = []
        for offer in (
            _offer(before[0][0], 1),
            _offer("ffffffff-0000-4000-8000-000000000000", 1000),
            _offer(keys[0].key_id, 1001),
            _offer(keys[1].key_id, 1002, label="pqc"),
            _offer(keys[2].key_id, 1003, label="pqc", substitute=True),
        ):
            caller.say(offer)
            answers.append(caller.hears())
    told = [one.why for one in answers if isinstance(one, Refuse)]
    assert len(told) == 5
    for why, word in zip(
        told, ("heard before", "key", "different keys", "calls a key", "permits no pqc key"), strict=True
    ):
        assert word in why
    assert site.installed(1) == before
    assert [line["action"] for line in site.audit(1)].count("agent.install") == len(before)


@pytest.mark.system
@pytest.mark.parametrize("who", ["sae", "other agent"])
def test_another_certificate_of_the_same_authority_is_nobodys(site: Site, pair: Pair, who: str) -> None:
    """Who the peer is stands in its certificate: an SAE, or an agent of another name, is cut off."""
    if who == "sae":
        files = pair.pki.of(Kind.SAE, "sae-a")
    else:
        issue(pair.pki, Identity(kind=Kind.AGENT, id="agent-x"), now=datetime.now(UTC))
        files = pair.pki.of(Kind.AGENT, "agent-x")
    assert _cut_off(site, files, framed(_offer("k", 5000)))


@pytest.mark.system
@pytest.mark.parametrize(
    "sent", [struct.pack(">I", MOST + 1) + b"x", struct.pack(">I", 4) + b"null", struct.pack(">I", 2) + b"{}"]
)
def test_what_is_no_word_ends_the_connection(site: Site, pair: Pair, sent: bytes) -> None:
    """Too long, or of no form of ours: cut off, and the agent goes on."""
    assert _cut_off(site, pair.pki.of(Kind.AGENT, "agent-a"), sent)
    assert site.status(1)["footing"] == "fresh"
    assert "the agent does not run: keys are not replaced" not in site.status(1)["alarms"]


@pytest.mark.system
def test_a_second_agent_of_the_same_journal_does_not_start(site: Site) -> None:
    """One writes; the other says so and changes nothing."""
    with pytest.raises(PeerUnavailable, match="another agent runs with the journal"):
        Site.start_agent(site, 1)


@given(st.lists(st.binary(max_size=200), max_size=6), st.integers(1, 50))
def test_words_come_whole_however_they_are_cut(words: list[bytes], size: int) -> None:
    """Framing is the inverse of unframing."""
    stream = b"".join(len(word).to_bytes(4, "big") + word for word in words)
    unframer = Unframer()
    found = [word for at in range(0, len(stream), size) for word in unframer.take(stream[at : at + size])]
    assert found == words


@given(st.integers(MOST + 1, 2**32 - 1))
def test_a_word_that_is_too_long_is_refused_before_it_comes(size: int) -> None:
    """Nobody makes an agent hold more."""
    with pytest.raises(PolicyDenied, match="longer than any of ours"):
        Unframer().take(size.to_bytes(4, "big"))
    with pytest.raises(ValueError, match="too long"):
        framed("x" * MOST)


told = st.lists(st.text(max_size=8), min_size=1, max_size=5)


@given(told, told, st.binary(min_size=16, max_size=64), st.binary(min_size=16, max_size=64))
def test_a_proof_is_of_one_key_and_one_thing_said(one: list[str], other: list[str], key: bytes, second: bytes) -> None:
    """Another key, or another list of words, has another tag; the key of an agreement likewise."""
    tag = key_proof(Secret(key), *one)
    assert tag == key_proof(Secret(key), *one)
    assert (tag == key_proof(Secret(key), *other)) == (one == other)
    assert (tag == key_proof(Secret(second), *one)) == (key == second)
    assert (agreed_key(key, 32, *one) == agreed_key(key, 32, *other)) == (one == other)
    assert tag != agreed_key(key, 64, *one).reveal()


def test_the_proof_is_hmac_under_a_derived_key() -> None:
    """The same by the standard library alone: HKDF-Extract and -Expand (RFC 5869) as HMACs, then HMAC."""
    key, label = bytes(range(32)), b"keystrand/v1/agent/proof"
    extracted = hmac.digest(label, key, hashlib.sha512)
    derived = hmac.digest(extracted, b"\x01", hashlib.sha512)
    said = b"".join(len(one).to_bytes(4, "big") + one for one in (label, b"initiator", b"x"))
    assert key_proof(Secret(key), "initiator", "x") == hmac.digest(derived, said, hashlib.sha512)


@pytest.mark.parametrize("word", [{"consumer": "../x", "key_id": "k"}, {"consumer": "door", "key_id": "../../etc"}])
def test_a_name_that_could_be_a_path_is_no_word(word: dict[str, str]) -> None:
    """Neither a consumer nor a key ID leads anywhere."""
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        msgspec.convert({"say": "install", **word}, Install)
