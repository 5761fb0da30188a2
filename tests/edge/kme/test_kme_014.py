"""ETSI GS QKD 014 V1.1.1, clauses 5 and 6, sentence by sentence against two real KME processes.

N1, N2 ... number what the text demands; S1 ... what we decided where it is silent. Where a test speaks of consuming
nothing it looks at the stored bits before and after.
"""

import json
import re
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.messages import ASSIGN_URL, BLOCKS_URL
from keystrand.edge.kme.pair import KME_IDS, MODULE_IDS, Pair
from keystrand.edge.pki import Kind
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PolicyDenied

pytestmark = pytest.mark.system

# IDs are free text in 014: these need escapes in URLs, certificates, file names and TOML
SAES = ("sae/a%2F", 'sae "b": é')
A, B = SAES
Ask = Callable[..., Any]
Fill = Callable[..., None]
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def url(other: str, method: str, query: str = "") -> str:
    """Return the 014 target for the other SAE."""
    return f"/api/v1/keys/{quote(other, safe='')}/{method}{query}"


def stored(ask: Ask) -> int:
    """Return the bits that the first KME holds for keys of which its SAE is master."""
    return int(ask(0, Kind.SAE, A, "GET", url(B, "status")).json["status_extension"]["keystrand_stored_bits"])


def refused(ask: Ask, method: str, target: str, body: object = None) -> tuple[int, str, list[dict[str, str]]]:
    """Return status, message and details of a refusal, after seeing that it consumed nothing."""
    before = stored(ask)
    answer = ask(0, Kind.SAE, A, method, target, b"" if body is None else json.dumps(body).encode())
    assert stored(ask) == before
    assert set(answer.json) <= {"message", "details"}
    return answer.status, answer.json["message"], answer.json.get("details", [])


def test_n1_status_names_both_ends_and_the_limits(ask: Ask, fill: Fill, a: Client014) -> None:
    """Table 9: every mandatory member, with the calling SAE as master and the slave's own KME as target."""
    fill(0, 4096)
    status = a.status(B)
    assert (status.source_kme_id, status.target_kme_id) == KME_IDS
    assert (status.master_sae_id, status.slave_sae_id) == SAES
    assert (status.key_size, status.min_key_size, status.max_key_size) == (256, 64, 4096)
    assert (status.max_key_count, status.max_key_per_request, status.max_sae_id_count) == (256, 128, 0)
    assert status.stored_key_count == stored(ask) // 256 > 0


def test_n2_every_answer_is_json_and_not_to_be_stored(ask: Ask, fill: Fill) -> None:
    """Clause 5.1: application/json; keys must not end in a cache, so no-store whatever the answer."""
    fill(0, 4096)
    answers = [
        ask(0, Kind.SAE, A, "GET", url(B, "status")),
        ask(0, Kind.SAE, A, "GET", url(B, "enc_keys")),
        ask(0, Kind.SAE, A, "GET", url(B, "enc_keys", "?number=0")),
        ask(0, Kind.SAE, A, "GET", url("nobody", "status")),
        ask(0, Kind.SAE, A, "PUT", url(B, "status")),
    ]
    assert [answer.status for answer in answers] == [200, 200, 400, 401, 405]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["content-length"]) == len(answer.body)


@pytest.mark.parametrize(
    ("method", "query", "body", "number", "bits"),
    [
        ("GET", "", b"", 1, 256),
        ("GET", "?number=3&size=1024", b"", 3, 1024),
        ("POST", "", b"", 1, 256),
        ("POST", "", b"{}", 1, 256),
        ("POST", "", b'{"number":2,"size":264}', 2, 264),
        ("POST", "", b'{"extension_optional":[{"other_wish":true}]}', 1, 256),
    ],
)
def test_n3_get_key_in_all_its_forms_and_with_key_ids(
    ask: Ask, fill: Fill, method: str, query: str, body: bytes, number: int, bits: int
) -> None:
    """Clauses 5.2 and 5.3: defaults, GET and POST forms, any multiple of 8, optional extensions ignored (N4).

    The slave gets the same keys under the same IDs, which are UUIDs, all different.
    """
    fill(0, 4096)
    made = ask(0, Kind.SAE, A, method, url(B, "enc_keys", query), body)
    keys = {entry["key_ID"]: entry["key"] for entry in made.json["keys"]}
    assert made.status == 200
    assert len(keys) == number
    assert len(set(keys.values())) == number
    assert all(re.fullmatch(UUID, key_id) for key_id in keys)
    if number == 1:
        same = ask(1, Kind.SAE, B, "GET", url(A, "dec_keys", f"?key_ID={next(iter(keys)).upper()}"))
    else:
        wanted = json.dumps({"key_IDs": [{"key_ID": key_id} for key_id in reversed(keys)]}).encode()
        same = ask(1, Kind.SAE, B, "POST", url(A, "dec_keys"), wanted)
    assert same.status == 200
    assert [e["key_ID"] for e in same.json["keys"]] == list(reversed(keys))
    assert {e["key_ID"]: e["key"] for e in same.json["keys"]} == keys
    assert all(len(e["key"]) == -(-bits // 8 // 3) * 4 for e in same.json["keys"])


def test_n5_keys_leave_both_pools_once(fill: Fill, a: Client014, b: Client014) -> None:
    """Post-conditions of 5.2 and 5.3: no key is given twice at either end, in either direction."""
    fill(0, 4096)
    fill(1, 4096)
    seen: set[bytes] = set()
    for master, slave, from_one, to_other in ((A, B, a, b), (B, A, b, a)):
        keys = [key for _ in range(4) for key in from_one.enc_keys(slave, number=2)]
        ids = [key.key_id for key in keys]
        assert [k.key for k in to_other.dec_keys(master, ids)] == [k.key for k in keys]
        with pytest.raises(InvalidInput, match="not found on KME"):
            to_other.dec_keys(master, ids[:1])
        seen |= {key.key.reveal() for key in keys}
    assert len(seen) == 16


def test_n6_a_missing_key_refuses_the_whole_request(ask: Ask, fill: Fill, a: Client014, b: Client014) -> None:
    """Clause 6.4: one unknown ID gives 400 with the fixed message, and the others stay for later."""
    fill(0, 4096)
    (key,) = a.enc_keys(B)
    absent = str(uuid.uuid4())
    body = json.dumps({"key_IDs": [{"key_ID": key.key_id}, {"key_ID": absent}]}).encode()
    answer = ask(1, Kind.SAE, B, "POST", url(A, "dec_keys"), body)
    assert (answer.status, answer.json["message"]) == (400, "one or more keys specified are not found on KME")
    assert answer.json["details"] == [{"key_ID": absent}]
    assert b.dec_keys(A, [key.key_id])[0].key == key.key


def test_n7_one_key_id_of_another_sae_refuses_the_whole_request(
    ask: Ask, fill: Fill, a: Client014, b: Client014
) -> None:
    """Clause 5.4: 401 where one ID was never supplied for the requestor, and the others stay for later.

    The master itself was not supplied as its own slave either.
    """
    fill(0, 4096)
    fill(1, 4096)
    (mine,), (foreign,) = a.enc_keys(B), b.enc_keys(A)
    for ids in ([mine.key_id, foreign.key_id], [foreign.key_id]):
        body = json.dumps({"key_IDs": [{"key_ID": key_id} for key_id in ids]}).encode()
        answer = ask(1, Kind.SAE, B, "POST", url(A, "dec_keys"), body)
        assert (answer.status, "message" in answer.json) == (401, True)
    assert b.dec_keys(A, [mine.key_id])[0].key == mine.key
    assert a.dec_keys(B, [foreign.key_id])[0].key == foreign.key


def test_n8_the_four_fixed_texts_of_a_bad_request(ask: Ask, fill: Fill) -> None:
    """Clause 6: sizes that are no octets, mandatory extensions unknown or not to be met, keys not found."""
    fill(0, 4096)
    enc, one = url(B, "enc_keys"), {"keystrand_label": "information-theoretic"}
    assert refused(ask, "POST", enc, {"size": 257})[:2] == (400, "size shall be a multiple of 8")
    unknown = refused(ask, "POST", enc, {"extension_mandatory": [{"abc_route_type": "direct"}]})
    assert unknown[:2] == (400, "not all extension_mandatory parameters are supported")
    assert unknown[2] == [{"extension_mandatory_unsupported": "abc_route_type is not supported"}]
    unmet = refused(ask, "POST", enc, {"extension_mandatory": [one]})
    assert unmet[:2] == (400, "not all extension_mandatory request options could be met")
    assert ask(0, Kind.SAE, A, "POST", enc, b'{"extension_mandatory":[{"keystrand_label":"simulated"}]}').status == 200
    missing = refused(ask, "GET", url(B, "dec_keys", f"?key_ID={uuid.uuid4()}"))
    assert missing[:2] == (400, "one or more keys specified are not found on KME")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"number": 0}, "number"),
        ({"number": -1}, "number"),
        ({"number": 129}, "number"),
        ({"number": True}, "number"),
        ({"size": 56}, "size"),
        ({"size": 4104}, "size"),
        ({"size": None}, "size"),
        ({"additional_slave_SAE_IDs": ["x"]}, "additional_slave_SAE_IDs"),
        ({"extension_mandatory": [{"keystrand_label": 1}]}, "keystrand_label"),
        ({"wish": 1}, "body"),
        ([], "body"),
    ],
)
def test_s1_what_is_out_of_range_is_told_with_its_place(ask: Ask, body: object, where: str) -> None:
    """Silent in 014: numbers and sizes outside the status, wrong types and unknown members are 400 with details."""
    status, _, details = refused(ask, "POST", url(B, "enc_keys"), body)
    assert (status, [list(detail) for detail in details]) == (400, [[where]])


def test_s2_too_few_bits_is_503_and_consumes_nothing(ask: Ask, fill: Fill, a: Client014) -> None:
    """Silent in 014: 503, how many keys there are, and when to come again; a smaller request still works."""
    while True:
        try:
            a.enc_keys(B, number=1, size=64)
        except NoKeyAvailable:
            break
    fill(0, 512)
    before = stored(ask)
    answer = ask(0, Kind.SAE, A, "GET", url(B, "enc_keys", "?number=3"))
    assert (answer.status, answer.json["details"]) == (503, [{"stored_key_count": 2}])
    assert answer.headers["retry-after"] == "1"
    assert stored(ask) == before
    assert len(a.enc_keys(B, number=2)) == 2
    with pytest.raises(NoKeyAvailable) as caught:
        a.enc_keys(B)
    assert caught.value.exit_code == 13
    assert [str(p) for p in caught.value.problems] == ["stored_key_count: 0"]


@pytest.mark.parametrize("method", ["status", "enc_keys", "dec_keys"])
def test_s3_an_unknown_or_unassociated_sae_is_401_in_the_same_words(ask: Ask, method: str) -> None:
    """Silent in 014: existence is not revealed; the 401 carries a JSON Error, whatever the body asked."""
    answers = {ask(0, Kind.SAE, A, "GET", url(other, method)).body for other in ("nobody", A, KME_IDS[1])}
    assert len(answers) == 1
    assert json.loads(answers.pop()) == {
        "message": "the calling SAE has no association with the SAE named in the URL"
    }  # fmt: skip
    assert ask(0, Kind.SAE, A, "GET", url("nobody", method)).status == 401


def test_s4_head_and_other_verbs_never_reach_the_keys(ask: Ask, fill: Fill) -> None:
    """HEAD, PUT, DELETE and OPTIONS are 405 and consume nothing; HEAD's answer has no body."""
    fill(0, 4096)
    before = stored(ask)
    for verb in ("HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = ask(0, Kind.SAE, A, verb, url(B, "enc_keys"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert ask(0, Kind.SAE, A, "POST", url(B, "status")).status == 405
    assert stored(ask) == before


def test_s5_bodies_have_a_size_a_type_and_a_place(ask: Ask) -> None:
    """More than 64 KiB is 413, another type 415, a body with GET or a query with POST 400, other URLs 404."""
    enc, who = url(B, "enc_keys"), (0, Kind.SAE, A)
    assert ask(*who, "POST", enc, b" " * 65_537).status == 413
    assert ask(*who, "POST", enc, b"{}" + b" " * 65_534).status in (200, 503)
    assert ask(*who, "POST", enc, b"{}", Content_Type="text/plain").status == 415
    assert ask(*who, "POST", enc, b"{}", Content_Type="application/json; charset=utf-8").status in (200, 503)
    assert ask(*who, "GET", enc, b"{}").status == 400
    assert ask(*who, "POST", enc + "?number=1", b"{}").status == 400
    assert ask(*who, "GET", url(B, "status", "?x=1")).status == 400
    assert ask(*who, "GET", "/api/v1/keys").status == 404
    assert ask(*who, "GET", "/api/v1/keys/%/status").status == 400


def test_s6_requests_in_one_breath_are_answered_in_order(pair: Pair, fill: Fill) -> None:
    """Pipelined requests get their answers in the order they came, on one connection."""
    fill(0, 4096)
    stream, _ = tls.connect(
        tls.client_context(pair.credentials(Kind.SAE, A)), "127.0.0.1", pair.port(0), timeout_s=10
    )  # fmt: skip
    heads = [f"GET {url(B, 'enc_keys', f'?size={64 + 8 * n}')} HTTP/1.1\r\nHost: kme\r\n\r\n" for n in range(5)]
    stream.sendall("".join([*heads, "BREAK\r\n\r\n"]).encode())
    everything = bytearray()
    buffer = bytearray(4096)
    while got := stream.recv_into(memoryview(buffer)):
        everything += buffer[:got]
    stream.close()
    sizes = [len(key) for key in re.findall(rb'"key":"([^"]+)"', everything)]
    assert sizes == [-(-(8 + n) // 3) * 4 for n in range(5)]
    assert everything.count(b"HTTP/1.1 200") == 5
    assert everything.count(b"HTTP/1.1 400") == 1


@pytest.mark.parametrize(
    "head",
    [
        "POST {enc} HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        "POST {enc} HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
        "POST {enc} HTTP/1.1\r\nHost: k\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET {enc} HTTP/1.1\r\nHost: k\r\nX: " + "a" * 20_000 + "\r\n\r\n",
        "GET {enc}" + "a" * 70_000,
        "GET {enc} HTTP/1.1\r\nHost : k\r\n\r\n",
        "GET {enc} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "\x16\x03\x01\x02\x00",
    ],
)
def test_s7_what_http_leaves_ambiguous_ends_the_connection(pair: Pair, ask: Ask, fill: Fill, head: str) -> None:
    """Chunked and doubled lengths, long heads, upgrades and no HTTP at all: refused, closed, nothing consumed."""
    fill(0, 256)
    before = stored(ask)
    stream, _ = tls.connect(
        tls.client_context(pair.credentials(Kind.SAE, A)), "127.0.0.1", pair.port(0), timeout_s=10
    )  # fmt: skip
    stream.sendall(head.format(enc=url(B, "enc_keys")).encode("latin-1"))
    reader = stream.makefile("rb")
    assert reader.readline().split()[1] in (b"400", b"431")
    reader.read()
    stream.close()
    assert stored(ask) == before


def test_n9_only_the_right_kind_of_certificate_is_served(pair: Pair, ask: Ask, a: Client014) -> None:
    """SAEs take keys, modules bring blocks, the peer KME assigns; each is 401 in the others' place, also elsewhere.

    A module of the other end, this KME itself, and an SAE at the KME that does not serve it are strangers too.
    """
    for kind, name in ((Kind.MODULE, MODULE_IDS[0]), (Kind.KME, KME_IDS[1])):
        for method in ("status", "enc_keys", "dec_keys"):
            assert ask(0, kind, name, "GET", url(B, method)).status == 401
    block = json.dumps({"link": pair.link, "block_id": str(uuid.uuid4()), "master_kme": KME_IDS[0],
                        "key_bits": "AAAA", "qber": 0, "label": "x"}).encode()  # fmt: skip
    for kind, name in ((Kind.SAE, A), (Kind.KME, KME_IDS[1]), (Kind.MODULE, MODULE_IDS[1])):
        assert ask(0, kind, name, "POST", BLOCKS_URL, block).status == 401
    assign = json.dumps({"link": pair.link, "master_sae": B, "slave_sae": A, "size": 64, "key_ids": [str(uuid.uuid4())],
                         "slices": [{"block_id": str(uuid.uuid4()), "offset": 0, "length": 8}]}).encode()  # fmt: skip
    for kind, name in ((Kind.SAE, A), (Kind.MODULE, MODULE_IDS[0]), (Kind.KME, KME_IDS[0])):
        assert ask(0, kind, name, "POST", ASSIGN_URL, assign).status == 401
    assert ask(0, Kind.KME, KME_IDS[1], "POST", ASSIGN_URL, assign).json["unusable"]
    assert ask(1, Kind.SAE, A, "GET", url(B, "status")).status == 401
    with pytest.raises(PolicyDenied):
        a.status("nobody")


def test_n10_without_a_certificate_there_is_no_connection(pair: Pair) -> None:
    """Clause 5.1: mutual authentication at connection establishment."""
    files = pair.credentials(Kind.SAE, A)
    bare = SSL.Context(SSL.TLS_CLIENT_METHOD)
    bare.load_verify_locations(str(files.ca))
    stream, _ = tls.connect(bare, "127.0.0.1", pair.port(0), timeout_s=10)
    with pytest.raises(SSL.Error, match="certificate required"):
        stream.recv_exactly(1)
    stream.close()


def test_n11_the_record_is_written_and_stays(pair: Pair, fill: Fill, a: Client014, b: Client014) -> None:
    """Each hand-out and refusal is in the audit with identity and key exchange group, and cannot be changed."""
    fill(0, 4096)
    (key,) = a.enc_keys(B)
    b.dec_keys(A, [key.key_id])
    with pytest.raises(PolicyDenied):
        a.status("nobody")
    for at, expected in ((0, {"block", "enc_keys", "denied"}), (1, {"block", "assign", "dec_keys"})):
        with closing(sqlite3.connect(pair.folder / KME_IDS[at] / "store.db")) as db:
            rows = db.execute("SELECT actor, tls_group, action, detail FROM audit").fetchall()
            assert expected <= {action for _, _, action, _ in rows}
            assert {group for _, group, _, _ in rows} == {"X25519MLKEM768"}
            assert any(key.key_id in detail for _, _, _, detail in rows)
            for change in ("DELETE FROM audit", "UPDATE audit SET actor = ''"):
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    db.execute(change)


def test_s8_key_bytes_are_nowhere_on_the_disk(pair: Pair, fill: Fill, a: Client014, b: Client014) -> None:
    """No stored or delivered key stands in any file of either KME, raw, in hex or in base64."""
    fill(0, 4096)
    keys = a.enc_keys(B, number=4)
    b.dec_keys(A, [keys[0].key_id])
    everything = b"".join(file.read_bytes() for file in pair.folder.rglob("*") if file.is_file())
    assert keys[0].key_id.encode() in everything
    for key in keys:
        raw = key.key.reveal()
        assert raw not in everything
        assert raw.hex().encode() not in everything.lower()
        assert json.dumps(key.key_id).encode() not in raw
    modes = {file.stat().st_mode & 0o077 for file in pair.folder.rglob("*.key")}
    modes |= {(pair.folder / f"{kme}.master").stat().st_mode & 0o077 for kme in KME_IDS}
    assert modes == {0}
