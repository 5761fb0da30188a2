"""The QUIC probe against real servers where they are installed, and against hand-written ones that misbehave."""

import asyncio
import importlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.probes.datagram_ends import (
    FULL,
    HOST,
    QUICK,
    Respond,
    certificate_files,
    facts,
    free_port,
    hello_retry,
    probe,
    responding,
    target_at,
    uses,
)

from keystrand.edge.probes.base import Ending
from keystrand.edge.probes.quic import QuicConversation, QuicProbe
from keystrand.edge.probes.tls_datagrams import WITH_SHARES
from keystrand.edge.probes.tls_questions import INQUIRIES, Question
from keystrand.formats import tls_codepoints as codes
from keystrand.formats.quic_client import MAX_TOKEN
from keystrand.formats.quic_frames import MAX_CRYPTO, close_frame, crypto_frame, frames
from keystrand.formats.quic_packets import V1, InitialKeys, LongPacket, PacketKind, long_packets
from keystrand.formats.tls_withdrawn import WITHDRAWN_GROUPS
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Certificate, Endpoint, Outcome, Strength

NEGOTIATED, OFFERED = Strength.NEGOTIATED, Strength.OFFERED
QUIC = ProbeKind.QUIC
SERVER_ID = b"the server"


def answered(asked: LongPacket, frames: bytes, number: int = 0, source: bytes = SERVER_ID) -> bytes:
    """Return a server's Initial packet to the client that sent `asked`."""
    outline = LongPacket(asked.version, PacketKind.INITIAL, asked.source, source, b"", b"", 0)
    return InitialKeys(asked.version, asked.destination).server.seal(outline, number, frames)


def replying(reply: Callable[[LongPacket], list[bytes]]) -> Respond:
    """Return a server that has one answer to an Initial packet."""
    return lambda datagram: [octets for asked in long_packets(datagram) for octets in reply(asked)]


def _choosing(group: int, asked: LongPacket) -> list[bytes]:
    """Ask for the share of a group, whatever was offered."""
    return [answered(asked, crypto_frame(0, hello_retry(group)))]


def _converse(reply: Callable[[LongPacket], list[bytes]], question: Question = Question.SUPPORTS) -> QuicConversation:
    """Return the conversation after one exchange of datagrams in memory."""
    talk = QuicConversation(INQUIRIES[question], "server.example")
    (asked,) = long_packets(talk.begin())
    for datagram in reply(asked):
        talk.receive(datagram)
    return talk


class TestHandWritten:
    """Against servers that say one thing."""

    def test_a_group_named_in_a_hello_retry_request_is_supported_and_asked_no_further(self) -> None:
        """One datagram each way, then our leave; the second round finds nothing new to take."""
        said: list[bytes] = []

        def reply(asked: LongPacket) -> list[bytes]:
            opened = InitialKeys(asked.version, asked.destination).client.open(asked)
            said.append(opened.frames if opened else b"")
            return [answered(asked, crypto_frame(0, hello_retry(0x11EC)))]

        talk = _converse(reply)
        assert talk.done
        assert talk.accepted
        assert talk.flight.group == 0x11EC
        assert len(said) == 1

    @pytest.mark.parametrize("question", Question)
    def test_no_question_offers_an_older_version(self, question: Question) -> None:
        """Servers end the handshake of a client that does (RFC 9001, 4.2)."""
        said = b""

        def reply(asked: LongPacket) -> list[bytes]:
            nonlocal said
            opened = InitialKeys(asked.version, asked.destination).client.open(asked)
            said = b"".join(content for _, content in frames(opened.frames).crypto) if opened else b""
            return []

        _converse(reply, question)
        assert b"\0\x2b\0\3\2\3\4" in said

    def test_what_an_outsider_could_send_changes_nothing(self) -> None:
        """Another connection id, keys of another connection, a Retry without the tag, versions sent by nobody."""

        def reply(asked: LongPacket) -> list[bytes]:
            refusal = close_frame(0x0128)
            stray = asked._replace(source=b"somebody")
            other_keys = asked._replace(destination=b"unheard")
            retry = bytes((0xF0,)) + V1.to_bytes(4, "big") + bytes((8,)) + asked.source + b"\2idtoken" + bytes(16)
            versions = bytes((0x80, 0, 0, 0, 0, 1, 7, 1, 7)) + b"\xff\0\0\x1d"
            genuine = answered(asked, crypto_frame(0, hello_retry(0x11EC)))
            forged = genuine[:-1] + bytes((genuine[-1] ^ 1,))
            return [
                answered(stray, refusal),
                answered(other_keys, refusal),
                retry,
                versions,
                b"",
                b"\x40short header",
                bytes(1200),
                forged,
                genuine,
            ]

        talk = _converse(reply)
        assert talk.accepted
        assert not talk.fault
        assert not talk.client.retried

    def test_after_its_first_packet_the_server_keeps_its_connection_id(self) -> None:
        """A packet with our keys and another source id is not the server's."""

        def reply(asked: LongPacket) -> list[bytes]:
            return [answered(asked, b"\1"), answered(asked, close_frame(0x0128), 1, b"another")]

        talk = _converse(reply)
        assert not talk.done
        assert talk.client.closed is None

    @pytest.mark.parametrize(
        ("frames", "fault"),
        [
            (crypto_frame(0, hello_retry(0x0017)), "not offered"),
            (crypto_frame(0, hello_retry(0x11EC, 0x1399)), "chose version"),
            (crypto_frame(MAX_CRYPTO, b"x"), "a handshake of more than"),
            (b"\x08\0\0", "frame of type 8"),
            (crypto_frame(0, b"\x05\0\0\1x"), "a ServerHello was due"),
            (close_frame(0x02), "CONNECTION_REFUSED"),
        ],
    )
    def test_a_server_that_breaks_the_rules_is_told_in_words(self, frames: bytes, fault: str) -> None:
        """And the talk ends."""
        talk = _converse(lambda asked: [answered(asked, frames)])
        assert talk.done
        assert fault in talk.fault
        assert not talk.accepted

    def test_hello_retry_requests_without_end_are_left(self) -> None:
        """The second one, for a share that the server has, ends the talk."""
        talk = QuicConversation(INQUIRIES[Question.BROWSER], "")
        (asked,) = long_packets(talk.begin())
        message = hello_retry(0x0017)
        assert talk.receive(answered(asked, crypto_frame(0, message)))
        assert not talk.done
        talk.receive(answered(asked, crypto_frame(len(message), message), 1))
        assert talk.done
        assert "second HelloRetryRequest" in talk.fault

    def test_a_cookie_alone_is_sent_back(self) -> None:
        """A HelloRetryRequest may want nothing else (RFC 8446, 4.1.4)."""
        talk = QuicConversation(INQUIRIES[Question.BROWSER], "")
        (asked,) = long_packets(talk.begin())
        while talk.receive(b""):
            pass
        second = talk.receive(answered(asked, crypto_frame(0, hello_retry(0, cookie=b"c" * 40))))
        datagrams = [second, talk.receive(b"")]
        keys = InitialKeys(V1, asked.destination).client
        opened = [keys.open(packet, 9) for datagram in datagrams for packet in long_packets(datagram)]
        assert b"c" * 40 in b"".join(one.frames for one in opened if one)

    def test_a_retry_with_a_token_beyond_reason_is_refused(self) -> None:
        """Our hello would not fit beside it."""
        wire = pytest.importorskip("aioquic.quic.packet")
        talk = _converse(
            lambda asked: [
                wire.encode_quic_retry(
                    version=asked.version,
                    source_cid=SERVER_ID,
                    destination_cid=asked.source,
                    original_destination_cid=asked.destination,
                    retry_token=bytes(MAX_TOKEN + 1),
                )
            ]
        )
        assert "token of 513 octets" in talk.fault

    @pytest.mark.system
    def test_quick_mode_takes_one_question_where_the_choice_is_post_quantum_and_two_where_not(self) -> None:
        """Nothing but HelloRetryRequests: no server computes a key."""
        for group, count, supports in ((0x11EC, 1, True), (0x001D, 2, None)):
            with responding(replying(partial(_choosing, group))) as port:
                seen, _, answers = probe(QuicProbe(), target_at(port, QUIC, mode=QUICK))
            assert len(answers) == count
            (endpoint,) = facts(seen, Endpoint)
            assert endpoint.supports_post_quantum is supports
            assert endpoint.negotiates_post_quantum is (group == 0x11EC)

    @pytest.mark.system
    def test_a_server_that_accepts_every_group_is_asked_for_each_once(self) -> None:
        """In full: until nothing is left to offer, and never without end."""

        def first_offered(asked: LongPacket) -> list[bytes]:
            opened = InitialKeys(asked.version, asked.destination).client.open(asked)
            hello = b"".join(content for _, content in frames(opened.frames).crypto) if opened else b""
            at = hello.find(b"\0\x0a", 40)
            return _choosing(int.from_bytes(hello[at + 6 : at + 8], "big"), asked) if at > 0 else []

        with responding(replying(first_offered)) as port:
            seen, _, answers = probe(QuicProbe(), target_at(port, QUIC, mode=FULL), timeout_s=1)
        names = {name for _, name, _ in uses(seen)}
        assert {"X25519MLKEM768", "ML-KEM-1024", "X448", "FFDH-8192", "ECDH-brainpoolP512r1"} <= names
        assert len(answers) <= len(codes.POST_QUANTUM_GROUPS | WITHDRAWN_GROUPS | codes.CLASSICAL_GROUPS) + 5

    @pytest.mark.system
    def test_a_refusal_of_every_hello_is_no_absence(self) -> None:
        """CONNECTION_CLOSE with a TLS alert: it speaks, but not with us."""
        with responding(replying(lambda asked: [answered(asked, close_frame(0x0128))])) as port:
            seen, ended, answers = probe(QuicProbe(), target_at(port, QUIC))
        assert not seen
        assert ended.outcome is Outcome.UNREADABLE
        assert "handshake_failure (40)" in ended.reason
        assert len(answers) == 5

    @pytest.mark.system
    def test_other_versions_only_and_no_quic_at_all_are_told_apart(self) -> None:
        """And silence is neither."""

        def versions(asked: LongPacket) -> list[bytes]:
            ids = bytes((len(asked.source),)) + asked.source + bytes((len(asked.destination),)) + asked.destination
            return [b"\xc0" + bytes(4) + ids + b"\xff\0\0\x1d"]

        with responding(replying(versions)) as port:
            _, ended, _ = probe(QuicProbe(), target_at(port, QUIC))
        assert ended.outcome is Outcome.UNPARSABLE
        assert "0xff00001d" in ended.reason
        with responding(lambda _: [b"220 ready\r\n"]) as port:
            _, ended, _ = probe(QuicProbe(), target_at(port, QUIC), timeout_s=1.5)
        assert ended.outcome is Outcome.NONE
        assert "no QUIC packet" in ended.reason
        with responding(lambda _: []) as port:
            _, ended, answers = probe(QuicProbe(), target_at(port, QUIC), timeout_s=0.5)
        assert ended.outcome is Outcome.TIMED_OUT
        assert {answer.ending for answer in answers} == {Ending.NO_CONNECTION}
        _, ended, _ = probe(QuicProbe(), target_at(free_port(), QUIC), timeout_s=0.5)
        assert ended.outcome is Outcome.UNREACHABLE


@given(st.lists(st.binary(max_size=200), max_size=4), st.binary(max_size=60), st.sampled_from(Question))
def test_no_datagram_makes_the_conversation_raise(octets: list[bytes], frames: bytes, question: Question) -> None:
    """Neither from an outsider nor from the server itself."""
    talk = QuicConversation(INQUIRIES[question], "server.example")
    (asked,) = long_packets(talk.begin())
    for count, datagram in enumerate(
        [*octets, answered(asked, frames), answered(asked, frames + crypto_frame(0, frames), 1)]
    ):
        reply = talk.receive(datagram)
        assert not reply or len(reply) >= 1200
        assert count < 6


@pytest.mark.parametrize("reverse", [False, True])
def test_datagrams_that_overtake_each_other_or_come_twice_are_read(tmp_path: Path, reverse: bool) -> None:  # noqa: FBT001 - a parameter
    """Handshake packets before the ServerHello that gives their keys; aioquic in memory, without a network."""
    connection = pytest.importorskip("aioquic.quic.connection")
    configuration = importlib.import_module("aioquic.quic.configuration").QuicConfiguration(
        is_client=False, alpn_protocols=["h3"], max_datagram_size=1200
    )
    configuration.load_cert_chain(*certificate_files(tmp_path, 60))
    talk = QuicConversation(INQUIRIES[Question.BROWSER], "server.example")
    sent = [talk.begin(), talk.receive(b"")]
    (asked,) = long_packets(sent[0])
    server = connection.QuicConnection(
        configuration=configuration, original_destination_connection_id=asked.destination
    )
    for datagram in sent:
        server.receive_datagram(datagram, (HOST, 1), now=0.0)
    flight = [datagram for datagram, _ in server.datagrams_to_send(now=0.0)]
    assert len(flight) > 1
    for datagram in (*reversed(flight), *flight) if reverse else (*flight, *flight):
        talk.receive(datagram)
    assert talk.done
    assert talk.accepted
    assert (len(talk.flight.certificates), talk.flight.scheme) == (1, 0x0403)


@contextmanager
def by_python(package: str, folder: Path, *, retry: bool = False, versions: list[int] | None = None) -> Iterator[int]:
    """Serve with aioquic, or with its fork qh3, whose interface is the same, in a thread."""
    serve = pytest.importorskip(f"{package}.asyncio").serve
    configuration = importlib.import_module(f"{package}.quic.configuration").QuicConfiguration(
        is_client=False, alpn_protocols=["h3"]
    )
    configuration.supported_versions = versions or configuration.supported_versions
    configuration.load_cert_chain(*certificate_files(folder))
    port, ready, loop = free_port(), threading.Event(), asyncio.new_event_loop()

    async def run() -> Any:
        server = await serve(HOST, port, configuration=configuration, retry=retry)
        ready.set()
        return server

    def attend() -> None:
        server = loop.run_until_complete(run())
        loop.run_forever()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield port
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@contextmanager
def by_ngtcp2(folder: Path, *options: str, names: int = 1) -> Iterator[int]:
    """Serve with ngtcp2 over GnuTLS (Debian's ngtcp2-server)."""
    if (program := shutil.which("gtlsserver")) is None:
        pytest.skip("ngtcp2-server is not installed")
    chain, key = certificate_files(folder, names)
    port = free_port()
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, *options, HOST, str(port), key, chain], stdout=log, stderr=log, cwd=folder)
        try:
            while f":{port:04X} " not in Path("/proc/net/udp").read_text():
                assert server.poll() is None
                time.sleep(0.02)
            yield port
        finally:
            server.terminate()
            server.wait(10)


@pytest.mark.system
class TestRealServers:
    """Each is another implementation of QUIC and of TLS."""

    @pytest.mark.parametrize("retry", [[], ["-V"]])
    def test_ngtcp2_is_mapped_in_full(self, tmp_path: Path, retry: list[str]) -> None:
        """Groups by HelloRetryRequest, the certificate from the Handshake packets, with and without a Retry."""
        with by_ngtcp2(tmp_path, *retry) as port:
            seen, ended, answers = probe(QuicProbe(), target_at(port, QUIC, mode=FULL))
        assert ended.outcome is Outcome.SEEN
        assert ended.place == f"quic://{HOST}:{port}"
        (endpoint,) = facts(seen, Endpoint)
        assert endpoint.protocol == "quic"
        assert endpoint.versions == ("QUICv1",)
        assert endpoint.prefers_post_quantum is False
        assert (NEGOTIATED, "X25519", "0x001d") in uses(seen)
        public = {name for _, name, _ in uses(seen) if not name.startswith("AES")}
        assert public == {"X25519", "ECDH-P-256", "ECDH-P-384", "ECDH-P-521", "ECDSA-P-256"}
        assert (NEGOTIATED, "ECDSA-P-256", "0x0403") in uses(seen)
        (certificate,) = facts(seen, Certificate)
        assert certificate.subject == "CN=server.example"
        assert all(answer.conversation.client.retried is bool(retry) for answer in answers)  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("retry", "version"), [(False, V1), (True, V1), (True, 0x6B3343CF)])
    def test_aioquic_is_read_in_both_versions(self, tmp_path: Path, retry: bool, version: int) -> None:  # noqa: FBT001 - a parameter
        """It has no HelloRetryRequest: asked again with shares, it refuses, and only that is a no."""
        with by_python("aioquic", tmp_path, retry=retry, versions=[version]) as port:
            seen, ended, answers = probe(QuicProbe(), target_at(port, QUIC))
        assert ended.outcome is Outcome.SEEN
        assert WITH_SHARES in {answer.job.question for answer in answers}
        (endpoint,) = facts(seen, Endpoint)
        assert endpoint.versions == ("QUICv1" if version == V1 else "QUICv2",)
        assert endpoint.supports_post_quantum is False
        assert (NEGOTIATED, "X25519", "0x001d") in uses(seen)
        assert len(facts(seen, Certificate)) == 1

    def test_a_chain_beyond_the_limit_on_amplification_is_read(self, tmp_path: Path) -> None:
        """More than three times what we sent: the server goes on once our acknowledgement shows who we are (8.1)."""
        with by_ngtcp2(tmp_path, names=600) as port:
            seen, ended, answers = probe(QuicProbe(), target_at(port, QUIC))
        assert ended.outcome is Outcome.SEEN
        (certificate,) = facts(seen, Certificate)
        assert "0.example" in certificate.names
        flights = [one.conversation.flight for one in answers if isinstance(one.conversation, QuicConversation)]
        assert max(len(der) for flight in flights for der in flight.certificates) > 3 * 2 * 1200  # of two datagrams

    def test_qh3_gives_a_client_of_today_a_post_quantum_key(self, tmp_path: Path) -> None:
        """It has no HelloRetryRequest: the hello with two shares, in two datagrams, shows it."""
        with by_python("qh3", tmp_path) as port:
            seen, _, answers = probe(QuicProbe(), target_at(port, QUIC, mode=QUICK))
        assert (NEGOTIATED, "X25519MLKEM768", "0x11ec") in uses(seen)
        assert len(answers) <= 3
