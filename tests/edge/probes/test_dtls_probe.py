"""The DTLS probe against openssl, against a hand-written server of DTLS 1.3, and against hostile ones."""

import hmac
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.probes.datagram_ends import (
    FULL,
    HOST,
    QUICK,
    certificate_files,
    facts,
    free_port,
    hello_retry,
    probe,
    responding,
    target_at,
    uses,
)

from keystrand.edge.probes.dtls import MAX_COOKIES, DtlsConversation, DtlsProbe
from keystrand.edge.probes.tls_questions import INQUIRIES, Question
from keystrand.formats.dtls_records import HELLO_VERIFY_REQUEST, records
from keystrand.formats.tls_hello import CLIENT_HELLO
from keystrand.formats.tls_wire import ALERT, HANDSHAKE, Reader, message, number, vector
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import Certificate, Endpoint, Outcome, Strength

NEGOTIATED = Strength.NEGOTIATED
DTLS = ProbeKind.DTLS


def said(kind: int, content: bytes, order: int = 0) -> bytes:
    """Return a handshake message of a server in one record."""
    body = number(kind, 1) + number(len(content), 3) + number(order) + number(0, 3) + vector(3, content)
    return record(HANDSHAKE, body)


def record(kind: int, body: bytes) -> bytes:
    """Return a record in clear."""
    return number(kind, 1) + number(0xFEFD) + bytes(8) + vector(2, body)


def retry(group: int, cookie: bytes = b"", order: int = 0) -> bytes:
    """Return a HelloRetryRequest of DTLS 1.3."""
    tls = hello_retry(group, cookie=cookie)
    dtls = (
        tls[4:]
        .replace(number(0x0303), number(0xFEFD), 1)
        .replace(number(43) + b"\0\2\3\4", number(43) + b"\0\2\xfe\xfc")
    )
    return said(2, dtls, order)


def verify(cookie: bytes, order: int = 0) -> bytes:
    """Return a HelloVerifyRequest."""
    return said(HELLO_VERIFY_REQUEST, number(0xFEFF) + vector(1, cookie), order)


def cookie_of(datagram: bytes) -> bytes:
    """Return the cookie in a ClientHello's own field, after checking that it is whole."""
    (only,) = records(datagram)
    assert only.body[0] == CLIENT_HELLO
    body = Reader(only.body[12:])
    body.take(34)
    body.vector(1)
    return body.vector(1)


class TestConversation:
    """One question, datagrams in memory."""

    def test_a_cookie_is_returned_and_cookies_without_end_are_left(self) -> None:
        """As often as a server may restart, not for ever."""
        talk = DtlsConversation(INQUIRIES[Question.TLS12], "server.example")
        assert cookie_of(talk.begin()) == b""
        for order in range(MAX_COOKIES):
            assert cookie_of(talk.receive(verify(bytes((order,)) * 20, order))) == bytes((order,)) * 20
        talk.receive(verify(b"again", MAX_COOKIES))
        assert talk.done
        assert "not due" in talk.fault

    def test_a_hello_retry_request_of_dtls_1_3_names_the_group(self) -> None:
        """With an empty share: one datagram each way, then our leave."""
        talk = DtlsConversation(INQUIRIES[Question.SUPPORTS], "server.example")
        talk.begin()
        leave = talk.receive(retry(0x11EC, b"cookie"))
        assert leave[0] == ALERT
        assert talk.done
        assert talk.accepted
        assert talk.flight.group == 0x11EC

    def test_a_hello_retry_request_for_its_cookie_alone_is_followed(self) -> None:
        """So servers of DTLS 1.3 check where a client is (RFC 9147, 5.1)."""
        talk = DtlsConversation(INQUIRIES[Question.DOWNGRADE], "server.example")
        talk.begin()
        second = talk.receive(retry(0, b"cookie"))
        assert b"cookie" in second
        assert not talk.done
        assert not talk.accepted
        share = number(51) + vector(2, number(0x001D) + vector(2, b"\x09" + bytes(31)))
        chosen = number(43) + vector(2, number(0xFEFC)) + share
        talk.receive(said(2, number(0xFEFD) + bytes(32) + b"\0" + number(0x1301) + b"\0" + vector(2, chosen), 1))
        assert talk.done
        assert talk.accepted
        assert talk.flight.group == 0x001D

    def test_what_is_no_record_in_clear_changes_nothing(self) -> None:
        """Another protocol, a later epoch, a record cut short; the server's own answer still counts."""
        talk = DtlsConversation(INQUIRIES[Question.SUPPORTS], "server.example")
        talk.begin()
        genuine = retry(0x11EC)
        for other in (b"220 ready\r\n", genuine[:3] + b"\0\1" + genuine[5:], genuine[:-1], b"\x2f" + bytes(30)):
            assert talk.receive(other) == b""
            assert not talk.done
        assert talk.foreign
        talk.receive(genuine)
        assert talk.accepted
        assert not talk.fault

    @given(st.lists(st.binary(max_size=120), max_size=4), st.sampled_from(Question), st.integers(0, 255))
    def test_no_datagram_makes_it_raise(self, octets: list[bytes], question: Question, kind: int) -> None:
        """Bare, and inside a message that is due."""
        talk = DtlsConversation(INQUIRIES[question], "server.example")
        talk.begin()
        for order, content in enumerate(octets):
            talk.receive(content)
            talk.receive(said(kind, content, order))
            talk.receive(record(ALERT, content))


class Server13:
    """A server of DTLS 1.3 with X25519 and AES-128-GCM; its key schedule is written anew, after RFC 9147 and 8446."""

    def __init__(self, certificate: bytes, *, cookie: bytes = b"") -> None:
        self.certificate, self.cookie = certificate, cookie
        self.transcript = b""
        self._order = 0
        self._parts: dict[int, bytes] = {}

    def __call__(self, datagram: bytes) -> list[bytes]:
        """Answer a hello once all of it is there."""
        for one in records(datagram):
            if one.kind != HANDSHAKE:
                continue
            whole = int.from_bytes(one.body[1:4], "big")
            self._parts[int.from_bytes(one.body[6:9], "big")] = one.body[12:]
            hello = b"".join(self._parts[at] for at in sorted(self._parts))
            if len(hello) == whole:
                self._parts.clear()
                return self._answer(one.body[:4] + hello)
        return []

    def _answer(self, hello: bytes) -> list[bytes]:
        if self.cookie and self.cookie not in hello:
            tls = hello_retry(0, cookie=self.cookie)
            sent = retry(0, self.cookie)
            self.transcript = b"\xfe\0\0\x20" + sha256(hello).digest() + tls[:4] + sent[25:]
            self._order = 1
            return [sent]
        at = hello.rindex(b"\0\x1d\0\x20") + 4
        private = X25519PrivateKey.generate()
        shared = private.exchange(X25519PublicKey.from_public_bytes(hello[at : at + 32]))
        share = number(51) + vector(2, number(0x1D) + vector(2, private.public_key().public_bytes_raw()))
        chosen = number(43) + vector(2, number(0xFEFC)) + share
        body = number(0xFEFD) + bytes(range(32)) + b"\0" + number(0x1301) + b"\0" + vector(2, chosen)
        self.transcript += hello + message(2, body)
        secret = self._secret(shared)
        entries = vector(3, vector(3, self.certificate) + vector(2, b""))
        flight = ((8, vector(2, b"")), (11, vector(1, b"") + entries), (15, number(0x0403) + vector(2, b"signed")))
        sealed = [self._sealed(secret, n, kind, content) for n, (kind, content) in enumerate(flight)]
        return [sealed[1], said(2, body, self._order) + sealed[0], sealed[2]]

    def _secret(self, shared: bytes) -> bytes:
        early = hmac.digest(bytes(32), bytes(32), "sha256")
        derived = expanded(early, b"derived", sha256(b"").digest(), 32)
        handshake = hmac.digest(derived, shared, "sha256")
        return expanded(handshake, b"s hs traffic", sha256(self.transcript).digest(), 32)

    def _sealed(self, secret: bytes, count: int, kind: int, content: bytes) -> bytes:
        head = bytes((0x2E,)) + number(count) + number(len(content) + 12 + 1 + 16)
        body = (
            number(kind, 1) + number(len(content), 3) + number(self._order + 1 + count) + bytes(3) + vector(3, content)
        )
        nonce = int.from_bytes(expanded(secret, b"iv", b"", 12), "big") ^ count
        sealed = AESGCM(expanded(secret, b"key", b"", 16)).encrypt(number(nonce, 12), body + bytes((HANDSHAKE,)), head)
        mask = Cipher(AES(expanded(secret, b"sn", b"", 16)), ECB()).encryptor().update(sealed[:16])  # noqa: S305 - RFC 9147, 4.2.3
        return head[:1] + bytes((head[1] ^ mask[0], head[2] ^ mask[1])) + head[3:] + sealed


def expanded(secret: bytes, label: bytes, context: bytes, octets: int) -> bytes:
    """Return HKDF-Expand-Label with DTLS's labels, by the library's HKDF."""
    label_13 = number(octets) + vector(1, b"dtls13" + label) + vector(1, context)
    return HKDFExpand(SHA256(), octets, label_13).derive(secret)


@pytest.mark.parametrize("cookie", [b"", b"come from there?"])
def test_the_certificate_of_dtls_1_3_is_opened(tmp_path: Path, cookie: bytes) -> None:
    """Encrypted records, one of them before the ServerHello that gives its key; with and without a cookie."""
    chain, _ = certificate_files(tmp_path)
    der = load_pem_x509_certificate(Path(chain).read_bytes()).public_bytes(Encoding.DER)
    talk = DtlsConversation(INQUIRIES[Question.BROWSER], "server.example")
    server, waiting = Server13(der, cookie=cookie), [talk.begin()]
    while waiting:
        waiting += filter(None, iter(lambda: talk.receive(b""), b""))
        for datagram in server(waiting.pop(0)):
            waiting += [reply] if (reply := talk.receive(datagram)) else []
    assert not talk.fault
    assert talk.done
    assert talk.accepted
    assert (talk.flight.certificates, talk.flight.scheme) == ((der,), 0x0403)


@contextmanager
def by_openssl(folder: Path, *options: str) -> Iterator[int]:
    """Serve with `openssl s_server`, one association at a time."""
    if (program := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed")
    chain, key = certificate_files(folder)
    port = free_port()
    command = [program, "s_server", "-accept", f"{HOST}:{port}", "-cert", chain, "-key", key, *options]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            while f":{port:04X} " not in Path("/proc/net/udp").read_text():
                assert server.poll() is None
                time.sleep(0.02)
            yield port
        finally:
            server.terminate()
            server.communicate(timeout=10)


@pytest.mark.system
class TestServers:
    """Whole probes over real sockets."""

    def test_openssl_shows_versions_groups_and_certificate(self, tmp_path: Path) -> None:
        """DTLS 1.2, and 1.0 where the server's security level allows it; no post-quantum key exchange."""
        with by_openssl(tmp_path, "-dtls", "-cipher", "ALL:@SECLEVEL=0") as port:
            seen, ended, _ = probe(DtlsProbe(), target_at(port, DTLS, mode=FULL))
        assert ended.outcome is Outcome.SEEN
        assert ended.place == f"dtls://{HOST}:{port}"
        (endpoint,) = facts(seen, Endpoint)
        assert endpoint.protocol == "dtls"
        assert endpoint.versions == ("DTLSv1.2", "DTLSv1.0")
        assert (NEGOTIATED, "X25519", "0x001d") in uses(seen)
        assert (NEGOTIATED, "ECDSA-P-256", "0x0403") in uses(seen)
        assert {"ECDH-P-256", "ECDH-P-384", "ECDH-P-521", "X448"} <= {name for _, name, _ in uses(seen)}
        (certificate,) = facts(seen, Certificate)
        assert certificate.subject == "CN=server.example"

    def test_a_server_of_dtls_1_3_with_a_post_quantum_group_is_not_lost(self) -> None:
        """Hand-written: it asks for X25519MLKEM768 where that is offered in a hello in one datagram, else refuses."""

        def respond(datagram: bytes) -> list[bytes]:
            offers = any(number(0x11EC) in one.body for one in records(datagram)) and len(datagram) < 800
            return [retry(0x11EC, b"cookie") if offers else record(ALERT, bytes((2, 40)))]

        with responding(respond) as port:
            seen, ended, answers = probe(DtlsProbe(), target_at(port, DTLS, mode=QUICK))
        assert ended.outcome is Outcome.SEEN
        assert uses(seen) == {(NEGOTIATED, "X25519MLKEM768", "0x11ec")}
        assert facts(seen, Endpoint)[0].versions == ("DTLSv1.3",)
        assert len(answers) == 1

    def test_a_refusal_is_no_absence_and_no_dtls_is_told(self) -> None:
        """Alert 40 to every hello; and a server of something else."""
        with responding(lambda _: [record(ALERT, bytes((2, 40)))]) as port:
            seen, ended, _ = probe(DtlsProbe(), target_at(port, DTLS))
        assert not seen
        assert ended.outcome is Outcome.UNREADABLE
        assert "handshake_failure (40)" in ended.reason
        with responding(lambda _: [b"SIP/2.0 400 Bad Request\r\n\r\n"]) as port:
            _, ended, _ = probe(DtlsProbe(), target_at(port, DTLS), timeout_s=1.5)
        assert ended.outcome is Outcome.NONE
        assert "without a DTLS record" in ended.reason
