"""The TLS probe against real servers on the loopback interface, and against what is no TLS server."""

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from keystrand.edge.probes.base import MAX_RECEIVED, Answer, Ending, Job
from keystrand.edge.probes.tls import TlsProbe
from keystrand.edge.probes.tls_plan import MOST_OF
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import AlgorithmUse, Attempt, Certificate, Endpoint, Observation, Outcome, Strength

pytestmark = pytest.mark.system

Serve = Callable[[socket.socket], None]
NEGOTIATED, OFFERED = Strength.NEGOTIATED, Strength.OFFERED


@contextmanager
def listening(serve: Serve) -> Iterator[Target]:
    """Serve each connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def attend(connection: socket.socket) -> None:
        with connection, suppress(OSError, SSL.Error):
            connection.settimeout(5)
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=attend, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield target_at(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def target_at(port: int, host: str = "127.0.0.1") -> Target:
    """Return a target of the TLS probe."""
    return Target(id="target", probe=ProbeKind.TLS, system="system", host=host, port=port)


def ask(job: Job, timeout_s: float) -> Answer:
    """Drive one conversation over a real socket."""
    talk = job.start()
    try:
        with socket.create_connection(("127.0.0.1", job.port), timeout=timeout_s) as connection:
            connection.sendall(talk.begin())
            while not talk.done:
                octets = connection.recv(1 << 16)
                if not octets:
                    return Answer(job, talk, Ending.CLOSED)
                if reply := talk.receive(octets):
                    connection.sendall(reply)
    except ConnectionRefusedError:
        return Answer(job, talk, Ending.REFUSED)
    except ConnectionError:
        return Answer(job, talk, Ending.RESET)
    except TimeoutError:
        return Answer(job, talk, Ending.TIMED_OUT)
    return Answer(job, talk, Ending.DONE)


def probe(target: Target, timeout_s: float = 20) -> tuple[list[Observation], Attempt]:
    """Run the whole probe, every round, and return what it says."""
    tls = TlsProbe()
    answers: tuple[Answer, ...] = ()
    while jobs := tls.plan(target, answers):
        answers += tuple(ask(job, timeout_s) for job in jobs)
        assert len(answers) <= MOST_OF[ScanMode.STANDARD]
    records = tls.judge(target, answers)
    attempts = [record for record in records if isinstance(record, Attempt)]
    assert len(attempts) == 1
    return [record for record in records if isinstance(record, Observation)], attempts[0]


def uses(observations: list[Observation]) -> set[tuple[Strength, str, str]]:
    """Return strength, name and code point of each algorithm seen."""
    return {
        (seen.strength, seen.fact.algorithm, seen.fact.code_point)
        for seen in observations
        if isinstance(seen.fact, AlgorithmUse)
    }


def facts(observations: list[Observation], kind: type[Any]) -> list[Any]:
    """Return the facts of one kind."""
    return [seen.fact for seen in observations if isinstance(seen.fact, kind)]


def pem_files(folder: Path, key: Any) -> tuple[str, str]:
    """Write a self-signed certificate and its key; return both paths."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, None if isinstance(key, mldsa.MLDSA65PrivateKey) else hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(chain), str(private)


def by_pyopenssl(folder: Path, key: Any, curve: ec.EllipticCurve | None = None) -> Serve:
    """Return a server on the OpenSSL of `cryptography`, which knows post-quantum algorithms."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    chain, private = pem_files(folder, key)
    context.use_certificate_chain_file(chain)
    context.use_privatekey_file(private)
    if curve:
        context.set_tmp_ecdh(curve)

    def serve(connection: socket.socket) -> None:
        connection.settimeout(None)
        tls = SSL.Connection(context, connection)
        tls.set_accept_state()
        tls.do_handshake()

    return serve


def finite_field_group(folder: Path) -> str:
    """Write ffdhe2048, computed by its definition (RFC 7919, appendix A.1), and return the path."""
    scale = 1 << 2048
    euler, term, divisor = 0, scale, 0
    while term:
        euler, divisor = euler + term, divisor + 1
        term //= divisor
    prime = 2**2048 - 2**1984 + ((euler >> (2048 - 1918)) + 560316) * 2**64 - 1
    path = folder / "dh.pem"
    # PKCS #3: a sequence of prime and generator 2. `cryptography` is about to drop finite-field groups.
    der = bytes.fromhex("30820108 0282010100") + prime.to_bytes(256, "big") + bytes.fromhex("020102")
    text = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN DH PARAMETERS-----\n{text}-----END DH PARAMETERS-----\n")
    return str(path)


def by_stdlib(folder: Path, *, only_12: bool = False, ciphers: str = "") -> Serve:
    """Return a server on the system's OpenSSL: RSA-2048 certificate, curve P-256."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_dh_params(finite_field_group(folder))
    context.load_cert_chain(*pem_files(folder, rsa.generate_private_key(65537, 2048)))
    context.set_ecdh_curve("prime256v1")
    if only_12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if ciphers:
        context.set_ciphers(ciphers)

    def serve(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    return serve


def test_hybrid_server(tmp_path: Path) -> None:
    """A server that speaks hybrid groups: negotiated, preferred and every accepted group are told apart."""
    with listening(by_pyopenssl(tmp_path, ec.generate_private_key(ec.SECP256R1()))) as target:
        seen, attempt = probe(target)
    assert attempt.outcome is Outcome.SEEN
    assert attempt.reason == ""
    (endpoint,) = facts(seen, Endpoint)
    assert endpoint.versions[:2] == ("TLSv1.3", "TLSv1.2")
    assert endpoint.prefers_post_quantum is True
    found = uses(seen)
    assert (NEGOTIATED, "X25519MLKEM768", "0x11ec") in found
    assert (NEGOTIATED, "ECDSA-P-256", "0x0403") in found
    assert (OFFERED, "SecP256r1MLKEM768", "0x11eb") in found
    assert (OFFERED, "X25519", "0x001d") in found
    # not only the classical group it likes best
    assert (OFFERED, "ECDH-P-256", "0x0017") in found
    assert (OFFERED, "ECDH-P-384", "0x0018") in found
    (certificate,) = facts(seen, Certificate)
    assert certificate.key_algorithm == "ECDSA-P-256"
    assert {record.place for record in seen} == {f"tls://127.0.0.1:{target.port}"}


def test_ml_dsa_server_is_not_lost(tmp_path: Path) -> None:
    """A server whose only certificate is ML-DSA is seen, with its certificate and signature."""
    with listening(by_pyopenssl(tmp_path, mldsa.MLDSA65PrivateKey.generate())) as target:
        seen, attempt = probe(target)
    assert attempt.outcome is Outcome.SEEN
    assert (NEGOTIATED, "ML-DSA-65", "0x0905") in uses(seen)
    assert [c.key_algorithm for c in facts(seen, Certificate)] == ["ML-DSA-65"]


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_group_without_our_share(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """A server that wants a group we sent no share for is followed through its HelloRetryRequest to the certificate."""
    with listening(by_pyopenssl(tmp_path, ec.generate_private_key(ec.SECP384R1()), curve)) as target:
        seen, attempt = probe(target)
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "")
    (endpoint,) = facts(seen, Endpoint)
    assert endpoint.prefers_post_quantum is False
    exchanges = {name for strength, name, _ in uses(seen) if strength is NEGOTIATED}
    assert exchanges == {f"ECDH-P-{curve.key_size}", "ECDSA-P-384"}
    assert not any("MLKEM" in name for _, name, _ in uses(seen))
    assert [c.key_algorithm for c in facts(seen, Certificate)] == ["ECDSA-P-384"]


def test_classical_rsa_server(tmp_path: Path) -> None:
    """A classical server of another TLS library: P-256, RSA-2048, no post-quantum group."""
    with listening(by_stdlib(tmp_path)) as target:
        seen, attempt = probe(target)
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "")
    (endpoint,) = facts(seen, Endpoint)
    assert endpoint.versions == ("TLSv1.3", "TLSv1.2")
    assert endpoint.prefers_post_quantum is False
    found = uses(seen)
    assert (NEGOTIATED, "ECDH-P-256", "0x0017") in found
    assert {name for strength, name, _ in found if strength is NEGOTIATED} == {"ECDH-P-256", "RSA-2048"}
    assert [c.key_bits for c in facts(seen, Certificate)] == [2048]


def test_tls_12_only_server(tmp_path: Path) -> None:
    """A server without TLS 1.3: what it negotiates in TLS 1.2, and that it still takes static RSA."""
    with listening(by_stdlib(tmp_path, only_12=True, ciphers="ECDHE+AESGCM:AES128-GCM-SHA256")) as target:
        seen, attempt = probe(target)
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "")
    (endpoint,) = facts(seen, Endpoint)
    assert endpoint.versions == ("TLSv1.2",)
    assert endpoint.prefers_post_quantum is False
    found = uses(seen)
    assert (NEGOTIATED, "ECDH-P-256", "0x0017") in found
    assert (OFFERED, "RSA-KEX-2048", "0x009c") in found
    assert any(name == "RSA-2048" and strength is NEGOTIATED for strength, name, _ in found)


def test_static_rsa_only_server_is_not_lost(tmp_path: Path) -> None:
    """A server that takes RSA key transport and nothing else: that is what everybody gets from it."""
    with listening(by_stdlib(tmp_path, only_12=True, ciphers="AES256-GCM-SHA384")) as target:
        seen, _ = probe(target)
    assert uses(seen) == {(NEGOTIATED, "RSA-KEX-2048", "0x009d")}


def test_finite_field_group_of_tls_12(tmp_path: Path) -> None:
    """A finite-field group without a name is told by the size of its prime."""
    with listening(by_stdlib(tmp_path, only_12=True, ciphers="DHE-RSA-AES128-GCM-SHA256")) as target:
        seen, _ = probe(target)
    exchanges = {name for strength, name, _ in uses(seen) if strength is NEGOTIATED}
    assert exchanges == {"FFDH-2048", "RSA-2048"}


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    while octets := connection.recv(4096):
        connection.sendall(octets)


def greet(connection: socket.socket) -> None:
    """Speak first, as mail servers do."""
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.recv(4096)


@pytest.mark.parametrize("serve", [echo, greet])
def test_not_tls(serve: Serve) -> None:
    """A service that answers with something else is no TLS server, and is asked no further."""
    with listening(serve) as target:
        seen, attempt = probe(target)
    assert not seen
    assert attempt.outcome is Outcome.NONE
    assert attempt.reason.startswith("answers, but not with TLS")


def test_silence_is_unknown() -> None:
    """A server that says nothing timed out: no answer is concluded from it."""

    def listen(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass

    with listening(listen) as target:
        seen, attempt = probe(target, timeout_s=0.2)
    assert not seen
    assert attempt.outcome is Outcome.TIMED_OUT


def test_closed_port_is_unreachable() -> None:
    """A refused connection is unreachable after one round."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        seen, attempt = probe(target_at(held.getsockname()[1]))
    assert not seen
    assert attempt.outcome is Outcome.UNREACHABLE


def test_alert_to_everything_names_the_alert() -> None:
    """A server that knows no such name refuses every hello: it is unreadable, and the reason says which alert."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(bytes((21, 3, 3, 0, 2, 2, 112)))

    with listening(refuse) as target:
        seen, attempt = probe(target)
    assert not seen
    assert attempt.outcome is Outcome.UNREADABLE
    assert "unrecognized_name (112)" in attempt.reason


def test_flood_is_bounded_by_the_scheduler_and_survived() -> None:
    """The most that the scheduler ever feeds, in one unfinished message, is taken without an answer or an error."""
    talk = TlsProbe().plan(target_at(443), ())[0].start()
    record = bytes((22, 3, 3, 0x40, 0)) + b"\2\xff\xff\xff" + bytes(0x4000 - 4)
    for _ in range(MAX_RECEIVED // len(record)):
        assert talk.receive(record) == b""
    assert not talk.done
