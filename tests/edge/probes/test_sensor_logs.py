"""Logs of Zeek and Suricata: names, volumes joined to handshakes, bad lines, packed files, bounded memory."""

import base64
import gzip
import io
import json
import ssl
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.capture_wire import certificate, ethernet, modern_talk, pcap, stream

from keystrand.edge.probes.sensor_logs import MAX_LINE, read, wants
from keystrand.edge.probes.tree import TreeProbe
from keystrand.formats.log_tally import EveLog, HandshakeLog, JoinedLog
from keystrand.formats.zeek_log import ZeekLines, path_in, renamed
from keystrand.inventory.volumes import together
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Endpoint,
    Flow,
    Observation,
    Outcome,
    Strength,
)
from keystrand.model.reading import Found, Reading

Fact = TypeVar("Fact")
CLIENT, SERVER = "192.0.2.10", "198.51.100.20"
SSL = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "version", "cipher", "curve")
CONN = (*SSL[:6], "proto", "service", "duration", "orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")
SSH = (*SSL[:6], "version", "client", "server", "cipher_alg", "mac_alg", "kex_alg", "host_key_alg")
QUIC = (*SSL[:6], "version", "server_name")


def zeek(path: str, fields: tuple[str, ...], *rows: tuple[object, ...]) -> bytes:
    """Return a log of Zeek's in its tab-separated form."""
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{path}"]
    lines += ["#fields\t" + "\t".join(fields), "#types\t" + "\t".join("string" for _ in fields)]
    lines += ["\t".join(map(str, row)) for row in rows]
    return ("\n".join([*lines, "#close\t2026-09-21-00-00-00"]) + "\n").encode()


def as_json(fields: tuple[str, ...], *rows: tuple[object, ...]) -> bytes:
    """Return the same as JSON lines; what is unset is left out."""
    rows_by_name = ({n: v for n, v in zip(fields, row, strict=True) if v != "-"} for row in rows)
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows_by_name)


def told(path: str, octets: bytes) -> tuple[list[Found], Reading]:
    """Return what a log says, and its reading."""
    return _parted(read(path, io.BytesIO(octets)))


def told_of(path: Path) -> tuple[list[Found], Reading]:
    """Return what a log on disk says, and its reading."""
    with path.open("rb") as stream:
        return _parted(read(path.name, stream))


def _parted(found: Iterable[Found | Reading]) -> tuple[list[Found], Reading]:
    *facts, reading = found
    assert isinstance(reading, Reading)
    return [one for one in facts if isinstance(one, Found)], reading


def facts(found: Iterable[Found], kind: type[Fact]) -> list[Fact]:
    """Return the facts of one kind."""
    return [one.fact for one in found if isinstance(one.fact, kind)]


def uses(found: Iterable[Found], function: Function, strength: Strength = Strength.NEGOTIATED) -> set[str]:
    """Return the names of the algorithms used for `function`."""
    return {
        one.fact.algorithm
        for one in found
        if isinstance(one.fact, AlgorithmUse) and one.fact.function is function and one.strength is strength
    }


def ssl_row(
    curve: str, *, uid: str = "C1", version: str = "TLSv13", cipher: str = "TLS_AES_128_GCM_SHA256"
) -> tuple[object, ...]:
    """Return a row of ssl.log."""
    return "1790000000.000001", uid, CLIENT, 50000, SERVER, 443, version, cipher, curve


def conn_row(uid: str = "C1", *, ts: float = 1790000000.0, service: str = "ssl", out: int = 100) -> tuple[object, ...]:
    """Return a row of conn.log."""
    return f"{ts:.6f}", uid, CLIENT, 50000, SERVER, 443, "tcp", service, "2.5", out, 2000, 5, 7


@pytest.mark.parametrize(
    ("curve", "name"),
    [
        ("x25519", "X25519"),
        ("secp256r1", "ECDH-P-256"),
        ("X25519MLKEM768", "X25519MLKEM768"),
        ("unknown-4588", "X25519MLKEM768"),
        ("SecP384r1MLKEM1024", "SecP384r1MLKEM1024"),
        ("MLKEM768", "ML-KEM-768"),
        ("ffdhe3072", "FFDH-3072"),
        ("brainpoolP384r1tls13", "ECDH-brainpoolP384r1"),
        ("X25519Kyber768Draft00", "X25519Kyber768Draft00"),
        ("unknown-65000", "TLS-group-0xfde8"),
        ("sect571r1", "TLS-group-sect571r1"),
    ],
)
@pytest.mark.parametrize("form", ["tsv", "json"])
def test_zeek_s_names_of_curves_are_ours(curve: str, name: str, form: str) -> None:
    """Every curve has its canonical name, whatever form the log has; an unknown one is never taken for safe."""
    row = ssl_row(curve)
    log = zeek("ssl", SSL, row) if form == "tsv" else as_json(SSL, row)
    assert wants("logs/ssl.log", log[:4096])
    found, reading = told("logs/ssl.log", log)
    assert uses(found, Function.KEY_ESTABLISHMENT) == {name}
    assert uses(found, Function.ENCRYPTION) == {"AES-128-GCM"}
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.host, endpoint.port, endpoint.versions) == (SERVER, 443, ("TLSv1.3",))
    assert reading == Reading(outcome=Outcome.SEEN, reason="no conn log beside it: volumes stay unknown")


@pytest.mark.parametrize(
    ("cipher", "exchange", "encryption"),
    [
        ("TLS_RSA_WITH_AES_256_CBC_SHA", "RSA-KEX", "AES-256-CBC"),
        ("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "FFDH", "3DES-168-CBC"),
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", "RSA-KEX", "RC4"),
        ("unknown-47", "RSA-KEX", "AES-128-CBC"),
    ],
)
def test_without_a_curve_the_suite_tells(cipher: str, exchange: str, encryption: str) -> None:
    """Key transport and finite fields have no curve: the suite's name says what it is."""
    found, _ = told("ssl.log", zeek("ssl", SSL, ssl_row("-", version="TLSv10", cipher=cipher)))
    assert (uses(found, Function.KEY_ESTABLISHMENT), uses(found, Function.ENCRYPTION)) == ({exchange}, {encryption})
    assert facts(found, Endpoint)[0].versions == ("TLSv1.0",)


def test_volumes_come_from_the_conn_log_beside_by_uid(tmp_path: Path) -> None:
    """The same connection in three logs is one flow; QUIC takes its keys from the TLS log; days are summed apart."""
    later = 1790000000.0 + 86400
    (tmp_path / "ssl.log").write_bytes(
        zeek(
            "ssl",
            SSL,
            ssl_row("X25519MLKEM768"),
            ssl_row("x25519", uid="Q1"),
            ("1790086400.1", "C3", *ssl_row("x25519")[2:]),
        )
    )
    quic_row = ("1790000000.0", "Q1", CLIENT, 50000, SERVER, 443, "1", "a.example")
    (tmp_path / "quic.log").write_bytes(zeek("quic", QUIC, quic_row))
    rows = [conn_row(), conn_row("C2"), conn_row("Q1", service="quic,ssl"), conn_row("C9", service="dns")]
    (tmp_path / "conn.log").write_bytes(zeek("conn", CONN, *rows, conn_row("C3", ts=later)))
    found, reading = told_of(tmp_path / "conn.log")
    flows = {(one.protocol, one.key_establishment, one.first[:10]): one for one in facts(found, Flow)}
    assert set(flows) == {
        ("tls", "X25519MLKEM768", "2026-09-21"),
        ("tls", "", "2026-09-21"),
        ("quic", "X25519", "2026-09-21"),
        ("tls", "X25519", "2026-09-22"),
    }
    one = flows["tls", "X25519MLKEM768", "2026-09-21"]
    assert (one.client, one.server, one.port, one.transport) == (CLIENT, SERVER, 443, "tcp")
    assert (one.octets_to_server, one.octets_to_client, one.packets) == (100, 2000, 12)
    assert (one.first, one.last) == ("2026-09-21T14:13:20.000000Z", "2026-09-21T14:13:22.500000Z")
    assert reading == Reading(outcome=Outcome.SEEN, reason="1 connection without a handshake in the logs beside")
    found, reading = told_of(tmp_path / "ssl.log")
    assert (facts(found, Flow), reading.reason) == ([], "")
    where = {one.fact.algorithm: one.where for one in found if isinstance(one.fact, AlgorithmUse)
             and one.fact.function is Function.KEY_ESTABLISHMENT}  # fmt: skip
    assert where == {"X25519MLKEM768": f"!tls://{SERVER}:443", "X25519": f"!tls://{SERVER}:443"}
    assert f"!quic://{SERVER}:443" in {one.where for one in found}


def test_a_log_by_another_name_is_not_its_own_conn_log(tmp_path: Path) -> None:
    """Nothing lies beside a log whose name tells none: its ends are told, and that the volumes are not known."""
    (tmp_path / "handshakes.txt").write_bytes(zeek("ssl", SSL, ssl_row("x25519")))
    found, reading = told_of(tmp_path / "handshakes.txt")
    assert reading == Reading(outcome=Outcome.SEEN, reason="no conn log beside it: volumes stay unknown")
    assert len(facts(found, Flow)) == 1


def test_connections_of_one_kind_and_day_are_one_flow() -> None:
    """Volumes add up, and times span them all."""
    rows = [conn_row(f"C{n}", ts=1790000000.0 + n) for n in range(50)]
    log = JoinedLog(
        ZeekLines("conn.log"),
        {"ssl": iter(zeek("ssl", SSL, *(ssl_row("x25519", uid=f"C{n}") for n in range(50))).split(b"\n"))},
    )
    for line in zeek("conn", CONN, *rows).split(b"\n"):
        log.take(line)
    (flow,) = facts([one for one in log.end() if isinstance(one, Found)], Flow)
    assert (flow.octets_to_server, flow.octets_to_client, flow.packets) == (5000, 100_000, 600)
    assert (flow.first[11:19], flow.last[11:19]) == ("14:13:20", "14:14:11")


def test_sums_of_days_and_parts_do_not_overlap_in_time() -> None:
    """A connection over midnight ends with its day, and a part that is told later begins later: all of them add up."""
    midnight = 1790035200.0
    log = JoinedLog(ZeekLines("conn.log"), {})
    for line in zeek("conn", CONN, conn_row(ts=midnight - 1), conn_row(ts=midnight)).split(b"\n"):
        log.take(line)
    flows = facts([one for one in log.end() if isinstance(one, Found)], Flow)
    assert [(flow.first[11:], flow.last[11:]) for flow in flows] == [
        ("23:59:59.000000Z", "23:59:59.999999Z"),
        ("00:00:00.000000Z", "00:00:02.500000Z"),
    ]
    parts = JoinedLog(ZeekLines("conn.log"), {}, totals=1)
    rows = [conn_row(), (*conn_row()[:4], "198.51.100.99", *conn_row()[5:]), conn_row(out=7)]
    for line in zeek("conn", CONN, *rows).split(b"\n"):
        parts.take(line)
    told = facts([one for one in parts.end() if isinstance(one, Found)], Flow)
    same = [flow for flow in told if flow.server == SERVER]
    assert [flow.octets_to_server for flow in same] == [100, 7]
    assert same[0].last < same[1].first <= same[1].last
    assert together(same)["octets_to_server"] == 107


def test_zeek_s_ssh_log() -> None:
    """Key exchange, host key, cipher, code and software; what a server calls itself is kept without comments."""
    row = ("1790000000.0", "C1", CLIENT, 50000, SERVER, 22, 2, "SSH-2.0-a", "SSH-2.0-OpenSSH_9.9 Debian-1",
           "aes256-gcm@openssh.com", "hmac-sha2-256", "mlkem768x25519-sha256", "ssh-ed25519")  # fmt: skip
    found, _ = told("ssh.log", zeek("ssh", SSH, row))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"mlkem768x25519-sha256"}
    assert uses(found, Function.SIGNATURE) == {"Ed25519"}
    assert uses(found, Function.ENCRYPTION) == {"AES-256-GCM"}
    (endpoint,) = facts(found, Endpoint)
    assert (endpoint.protocol, endpoint.software, endpoint.supports_post_quantum) == ("ssh", "OpenSSH_9.9", True)


def test_zeek_s_x509_log_gives_certificates_where_it_holds_them(tmp_path: Path) -> None:
    """With the certificate in the log it is read; without, its key is named."""
    made, _ = certificate(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(made.read_text())
    fields = ("ts", "fingerprint", "certificate.key_type", "certificate.key_length", "certificate.curve", "cert")
    whole = ("1.0", "ab" * 32, "rsa", 2048, "-", base64.b64encode(der).decode())
    bare = ("1.0", "cd" * 32, "ecdsa", 256, "prime256v1", "-")
    found, reading = told("x509.log", zeek("x509", fields, whole, bare))
    assert [one.key_algorithm for one in facts(found, Certificate)] == ["RSA-2048"]
    assert uses(found, Function.SIGNATURE) == {"ECDSA-P-256"}
    assert reading == Reading(outcome=Outcome.SEEN)


def eve(kind: str, content: Mapping[str, object], **more: object) -> bytes:
    """Return an event of Suricata."""
    common = {"timestamp": "2026-09-21T14:13:20.251547+0000", "flow_id": 1, "event_type": kind, "src_ip": CLIENT,
              "src_port": 50000, "dest_ip": SERVER, "dest_port": 443, "proto": "TCP"}  # fmt: skip
    return json.dumps(common | more | {kind: content}).encode() + b"\n"


FLOW: dict[str, object] = {
    "pkts_toserver": 5, "pkts_toclient": 7, "bytes_toserver": 1000, "bytes_toclient": 9000,
    "start": "2026-09-21T14:13:20.000000+0000", "end": "2026-09-21T14:14:20.000000+0000",
}  # fmt: skip


def test_suricata_s_tls_takes_the_suite_from_ja3s_and_the_offer_from_ja3(tmp_path: Path) -> None:
    """The group of TLS 1.3 is not in the log and stays unknown; that of key transport follows from the suite."""
    made, _ = certificate(tmp_path)
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(made.read_text())).decode()
    content = {
        "version": "TLS 1.2",
        "chain": [der],
        "ja3": {"string": "771,47-53,10,4588-29-2570,0"},
        "ja3s": {"string": "771,47,65281"},
    }
    log = eve("tls", content) + eve("flow", FLOW, app_proto="tls") + eve("flow", FLOW, app_proto="http", flow_id=2)
    assert wants("eve.json", log[:4096])
    found, reading = told("eve.json", log)
    assert reading == Reading(outcome=Outcome.SEEN)
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"RSA-KEX"}
    assert {"X25519MLKEM768", "X25519"} <= uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    assert len(facts(found, Certificate)) == 1
    (flow,) = facts(found, Flow)
    assert (flow.octets_to_server, flow.octets_to_client, flow.packets, flow.key_establishment) == (
        1000,
        9000,
        12,
        "RSA-KEX",
    )
    assert (flow.first, flow.last) == ("2026-09-21T14:13:20.000000Z", "2026-09-21T14:14:20.000000Z")
    found, _ = told("eve.json", eve("tls", {"version": "TLS 1.3", "ja3s": {"string": "771,4865,51-43"}}))
    assert uses(found, Function.KEY_ESTABLISHMENT) == set()
    assert facts(found, Endpoint)[0].versions == ("TLSv1.3",)


def test_suricata_s_ssh_is_negotiated_from_both_hassh_texts() -> None:
    """The client's first that the server has too."""
    client = {
        "hassh": {"string": "ext-info-c,sntrup761x25519-sha512@openssh.com,curve25519-sha256;aes128-ctr;hmac-sha1;none"}
    }
    server = {
        "proto_version": "2.0",
        "software_version": "OpenSSH_8.9",
        "hassh": {"string": "curve25519-sha256;aes128-ctr;hmac-sha1;none"},
    }
    found, reading = told("eve.json", eve("ssh", {"client": client, "server": server}, dest_port=22))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519"}
    assert "sntrup761x25519-sha512" in uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    assert (uses(found, Function.ENCRYPTION), uses(found, Function.MAC)) == ({"AES-128-CTR"}, {"HMAC-SHA-1"})
    assert reading.reason == "1 handshake without a volume"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Modp2048", "FFDH-2048"),
        ("Ecp384", "ECDH-P-384"),
        ("Curve25519", "X25519"),
        ("Curve448", "X448"),
        ("BrainpoolP256r1", "ECDH-brainpoolP256r1"),
        ("Modp2048s256", "FFDH-2048"),
        ("IkeTransformDHType(36 / 0x24)", "ML-KEM-768"),
        ("IkeTransformDHType(99 / 0x63)", "IKE-key-exchange-99"),
    ],
)
def test_suricata_s_names_of_ike_groups_are_ours(written: str, name: str) -> None:
    """Names and, where Suricata has none, numbers."""
    content = {"version_major": 2, "alg_dh": written, "alg_enc": "ENCR_AES_CBC", "role": "responder"}
    found, _ = told("eve.json", eve("ike", content, dest_port=500, proto="UDP"))
    assert uses(found, Function.KEY_ESTABLISHMENT) == {name}
    assert facts(found, Endpoint)[0].versions == ("IKEv2",)


def test_suricata_s_quic_is_an_endpoint() -> None:
    """Version and offer are there; what was chosen is not."""
    found, _ = told("eve.json", eve("quic", {"version": "1", "ja3": {"string": "771,4865,10,4588-29,"}}, proto="UDP"))
    assert "X25519MLKEM768" in uses(found, Function.KEY_ESTABLISHMENT, Strength.OFFERED)
    assert uses(found, Function.KEY_ESTABLISHMENT) == set()


def test_bad_lines_are_counted_with_the_numbers_of_the_first() -> None:
    """A line with the wrong number of values, of no addresses, or of garbage ends nothing."""
    log = zeek(
        "ssl",
        SSL,
        ssl_row("x25519"),
        ("short",),
        (*ssl_row("x25519")[:2], "not-an-address", *ssl_row("x25519")[3:]),
        ssl_row("secp256r1"),
    )
    found, reading = told("ssl.log", log)
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"X25519", "ECDH-P-256"}
    assert reading.reason.startswith("2 lines could not be read: 9, 10;")
    many = eve("tls", {"version": "TLS 1.2"}) + b"{\n" * 20
    assert told("eve.json", many)[1].reason.startswith("20 lines could not be read: 2, 3, 4, 5, 6 and more;")
    assert (
        told("eve.json", b'{"timestamp":"2026-09-21T14:13:20+0000","event_type":"tls","flow_id":"x"}\n')[1].outcome
        is Outcome.UNPARSABLE
    )


def test_a_line_of_any_length_is_not_held() -> None:
    """A line beyond the bound is one bad line."""
    good = eve("tls", {"version": "TLS 1.2", "ja3s": {"string": "771,47,"}})
    found, reading = told("eve.json", good + b"{" * (3 * MAX_LINE) + b"\n" + good)
    assert reading.reason.startswith("1 line could not be read: 2;")
    assert uses(found, Function.KEY_ESTABLISHMENT) == {"RSA-KEX"}


def test_a_packed_log_is_read_and_a_damaged_one_told() -> None:
    """gzip, in several members; cut short; and a bomb."""
    log = zeek("ssl", SSL, ssl_row("x25519"))
    packed = gzip.compress(log[:150]) + gzip.compress(log[150:])
    assert wants("ssl.log.gz", packed[:4096])
    assert told("ssl.log.gz", packed) == told("ssl.log", log)
    _, reading = told("ssl.log.gz", gzip.compress(log * 50)[:-9])
    assert reading.reason.startswith("the gzip stream ends early")
    bomb = gzip.compress(log + b" " * 130_000_000)
    assert "unpacks to more than" in told("ssl.log.gz", bomb)[1].reason


def test_memory_is_bounded_by_the_tally_not_by_the_log() -> None:
    """Connections without end, each with new ends, take no more memory than the bounds allow, and it is told."""
    rows = HandshakeLog(ZeekLines("ssl.log"), volumes=False, totals=200)
    header, *_ = zeek("ssl", SSL).split(b"#close")
    for line in header.split(b"\n"):
        rows.take(line)
    tracemalloc.start()
    flows = 0
    for n in range(20_000):
        row = (*ssl_row("x25519")[:2], f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", *ssl_row("x25519")[3:])
        rows.take("\t".join(map(str, row)).encode())
        flows += len(facts(rows.ready(), Flow))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    *rest, reading = rows.end()
    assert isinstance(reading, Reading)
    assert "99 times sums of volumes were told in part" in reading.reason
    assert flows + len(facts([one for one in rest if isinstance(one, Found)], Flow)) == 20_000
    assert peak < 16_000_000


def test_handshakes_that_wait_for_a_volume_are_bounded() -> None:
    """The oldest is forgotten, and told."""
    log = EveLog(waiting=10)
    for n in range(25):
        log.take(eve("tls", {"version": "TLS 1.2"}, flow_id=n).strip())
    reading = log.end()[-1]
    assert isinstance(reading, Reading)
    assert reading.reason == "15 handshakes forgotten for room before the volume came; 10 handshakes without a volume"


def test_names_of_logs() -> None:
    """Rotated and packed logs find those beside them."""
    names = ("a/ssl.log", "conn.10:00:00-11:00:00.log.gz", "dns.log", "sslog.txt", "x509_2.log")
    assert [path_in(name) for name in names] == ["ssl", "conn", "", "", "x509"]
    assert renamed("a/ssl.10:00-11:00.log.gz", "conn") == "a/conn.10:00-11:00.log.gz"
    assert not wants("notes.txt", b"ssl.log")
    assert not wants("app.json", b'{"event_type": "login", "timestamp": 7}')
    assert not wants("ssl.log", b"not a log")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["ssl.log", "conn.log", "ssh.log", "quic.log", "x509.log", "eve.json"]), st.binary(max_size=600))
def test_any_octets_never_raise(path: str, octets: bytes) -> None:
    """Whatever a log holds, reading it ends."""
    _, reading = told(path, octets)
    assert reading.outcome in (Outcome.NONE, Outcome.UNPARSABLE, Outcome.SEEN)
    _, reading = told(path, b"#separator \\x09\n#path\tssl\n#fields\tts\tid.orig_h\tversion\n" + octets)
    assert not reading.found


_NAMES = ["string", "version", "alg_dh", "hassh", "client", "server", "ja3", "ja3s", "chain", "start"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)
_COMMON = st.dictionaries(st.sampled_from(["src_ip", "dest_port", "flow_id", "app_proto", "proto"]), _JSON, max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["tls", "ssh", "quic", "ike", "flow"]), _JSON, _COMMON)
def test_events_of_any_content_never_raise(kind: str, content: object, common: dict[str, object]) -> None:
    """An event with the right names and the wrong content is a bad line at worst."""
    event = {
        "timestamp": "2026-09-21T14:13:20+0000",
        "event_type": kind,
        "src_ip": CLIENT,
        "dest_ip": SERVER,
        "dest_port": 1,
        kind: content,
    } | common
    told("eve.json", json.dumps(event).encode())


def test_the_walker_gives_captures_and_logs_to_their_readers(tmp_path: Path) -> None:
    """A folder of a capture, packed, and of logs that belong together: one outcome a file, volumes joined."""
    made, key = certificate(tmp_path)
    sensor = tmp_path / "sensor"
    sensor.mkdir()
    (sensor / "tap.pcap.gz").write_bytes(gzip.compress(pcap(map(ethernet, stream(modern_talk(made, key))))))
    (sensor / "ssl.log").write_bytes(zeek("ssl", SSL, ssl_row("x25519")))
    (sensor / "conn.log").write_bytes(zeek("conn", CONN, conn_row()))
    (sensor / "notes.txt").write_bytes(b"nothing here")
    target = Target(id="tap", probe=ProbeKind.CAPTURE, system="net", path="sensor")
    records = TreeProbe(ProbeKind.CAPTURE).read(target, tmp_path)
    flows = {one.fact.key_establishment: one.fact for one in records
             if isinstance(one, Observation) and isinstance(one.fact, Flow)}  # fmt: skip
    assert set(flows) == {"X25519MLKEM768", "X25519"}
    assert flows["X25519"].octets_to_client == 2000
    places = {one.place for one in records if isinstance(one, Observation)}
    assert f"file:sensor/tap.pcap.gz!tls://{SERVER}:443" in places
    *_, whole = records
    assert isinstance(whole, Attempt)
    assert dict(whole.counts) == {Outcome.SEEN: 3, Outcome.NONE: 1}
