"""What sslyze, testssl.sh, ssh-audit, nmap and zgrab2 found, from their reports."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats import report_samples as samples
from tests.formats.test_cyclonedx_read import document, mutated

from keystrand.edge.probes.readers import readers_of
from keystrand.formats import (
    cyclonedx_read,
    report_nmap,
    report_sarif,
    report_ssh_audit,
    report_sslyze,
    report_testssl,
    report_zgrab,
)
from keystrand.formats.key_files import objects_in
from keystrand.formats.report_parts import UNFORESEEN, at
from keystrand.inventory.identity import identity
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Outcome, PublicKey, Strength
from keystrand.model.reading import Reading

WEB = "!tls://web.example.org:443"
KEX, SIG, ENC, MAC = Function.KEY_ESTABLISHMENT, Function.SIGNATURE, Function.ENCRYPTION, Function.MAC


def encoded(value: Any) -> bytes:
    """Return a report as its tool writes it."""
    return (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    )


def uses(reading: Reading, where: str, function: Function) -> set[tuple[str, str]]:
    """Return name and strength of the uses for one function at one place."""
    return {
        (found.fact.algorithm, found.strength.value)
        for found in reading.found
        if found.where == where and isinstance(found.fact, AlgorithmUse) and found.fact.function is function
    }


def endpoints(reading: Reading) -> list[Endpoint]:
    """Return the endpoints."""
    return [found.fact for found in reading.found if isinstance(found.fact, Endpoint)]


def test_sslyze() -> None:
    """Versions, groups, ciphers and the certificate; that it is blind to post-quantum exchanges is told."""
    reading = report_sslyze.read("x", encoded(samples.sslyze()))
    assert endpoints(reading) == [
        Endpoint(protocol="tls", host="web.example.org", port=443, versions=("TLSv1.2", "TLSv1.3"))
    ]
    assert uses(reading, WEB, KEX) == {
        ("X25519", "offered"), ("ECDH-P-256", "offered"), ("FFDH-2048", "offered"), ("RSA-KEX-2048", "offered"),
    }  # fmt: skip
    assert uses(reading, WEB, SIG) == {("RSA-2048", "offered")}
    assert uses(reading, WEB, ENC) == {("AES-256-GCM", "negotiated"), ("AES-128-CBC", "offered")}
    assert uses(reading, WEB, MAC) == {("HMAC-SHA-1", "offered")}
    assert [f.fact for f in reading.found if isinstance(f.fact, Certificate)] == [samples.certificate()]
    assert reading.reason == "sslyze 6.3.1 asks for no post-quantum exchange"


def test_a_server_that_sslyze_did_not_see_is_not_one_without_tls() -> None:
    """It is named as not seen: a server of post-quantum exchanges alone looks like that to sslyze."""
    report = samples.sslyze(scan_status="ERROR_NO_CONNECTIVITY", scan_result=None, connectivity_result=None)
    reading = report_sslyze.read("x", encoded(report))
    assert (reading.found, reading.outcome) == ((), Outcome.NONE)
    assert reading.reason.startswith("web.example.org:443: sslyze saw no TLS")


@pytest.mark.parametrize("report", [samples.testssl_flat, samples.testssl_pretty])
def test_testssl(report: Callable[[], Any]) -> None:
    """Both forms of its report say the same, post-quantum groups and signatures of 3.3 included."""
    reading = report_testssl.read("x", encoded(report()))
    (endpoint,) = endpoints(reading)
    assert endpoint == Endpoint(
        protocol="tls", host="web.example.org", port=443, versions=("TLSv1.2", "TLSv1.3"), supports_post_quantum=True
    )
    offered = {(name, "offered") for name in ("X25519MLKEM768", "ML-KEM-1024", "ECDH-P-256", "FFDH-2048")}
    assert uses(reading, WEB, KEX) == offered | {("X25519", "negotiated")}
    assert {name for name, _ in uses(reading, WEB, SIG)} >= {"RSA-2048", "ML-DSA-65"}
    assert uses(reading, WEB, ENC) == {("AES-256-GCM", "negotiated"), ("ChaCha20-Poly1305", "offered")}
    assert [f.fact for f in reading.found if isinstance(f.fact, Certificate)] == [samples.certificate()]
    assert reading.reason == ""


def test_words_of_testssl_are_no_groups() -> None:
    """What is not offered, and what has no name, adds nothing."""
    rows = [
        {"id": name, "ip": "h.example/192.0.2.7", "port": "443", "severity": "INFO", "finding": said}
        for name, said in (("TLS1_2", "offered"), ("FS_KEMs", "No KEMs offered"),
                           ("DH_groups", "Unknown DH group (2048 bits)"), ("FS_ECDHE_curves", "sect571r1"))
    ]  # fmt: skip
    reading = report_testssl.read("x", encoded(rows))
    assert uses(reading, "!tls://h.example:443", KEX) == {("sect571r1", "offered")}


def test_ssh_audit() -> None:
    """Names of the wire become canonical; what only signals an extension is no algorithm; IPv6 has its brackets."""
    reading = report_ssh_audit.read("x", encoded(samples.ssh_audit()))
    where = "!ssh://[2001:db8::7]:2222"
    (endpoint,) = endpoints(reading)
    assert (endpoint.host, endpoint.port, endpoint.software) == ("2001:db8::7", 2222, "OpenSSH_9.9")
    assert endpoint.supports_post_quantum
    assert uses(reading, where, KEX) == {("mlkem768x25519-sha256", "offered"), ("X25519", "offered")}
    assert uses(reading, where, SIG) == {("Ed25519", "offered"), ("RSA-3072", "offered")}
    assert uses(reading, where, ENC) == {("ChaCha20-Poly1305", "offered"), ("AES-256-CTR", "offered")}
    assert uses(reading, where, MAC) == {("HMAC-SHA-256", "offered"), ("UMAC-64", "offered")}
    several = report_ssh_audit.read("x", encoded([samples.ssh_audit(), {"target": "h.example:22", "banner": None}]))
    assert (len(endpoints(several)), several.reason) == (1, "h.example:22: ssh-audit saw no SSH there")


def test_a_port_that_there_is_not_hides_no_other_in_a_report_of_nmap() -> None:
    """Its number is told, and what stands on the other ports."""
    reading = report_nmap.read("x", encoded(samples.nmap().replace('portid="22"', 'portid="99999"')))
    assert [endpoint.port for endpoint in endpoints(reading)] == [443]
    assert "is not a port" in reading.reason


def test_nmap() -> None:
    """Scripts on TLS and SSH, with the certificate and the host key that they print."""
    reading = report_nmap.read("x", encoded(samples.nmap()))
    assert [(e.protocol, e.port, e.versions, e.software) for e in endpoints(reading)] == [
        ("ssh", 22, (), "OpenSSH 9.9"),
        ("tls", 443, ("TLSv1.2", "TLSv1.3"), "nginx"),
    ]
    assert uses(reading, WEB, KEX) == {
        ("ECDH-P-256", "offered"), ("FFDH-2048", "offered"), ("RSA-KEX-2048", "offered"), ("X25519", "offered"),
    }  # fmt: skip
    assert uses(reading, WEB, ENC) == {
        ("AES-128-GCM", "offered"), ("3DES-168-CBC", "offered"), ("AES-256-GCM", "offered"),
    }  # fmt: skip
    assert [f.fact for f in reading.found if isinstance(f.fact, Certificate)] == [samples.certificate()]
    (key,) = [f.fact for f in reading.found if isinstance(f.fact, PublicKey)]
    assert key.algorithm == "Ed25519"
    assert "post-quantum" in reading.reason


def test_zgrab() -> None:
    """What was negotiated is negotiated; the evidence of a page's handshake is the same; a failed grab is a reason."""
    reading = report_zgrab.read("x", samples.zgrab())
    assert [(e.protocol, e.host, e.port) for e in endpoints(reading)] == [
        ("tls", "web.example.org", 8443), ("tls", "192.0.2.8", 443), ("ssh", "192.0.2.9", 22),
        ("tls", "192.0.2.11", 25),
    ]  # fmt: skip
    assert uses(reading, "!tls://web.example.org:8443", KEX) == {("ECDH-P-256", "negotiated")}
    assert uses(reading, "!tls://192.0.2.8:443", SIG) == {("RSA-2048", "negotiated")}
    assert uses(reading, "!ssh://192.0.2.9:22", KEX) == {("X25519", "offered")}
    assert uses(reading, "!tls://192.0.2.11:25", KEX) == {("X25519MLKEM768", "negotiated")}
    mail = endpoints(reading)[-1]
    assert (mail.versions, mail.supports_post_quantum, mail.negotiates_post_quantum) == (("TLSv1.3",), True, True)
    assert reading.reason == "line 5: tls: no handshake (connection-timeout)"


def test_sarif() -> None:
    """A rule that names an algorithm refers to it where it was found; rules on other matters name none."""
    reading = report_sarif.read("x.sarif", encoded(samples.sarif()))
    assert {found.strength for found in reading.found} == {Strength.REFERENCED}
    told = [(found.where, found.fact.algorithm) for found in reading.found if isinstance(found.fact, AlgorithmUse)]
    assert told == [
        ("!src/auth.py:12", "MD5"),
        ("!src/auth.py:30", "DES"),
        ("!src/auth.py:30", "AES-256-GCM"),
        ("!src/auth.py:30", "RC4"),
        ("!src/auth.py:50", "3DES"),
    ]
    assert reading.reason == "results[4]: Expected `str | null`, got `int` - at `$.ruleId`"


REPORTS: list[tuple[Callable[[str, bytes], Reading], Callable[[], Any]]] = [
    (report_sslyze.read, samples.sslyze),
    (report_testssl.read, samples.testssl_flat),
    (report_testssl.read, samples.testssl_pretty),
    (report_ssh_audit.read, samples.ssh_audit),
    (report_nmap.read, samples.nmap),
    (report_zgrab.read, samples.zgrab),
    (report_sarif.read, samples.sarif),
]


@pytest.mark.parametrize(("read", "report"), REPORTS)
def test_each_report_is_recognised_by_its_content_alone(read: object, report: Callable[[], Any]) -> None:
    """By one reader and no other, whatever the file is called; and the same report read twice says the same."""
    content = encoded(report())
    wanting = [reader for reader in readers_of(ProbeKind.REPORT).whole if reader.wants("report.txt", content[:4096])]
    assert [reader.read for reader in wanting] == [read]
    assert wanting[0].read("a", content) == wanting[0].read("b", content)


@pytest.mark.parametrize(("read", "report"), REPORTS)
def test_a_report_that_was_cut_off_says_where(read: Callable[[str, bytes], Reading], report: Callable[[], Any]) -> None:
    """Half a file is not half a result: unparsable, with a place, unless lines of their own were whole."""
    content = encoded(report())
    reading = read("x", content[: len(content) // 2])
    if read is report_zgrab.read:
        assert "line" in reading.reason
    else:
        assert (reading.found, reading.outcome) == ((), Outcome.UNPARSABLE)
        assert "truncated" in reading.reason or "line" in reading.reason


@pytest.mark.parametrize("read", dict.fromkeys(read for read, _ in REPORTS))
@pytest.mark.parametrize("content", [b"", b"null", b"[" * 99_999, b'{"a":' * 99_999, b"1" * 99_999, b"\x00\xff" * 50])
def test_what_is_no_report_is_no_surprise(read: Callable[[str, bytes], Reading], content: bytes) -> None:
    """Empty, too deep, huge numbers, octets: a reading each time."""
    reading = read("x", content)
    assert reading.found == ()
    assert UNFORESEEN not in reading.reason
    assert len(reading.reason) < 1000


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Callable[[str, bytes], Reading], bytes]:
    """Return a reader, and a report of its tool with one value changed to any other."""
    read, report = draw(st.sampled_from(REPORTS))
    value = report()
    if isinstance(value, bytes | str):
        content = bytearray(encoded(value))
        for _ in range(draw(st.integers(1, 4))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        return read, bytes(content)
    return read, encoded(mutated(value, draw))


@given(damaged())
@settings(max_examples=400)
def test_no_damage_is_a_surprise(case: tuple[Callable[[str, bytes], Reading], bytes]) -> None:
    """Whatever value stands where: a reading, with a reason that was foreseen."""
    read, content = case
    assert UNFORESEEN not in read("x", content).reason


def test_ports_and_hosts_that_cannot_be() -> None:
    """A port of 0 or 99999 is told, and costs no other server."""
    report = samples.sslyze()
    report["server_scan_results"].append(samples.sslyze()["server_scan_results"][0] | {"server_location":
                                         {"hostname": "h.example", "port": 99999}})  # fmt: skip
    reading = report_sslyze.read("x", encoded(report))
    assert len(endpoints(reading)) == 1
    assert "h.example:99999: 99999 is not a port" in reading.reason


@pytest.mark.parametrize("read", dict.fromkeys(read for read, _ in REPORTS))
def test_a_hundred_megabytes_of_nothing_are_told(read: Callable[[str, bytes], Reading]) -> None:
    """Small values by the million would fill the memory: they are counted before they are read."""
    reading = read("x", b'{"scanResult":[' + b"{}," * 34_000_000)
    assert (reading.found, reading.outcome) == ((), Outcome.UNPARSABLE)
    assert "more than" in reading.reason or "line 1" in reading.reason


def test_one_certificate_in_every_report_is_one_asset() -> None:
    """Seen by sslyze, testssl.sh, nmap, zgrab2 and CBOM-Lens, and in a PEM file: one identity."""
    content = base64.b64encode(samples.der()).decode()
    component = {
        "type": "cryptographic-asset",
        "name": "web.example.org",
        "properties": [{"name": "czertainly:component:certificate:base64_content", "value": content}],
        "cryptoProperties": {"assetType": "certificate"},
    }
    readings = [read("x", encoded(report())) for read, report in REPORTS]
    readings.append(cyclonedx_read.read("x", document(component)))
    facts: list[Fact] = [found.fact for reading in readings for found in reading.found]
    facts += [fact for found in objects_in(samples.pem().encode()) for fact in found.facts]
    seen = [fact for fact in facts if isinstance(fact, Certificate)]
    assert len(seen) == 8
    assert {identity(fact, "anywhere") for fact in seen} == {f"certificate:{samples.certificate().sha256}"}
    assert len(set(seen)) == 1


def test_a_long_place_is_kept_whole() -> None:
    """What is cut is another place: two files deep below one folder would become one."""
    place = f"file:{'folder/' * 580}seal.py!member/{'x' * 3000}:12"
    assert at(place) == f"!{place}"
    assert len(at("y" * 10**6)) < 20_000
