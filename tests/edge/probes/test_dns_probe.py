"""The DNSSEC probe against a small answerer with known keys, and against Knot DNS where it is installed."""

import hashlib
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.probes.datagram_ends import FULL, HOST, QUICK, facts, free_port, probe, responding, target_at, uses

from keystrand.edge.probes.base import Answer, Ending
from keystrand.edge.probes.dns import DnsConversation, DnsProbe, Question
from keystrand.formats.dns_messages import DNSKEY, DS, NSEC3PARAM, RRSIG, SOA, SSHFP, TLSA
from keystrand.formats.dns_security import key_tag
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import Attempt, Observation, Outcome, PublicKey, Strength

NEGOTIATED, OFFERED = Strength.NEGOTIATED, Strength.OFFERED
ZONE = b"\4bank\7example\0"


def dns_target(port: int, zone: str | None = "bank.example.", mode: ScanMode | None = None) -> Target:
    """Return a target that asks for a zone."""
    return target_at(port, ProbeKind.DNS, zone=zone, mode=mode)


def look(target: Target, timeout_s: float = 8.0) -> tuple[list[Observation], Attempt, tuple[Answer, ...]]:
    """Return what the probe sees."""
    return probe(DnsProbe(), target, timeout_s)


RSA = rsa.generate_private_key(65537, 2048).public_key()
CURVE = ec.generate_private_key(ec.SECP256R1()).public_key()
_NUMBERS = RSA.public_numbers()
KSK = struct.pack(">HBB", 257, 3, 8) + b"\3\1\0\1" + _NUMBERS.n.to_bytes(256, "big")
ZSK = struct.pack(">HBB", 256, 3, 13) + CURVE.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def signature(covers: int, key: bytes, *, days: tuple[int, int], signer: bytes = ZONE) -> bytes:
    """Return an RRSIG valid in days of November 2026; its signature is of no consequence."""
    begins, ends = (int(datetime(2026, 11, day, tzinfo=UTC).timestamp()) for day in days)
    return struct.pack(">HBBIIIH", covers, key[3], 2, 3600, ends, begins, key_tag(key)) + signer + bytes(64)


PARENT = struct.pack(">HBB", 257, 3, 15) + bytes(32)
SIGNED: dict[int, list[tuple[int, bytes]]] = {
    DNSKEY: [(DNSKEY, KSK), (DNSKEY, ZSK), (RRSIG, signature(DNSKEY, KSK, days=(1, 28)))],
    SOA: [(SOA, bytes(22)), (RRSIG, signature(SOA, ZSK, days=(3, 20)))],
    DS: [
        (DS, struct.pack(">HBB", key_tag(KSK), 8, 2) + hashlib.sha256(ZONE + KSK).digest()),
        (RRSIG, signature(DS, PARENT, days=(1, 2), signer=b"\7example\0")),
    ],
    NSEC3PARAM: [(NSEC3PARAM, b"\1\0\0\x0a\4salt")],
    SSHFP: [(SSHFP, b"\4\2" + bytes(32))],
    TLSA: [(TLSA, b"\3\1\1" + bytes(32))],
}


class Zone:
    """An authoritative server: its records by type, a response code, and whether datagrams are cut short."""

    def __init__(
        self, records: dict[int, list[tuple[int, bytes]]], *, code: int = 0, cut: bool = False, holds: bool = True
    ) -> None:
        self.records, self.code, self.cut, self.holds = records, code, cut, holds
        self.asked: list[tuple[bytes, int]] = []

    def __call__(self, datagram: bytes) -> list[bytes]:
        """Answer over UDP."""
        return [self.answer(datagram, cut=self.cut)]

    def answer(self, message: bytes, *, cut: bool = False) -> bytes:
        """Answer the question in a message."""
        end = message.index(b"\0", 12) + 5
        kind = int.from_bytes(message[end - 4 : end - 2], "big")
        self.asked.append((message[12 : end - 4], kind))
        found = [] if cut else self.records.get(kind, [])
        flags = (0x8400 if self.holds else 0x8000) | self.code | (0x0200 if cut else 0)
        head = message[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        body = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", one, 1, 60, len(content)) + content for one, content in found
        )
        return head + message[12:end] + body


@contextmanager
def over_both(zone: Zone) -> Iterator[int]:
    """Answer at one port over UDP and over TCP, there in two parts."""
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]

    def attend() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                message = connection.recv(2048)
                if not message:
                    return
                answer = zone.answer(message[2:])
                connection.sendall(len(answer).to_bytes(2, "big") + answer[:10])
                connection.sendall(answer[10:])
                connection.recv(1)

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    with responding(zone, port):
        yield port
    with socket.create_connection((HOST, port)):
        pass
    thread.join(10)
    listener.close()


@pytest.mark.system
class TestAnswerer:
    """Whole probes over real sockets."""

    @pytest.mark.parametrize("cut", [False, True])
    def test_a_signed_zone_is_mapped_over_udp_and_over_tcp_where_answers_are_cut_short(self, cut: bool) -> None:  # noqa: FBT001 - a parameter
        """Keys with their sizes, what signs, the digests, the window of all signatures, and NSEC3's parameters."""
        zone = Zone(SIGNED, cut=cut)
        with over_both(zone) as port:
            seen, ended, answers = look(dns_target(port, mode=FULL))
        assert ended.outcome is Outcome.SEEN
        assert ended.place == f"dns://{HOST}:{port}/bank.example"
        assert ended.reason.split("; ") == [
            "signatures: all valid from 2026-11-03 to 2026-11-20",
            "NSEC3: SHA-1, 10 further iterations, 4 octets of salt",
        ]
        spkis = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in (RSA, CURVE)]
        digests = [hashlib.sha256(one).hexdigest() for one in spkis]
        keys = {(fact.algorithm, fact.sha256) for fact in facts(seen, PublicKey)}
        assert keys == {("RSA-2048", digests[0]), ("ECDSA-P-256", digests[1])}
        assert uses(seen) == {
            (NEGOTIATED, "RSA-2048", "8"),
            (NEGOTIATED, "ECDSA-P-256", "13"),
            (NEGOTIATED, "SHA-256", "8"),
            (NEGOTIATED, "SHA-256", "13"),
            (NEGOTIATED, "SHA-256", "DS 2"),
            (OFFERED, "SHA-256", "TLSA 3 1 1"),
            (OFFERED, "Ed25519", "SSHFP 4 2"),
            (OFFERED, "SHA-256", "SSHFP 4 2"),
        }
        transports = {answer.job.transport for answer in answers}
        assert transports == ({"udp", "tcp"} if cut else {"udp"})
        assert len(answers) == (14 if cut else 7)
        assert (b"\4_443\4_tcp" + ZONE, TLSA) in zone.asked

    def test_an_answer_cut_short_without_tcp_stays_unknown(self) -> None:
        """Not signed is what only a clear answer can say."""
        with responding(Zone(SIGNED, cut=True)) as port:
            seen, ended, _ = look(dns_target(port))
        assert not seen
        assert ended.outcome is Outcome.UNREADABLE
        assert "over TCP there is none: connection refused" in ended.reason

    def test_unsigned_absent_refused_and_silent_are_four_things(self) -> None:
        """Only the first two are a none."""
        for zone, outcome, words in (
            (Zone({SOA: [(SOA, bytes(22))]}), Outcome.NONE, "not signed"),
            (Zone({}, code=3), Outcome.NONE, "no such name"),
            (Zone({}, code=5), Outcome.UNREADABLE, "REFUSED (5)"),
            (Zone({}, code=2), Outcome.UNREADABLE, "SERVFAIL (2)"),
            (Zone({}, holds=False), Outcome.UNREADABLE, "does not hold the zone"),
            (Zone({}, code=3, holds=False), Outcome.UNREADABLE, "does not hold the zone"),
            (Zone({DNSKEY: [(DNSKEY, b"\1")]}), Outcome.UNPARSABLE, "cannot be read: 1"),
        ):
            with responding(zone) as port:
                seen, ended, _ = look(dns_target(port))
            assert not seen
            assert (ended.outcome, words in ended.reason) == (outcome, True)
        with responding(lambda _: []) as port:
            _, ended, _ = look(dns_target(port), timeout_s=0.3)
        assert ended.outcome is Outcome.TIMED_OUT
        with responding(lambda _: [b"SIP/2.0 400 Bad Request\r\n\r\n"]) as port:
            _, ended, _ = look(dns_target(port), timeout_s=1.0)
        assert ended.outcome is Outcome.UNPARSABLE

    def test_a_delegation_to_no_key_and_a_record_that_cannot_be_read_are_told(self) -> None:
        """Resolvers that validate would refuse such a zone."""
        wrong = (DS, struct.pack(">HBB", key_tag(KSK), 8, 2) + bytes(32))
        with responding(Zone(SIGNED | {DS: [wrong], NSEC3PARAM: [(NSEC3PARAM, b"\1")]})) as port:
            _, ended, _ = look(dns_target(port))
        assert "no DS of the parent zone is of a key that the zone has" in ended.reason
        assert "1 records cannot be read" in ended.reason

    def test_signatures_without_a_common_time_are_told(self) -> None:
        """A window that ends before it begins would be no sentence."""
        apart = SIGNED | {SOA: [(SOA, bytes(22)), (RRSIG, signature(SOA, ZSK, days=(29, 30)))]}
        with responding(Zone(apart)) as port:
            _, ended, _ = look(dns_target(port))
        assert "signatures: at no time all valid together" in ended.reason

    def test_quick_mode_asks_for_the_keys_alone(self) -> None:
        """One query."""
        with responding(Zone(SIGNED)) as port:
            seen, _, answers = look(dns_target(port, mode=QUICK))
        assert len(answers) == 1
        assert (OFFERED, "ECDSA-P-256", "13") in uses(seen)
        assert (NEGOTIATED, "RSA-2048", "8") in uses(seen)


def test_without_a_zone_that_dns_could_hold_nothing_is_asked() -> None:
    """And that is told."""
    for zone in (None, "a..example", "x" * 64, "x" * 63 + "." + "y" * 63 + "." + "z" * 63 + "." + "w" * 60):
        target = dns_target(53, zone)
        assert DnsProbe().plan(target, ()) == ()
        (ended,) = DnsProbe().judge(target, ())
        assert isinstance(ended, Attempt)
        assert ended.outcome is Outcome.SKIPPED


@given(st.lists(st.binary(max_size=80), max_size=5), st.booleans())
def test_no_octets_make_the_conversation_raise(octets: list[bytes], tcp: bool) -> None:  # noqa: FBT001 - a parameter
    """Bare, and behind the head and question of an answer that is due."""
    talk = DnsConversation(Question(DNSKEY), "bank.example", tcp=tcp)
    asked = talk.begin()[2 if tcp else 0 :]
    for content in octets:
        message = asked[:2] + b"\x84\0\0\1\0\2\0\0\0\0" + asked[12 : 12 + len(ZONE) + 4] + content
        for one in (content, message):
            talk.receive(len(one).to_bytes(2, "big") + one if tcp else one)
    target = dns_target(53)
    job = DnsProbe().plan(target, ())[0]
    assert DnsProbe().judge(target, (Answer(job, talk, Ending.DONE),))


KNOT = """
server:
    rundir: "{folder}"
    listen: {host}@{port}
    user: root:root
database:
    storage: "{folder}"
log:
  - target: stderr
    any: info
policy:
  - id: curve
    algorithm: {algorithm}
    nsec3: on
    nsec3-iterations: 5
    nsec3-salt-length: 8
zone:
  - domain: bank.example
    storage: "{folder}"
    file: zone
    dnssec-signing: on
    dnssec-policy: curve
"""
RECORDS = """
$ORIGIN bank.example.
@ 3600 SOA ns hostmaster 1 7200 3600 1209600 3600
@ NS ns
ns A 127.0.0.1
@ SSHFP 3 1 123456789abcdef67890123456789abcdef67890
_443._tcp TLSA 3 1 2 {digest}
"""


@contextmanager
def by_knot(folder: Path, algorithm: str) -> Iterator[int]:
    """Serve a zone that Knot DNS signs by itself."""
    if (program := shutil.which("knotd")) is None:
        pytest.skip("Knot DNS is not installed")
    port = free_port()
    (folder / "knot.conf").write_text(KNOT.format(folder=folder, host=HOST, port=port, algorithm=algorithm))
    (folder / "zone").write_text(RECORDS.format(digest="ab" * 64))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, "-c", str(folder / "knot.conf")], stdout=log, stderr=log)
        try:
            while "next signing at" not in (folder / "log").read_text():
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()
            server.wait(20)


@pytest.mark.system
@pytest.mark.parametrize(
    ("algorithm", "name", "number", "digest"),
    [
        ("rsasha256", "RSA-2048", "8", "SHA-256"),
        ("ecdsap384sha384", "ECDSA-P-384", "14", "SHA-384"),
        ("ed25519", "Ed25519", "15", ""),
    ],
)
def test_knot_is_mapped(tmp_path: Path, algorithm: str, name: str, number: str, digest: str) -> None:
    """Another implementation's keys, signatures, denials and published keys."""
    with by_knot(tmp_path, algorithm) as port:
        seen, ended, _ = look(dns_target(port, mode=FULL))
    assert ended.outcome is Outcome.SEEN
    assert "signatures: all valid from 20" in ended.reason
    assert "NSEC3: SHA-1, 5 further iterations, 8 octets of salt" in ended.reason
    assert {fact.algorithm for fact in facts(seen, PublicKey)} == {name}
    assert (NEGOTIATED, name, number) in uses(seen)
    assert (NEGOTIATED, digest, number) in uses(seen) or not digest
    assert (OFFERED, "SHA-512", "TLSA 3 1 2") in uses(seen)
    assert (OFFERED, "SHA-1", "SSHFP 3 1") in uses(seen)
