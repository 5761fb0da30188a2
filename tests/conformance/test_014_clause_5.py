"""ETSI GS QKD 014 V1.1.1, clause 5 (and what clause 4 demands of the API), one test for each statement.

The first sentence of each docstring is the statement in our words; it stands, with the name of the test, in the table
of docs/reference/etsi-014.md.
"""

import json
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.kme.channel import NotSent
from keystrand.edge.kme.client import Client014
from keystrand.edge.pki import Kind, issue_pki

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
METHODS = ("status", "enc_keys", "dec_keys")


def speak(stream: tls.BlockingTls, request: bytes = b"GET / HTTP/1.1\r\nHost: k\r\n\r\n") -> bytes:
    """Return the first bytes of a KME's answer after a handshake that must succeed."""
    with closing(stream):
        stream.handshake()
        stream.sendall(request)
        return stream.recv_exactly(12)


def refused_handshake(stream: tls.BlockingTls) -> str:
    """Return the alert with which a KME ended the handshake, or the connection just after it."""
    with pytest.raises(SSL.Error) as caught:
        speak(stream)
    return tls.reason_of(caught.value)


# Clause 4


def test_c4_1_every_request_is_its_callers_own(network: Network) -> None:
    """Each request is authenticated and belongs to the one SAE that the connection's certificate names.

    No header says otherwise.
    """
    for sae, kme in ((network.a, 0), (network.a2, 0), (network.b2, 1)):
        other = network.c
        answer = network.ask(
            kme, Kind.SAE, sae, "GET", network.url(other, "status"), X_SAE_ID="sae-c", X_SSL_Client_S_DN="CN=sae-c",
            Authorization="Basic c2FlLWM6eA==",
        )  # fmt: skip
        assert answer.json["master_SAE_ID"] == sae


def test_c4_2_the_slave_gets_identical_keys_under_identical_ids(network: Network) -> None:
    """The keys that the slave SAE gets at its KME are those of the master SAE, with the same IDs, in each direction."""
    network.fill(0, 1, 4096)
    network.fill(1, 0, 4096)
    for master, slave in ((network.a, network.b), (network.b, network.a)):
        keys = network.keys(master, slave, number=3)
        got = network.fetch(slave, master, keys)
        assert got.status == 200, got
        assert {entry["key_ID"]: entry["key"] for entry in got.json["keys"]} == keys


# Clause 5.1


def test_c5_1_1_only_https_is_spoken(network: Network) -> None:
    """SAEs connect by HTTPS: a request in the clear gets no HTTP answer."""
    with socket.create_connection(("127.0.0.1", network.port(0)), timeout=20) as plain:
        plain.sendall(f"GET {network.url(network.b, 'status')} HTTP/1.1\r\nHost: k\r\n\r\n".encode())
        told = b""
        with suppress(ConnectionResetError):
            while piece := plain.recv(4096):
                told += piece
    # at most a TLS alert: content type 21 (RFC 8446, 5.1)
    assert not told
    assert told[:1] in (b"", b"\x15")


def test_c5_1_2_tls_is_1_2_or_higher(network: Network) -> None:
    """TLS is version 1.2 or higher: here 1.3, and nothing below it is accepted."""
    files = network.credentials(Kind.SAE, network.a)
    context = tls.client_context(files)
    stream = network.bare_connection(0, context)
    assert speak(stream).startswith(b"HTTP/1.1 4")
    assert stream.connection.get_protocol_version_name() == "TLSv1.3"
    for version in (SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION):
        older = tls.client_context(files)
        older.set_min_proto_version(version)
        older.set_max_proto_version(version)
        assert refused_handshake(network.bare_connection(0, older))


def test_c5_1_3_text_is_utf_8(network: Network) -> None:
    """The character code is UTF-8, in bodies and in escaped URLs; another one is a bad request."""
    network.fill(0, 1, 4096)
    assert network.get(network.a, network.b, "status").json["slave_SAE_ID"] == network.b
    wish = '{"extension_optional":[{"é_ü":"é"}]}'
    assert network.post(network.a, network.b, "enc_keys", wish.encode()).status == 200
    for encoding in ("latin-1", "utf-16", "utf-32"):
        answer = network.post(network.a, network.b, "enc_keys", wish.encode(encoding))
        assert (answer.status, answer.message) == (400, "bad request format")


def test_c5_1_4_answers_are_application_json(network: Network) -> None:
    """The content type is application/json, of keys and of refusals."""
    network.fill(0, 1, 4096)
    answers = [
        network.get(network.a, network.b, "status"), network.get(network.a, network.b, "enc_keys"),
        network.get(network.a, network.b, "enc_keys", "number=0"), network.get(network.a, "nobody", "status"),
        network.get(network.a, network.b, "dec_keys", "key_ID=x"),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [200, 200, 400, 401, 400]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json, dict)


def test_c5_1_5_bodies_are_json_of_rfc_8259(network: Network) -> None:
    """Message bodies are JSON as in RFC 8259: what only resembles it is a bad request."""
    for body in (b"{'number':1}", b'{"number":1,}', b'{number:1}', b'{"number":01}', b'{"number":1}//', b"\x00{}",
                 b'{"extension_optional":[{"a_b":NaN}]}', b'\xef\xbb\xbf{}'):  # fmt: skip
        answer = network.post(network.a, network.b, "enc_keys", body)
        assert (answer.status, answer.message) == (400, "bad request format")


def test_c5_1_6_authentication_is_mutual(network: Network) -> None:
    """At the connection's establishment both ends authenticate: without a client certificate there is none."""
    bare = SSL.Context(SSL.TLS_CLIENT_METHOD)
    bare.load_verify_locations(str(network.credentials(Kind.SAE, network.a).ca))
    assert "certificate required" in refused_handshake(network.bare_connection(0, bare))


def test_c5_1_7_the_sae_verifies_the_certificate_of_the_kme(network: Network, tmp_path: Path) -> None:
    """The SAE verifies that the KME's certificate is valid: one of another authority is not accepted."""
    other = issue_pki(tmp_path / "pki", kmes=(), saes=("x",), modules=(), days=1, now=datetime.now(UTC))
    files, url = network.credentials(Kind.SAE, network.a), f"https://127.0.0.1:{network.port(0)}"
    with Client014(url, other.ca, files.certificate, files.key) as client, pytest.raises(NotSent, match="no trusted"):
        client.status(network.b)


def test_c5_1_8_the_sae_confirms_the_id_of_the_kme(network: Network) -> None:
    """The SAE confirms by the certificate that it speaks to the KME it means, whatever the address says."""
    with network.client(network.a, port=network.port(1)) as client, pytest.raises(NotSent, match="'kme-b' and not"):
        client.status(network.b)


def test_c5_1_9_without_that_the_sae_asks_nothing(network: Network) -> None:
    """Until the KME's ID is confirmed the SAE does not use the API: no request leaves, no key is cut."""
    network.fill(1, 0, 4096)
    before = network.stored(network.b, network.a)
    files, url = network.credentials(Kind.SAE, network.b), f"https://127.0.0.1:{network.port(1)}"
    with Client014(url, files.ca, files.certificate, files.key, kme_id="kme-a") as client, pytest.raises(NotSent):
        client.enc_keys(network.a)
    assert network.stored(network.b, network.a) == before


def test_c5_1_10_the_kme_verifies_the_certificate_of_the_sae(network: Network, tmp_path: Path) -> None:
    """The KME verifies that the SAE's certificate is valid: of its authority and not expired."""
    name = x509.UniformResourceIdentifier("urn:keystrand:sae:sae-a2")
    good = network.signed(tmp_path, name)
    assert speak(network.bare_connection(0, tls.client_context(good))).startswith(b"HTTP/1.1 4")
    expired = network.signed(tmp_path, name, days=-1)
    assert "expired" in refused_handshake(network.bare_connection(0, tls.client_context(expired)))
    other = issue_pki(tmp_path / "pki", kmes=(), saes=("sae-a2",), modules=(), days=1, now=datetime.now(UTC))
    context = tls.client_context(other.of(Kind.SAE, "sae-a2"))
    context.set_verify(SSL.VERIFY_NONE)
    assert "unknown ca" in refused_handshake(network.bare_connection(0, context))


def test_c5_1_11_the_kme_takes_the_id_of_the_sae_from_its_certificate(network: Network) -> None:
    """The KME confirms the SAE ID by the certificate: it is the master of status and keys."""
    network.fill(0, 1, 4096)
    for sae in (network.a, network.a2):
        assert network.get(sae, network.b, "status").json["master_SAE_ID"] == sae
        keys = network.keys(sae, network.b)
        other = network.a2 if sae == network.a else network.a
        assert network.fetch(network.b, other, keys).status == 400
        assert network.fetch(network.b, sae, keys).status == 200


def test_c5_1_12_without_an_id_the_connection_is_refused(network: Network, tmp_path: Path) -> None:
    """Where the certificate confirms no SAE ID the KME rejects the connection, valid as the certificate may be."""
    for names in ((), (x509.DNSName("sae-a2"),), (x509.UniformResourceIdentifier("urn:other:sae:sae-a2"),)):
        files = network.signed(tmp_path, *names)
        assert refused_handshake(network.bare_connection(0, tls.client_context(files)))


def test_c5_1_13_then_the_sae_may_call_all_methods(network: Network) -> None:
    """After mutual authentication the SAE may call the methods, one after the other on the same connection."""
    network.fill(0, 1, 4096)
    with network.client(network.a) as one, network.client(network.b) as other:
        for _ in range(3):
            assert one.status(network.b).slave_sae_id == network.b
            (key,) = one.enc_keys(network.b)
            assert other.dec_keys(network.a, [key.key_id])[0].key == key.key


def test_c5_1_14_there_are_three_methods_at_their_urls(network: Network) -> None:
    """The methods are status by GET, and enc_keys and dec_keys by POST or GET, below /api/v1/keys/ and the SAE ID."""
    network.fill(0, 1, 4096)
    key_id, other = network.keys(network.a, network.b, number=2)
    assert network.get(network.a, network.b, "status").status == 200
    assert network.get(network.a, network.b, "enc_keys").status == 200
    assert network.post(network.a, network.b, "enc_keys", {}).status == 200
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={key_id}").status == 200
    assert network.fetch(network.b, network.a, [other]).status == 200
    for target in ("/", "/api/v1/keys", "/api/v1/keys/sae-b2", "/api/v1/keys/sae-b2/keys", "/api/v2/keys/sae-b2/status",
                   "/api/v1/keys/sae-b2/Status", "/api/v1/keys/sae-b2/enc_keys/"):  # fmt: skip
        assert network.ask(0, Kind.SAE, network.a, "GET", target).status == 404


# Clause 5.2


def test_c5_2_1_status_is_asked_for_by_get(network: Network) -> None:
    """The access method of Get status is GET, and no other."""
    assert network.get(network.a, network.b, "status").status == 200
    for verb in ("POST", "PUT", "DELETE", "PATCH"):
        answer = network.ask(0, Kind.SAE, network.a, verb, network.url(network.b, "status"))
        assert (answer.status, "GET" in answer.headers["allow"]) == (405, True)


def test_c5_2_2_the_url_names_the_slave_escaped(network: Network) -> None:
    """The URL of Get status names the slave SAE by its URL-encoded ID, decoded exactly once."""
    assert network.get(network.a, network.b, "status").json["slave_SAE_ID"] == network.b
    assert network.get(network.b, network.a, "status").json["slave_SAE_ID"] == network.a
    plain, escaped = "/api/v1/keys/sae-c/status", "/api/v1/keys/%73%61e%2Dc/status"
    for target in (plain, escaped):
        assert network.ask(0, Kind.SAE, network.a, "GET", target).json["slave_SAE_ID"] == "sae-c"
    assert network.ask(0, Kind.SAE, network.a, "GET", "/api/v1/keys/sae%252Dc/status").status == 401


def test_c5_2_3_the_host_may_have_a_port(network: Network) -> None:
    """The host is a name or an address, with a port where one is given."""
    for host in ("localhost", "127.0.0.1", f"127.0.0.1:{network.port(0)}", f"localhost:{network.port(0)}"):
        url = network.url(network.b, "status")
        assert network.ask(0, Kind.SAE, network.a, "GET", url, Host=host).status == 200


def test_c5_2_4_status_takes_no_request_data(network: Network) -> None:
    """Get status has no request data: a body or a query is a bad request."""
    assert network.ask(0, Kind.SAE, network.a, "GET", network.url(network.b, "status"), b"{}").status == 400
    assert network.get(network.a, network.b, "status", "number=1").status == 400


def test_c5_2_5_status_speaks_of_the_keys_for_that_slave(network: Network) -> None:
    """Status tells of the keys that the calling master SAE can have for the slave SAE named, and of no others."""
    before = {slave: network.stored(network.a, slave) for slave in (network.b, network.c)}
    back = network.stored(network.c, network.a)
    network.fill(0, 2, 4096)
    after = {slave: network.stored(network.a, slave) for slave in (network.b, network.c)}
    assert after[network.b] == before[network.b]
    assert after[network.c] > before[network.c]
    assert network.stored(network.c, network.a) == back


def test_c5_2_6_status_changes_nothing(network: Network) -> None:
    """Get status has no post-condition: asked again it says the same."""
    first = [network.get(network.a, network.b, "status").json for _ in range(3)]
    for name in ("stored_key_count", "max_key_count", "key_size"):
        assert len({status[name] for status in first}) == 1


@pytest.mark.parametrize("method", METHODS)
def test_c5_2_7_a_bad_request_is_400_with_an_error(network: Network, method: str) -> None:
    """A malformed request of any of the three methods is answered 400 with an Error."""
    answer = network.get(network.a, network.b, method, "wish=1")
    assert (answer.status, answer.message) == (400, "bad request format")


@pytest.mark.parametrize("method", METHODS)
def test_c5_2_8_an_unauthorised_request_is_401(network: Network, method: str) -> None:
    """A request of any of the three methods that its caller may not make is answered 401."""
    absent = "key_ID=bc490419-7d60-487f-adc1-4ddcc177c139" if method == "dec_keys" else ""
    assert network.get(network.a, "nobody", method, absent).status == 401
    # the caller has no point of presence at that KME (clause 4)
    assert network.ask(1, Kind.SAE, network.a, "GET", network.url(network.c, method, absent)).status == 401
    for kind, name in ((Kind.KME, "kme-b"), (Kind.MODULE, "module-ab-kme-a")):
        assert network.ask(0, kind, name, "GET", network.url(network.b, method, absent)).status == 401


# Clause 5.3


def test_c5_3_1_get_key_returns_a_key_container_to_the_master(network: Network) -> None:
    """Get key returns a Key container with one or more keys to the calling master SAE."""
    network.fill(0, 1, 4096)
    for number in (1, 4):
        assert len(network.post(network.a, network.b, "enc_keys", {"number": number}).json["keys"]) == number


def test_c5_3_2_the_master_may_say_what_it_needs(network: Network) -> None:
    """The master SAE may supply a Key request with its requirements, which the keys meet."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b, number=2, size=512)
    assert [len(key) for key in keys.values()] == [88, 88]


def test_c5_3_3_the_slave_can_request_the_matching_keys(network: Network) -> None:
    """The slave SAE named can then request the matching keys at its remote KME by the key IDs."""
    for kme, slave in ((1, network.b), (1, network.b2), (2, network.c)):
        network.fill(0, kme, 4096)
        keys = network.keys(network.a, slave, number=2)
        assert [e["key"] for e in network.fetch(slave, network.a, keys).json["keys"]] == list(keys.values())


def test_c5_3_4_get_key_is_post_or_get(network: Network) -> None:
    """The access method of Get key is POST, or GET for simple requests, and no other."""
    network.fill(0, 1, 4096)
    assert network.post(network.a, network.b, "enc_keys", {"number": 1}).status == 200
    assert network.get(network.a, network.b, "enc_keys", "number=1").status == 200
    before = network.stored(network.a, network.b)
    for verb in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        answer = network.ask(0, Kind.SAE, network.a, verb, network.url(network.b, "enc_keys"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert network.stored(network.a, network.b) == before


def test_c5_3_5_the_url_names_the_slave_escaped(network: Network) -> None:
    """The URL of Get key names the slave SAE by its URL-encoded ID: the keys are for it and nobody else."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b)
    assert network.fetch(network.b2, network.a, keys).status == 401
    assert network.fetch(network.b, network.a, keys).status == 200


def test_c5_3_6_delivered_keys_leave_the_pool(network: Network) -> None:
    """The keys that Get key provided are removed from the pool: there are fewer, and none comes again."""
    network.fill(0, 1, 8192)
    before = network.stored(network.a, network.b)
    drawn = [network.keys(network.a, network.b, number=4) for _ in range(5)]
    assert network.stored(network.a, network.b) == before - 20
    assert len({key_id for keys in drawn for key_id in keys}) == 20
    assert len({key for keys in drawn for key in keys.values()}) == 20


def test_c5_3_7_an_error_on_the_servers_side_is_503(network: Network) -> None:
    """What the KME cannot do for reasons of its own is answered 503 with an Error: here it has too few keys."""
    network.drain(network.c, network.b)
    answer = network.get(network.c, network.b, "enc_keys")
    assert (answer.status, bool(answer.message)) == (503, True)


# Clause 5.4


def test_c5_4_1_the_slave_gets_the_keys_of_its_key_ids(network: Network) -> None:
    """Get key with key IDs returns a Key container with the keys that were delivered to the master under these IDs."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b, number=4)
    chosen = list(keys)[1:3]
    got = network.fetch(network.b, network.a, chosen)
    assert [(e["key_ID"], e["key"]) for e in got.json["keys"]] == [(key_id, keys[key_id]) for key_id in chosen]


def test_c5_4_2_who_was_not_named_is_401(network: Network) -> None:
    """An SAE that Get key was not given for a key ID is refused with 401, also at the slave's own KME."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b)
    assert network.fetch(network.b2, network.a, keys).status == 401
    assert network.fetch(network.b, network.a, keys).status == 200


def test_c5_4_3_one_foreign_key_id_refuses_the_whole_request(network: Network) -> None:
    """One key ID that the requestor was not named for makes the request 401, whatever the others are.

    Nothing of it is consumed.
    """
    network.fill(0, 1, 4096)
    mine, foreign = network.keys(network.a, network.b, number=2), network.keys(network.a, network.b2)
    absent = "bc490419-7d60-487f-adc1-4ddcc177c139"
    for listed in ((*mine, *foreign), (*foreign, *mine), (*foreign, absent), (absent, *mine, *foreign)):
        answer = network.fetch(network.b, network.a, listed)
        assert (answer.status, bool(answer.message)) == (401, True)
    assert network.fetch(network.b, network.a, mine).status == 200
    assert network.fetch(network.b2, network.a, foreign).status == 200


def test_c5_4_4_the_master_is_not_its_own_slave(network: Network) -> None:
    """The master SAE was not named to Get key: it gets 401 for its own key IDs."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b)
    for master in (network.a, network.b):
        assert network.fetch(network.a, master, keys).status == 401
    assert network.fetch(network.b, network.a, keys).status == 200


def test_c5_4_5_get_key_with_key_ids_is_post_or_get(network: Network) -> None:
    """The access method of Get key with key IDs is POST, or GET for simple requests, and no other."""
    network.fill(0, 1, 4096)
    one, two = network.keys(network.a, network.b, number=2)
    for verb in ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        target = network.url(network.a, "dec_keys", f"key_ID={one}")
        answer = network.ask(1, Kind.SAE, network.b, verb, target)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={one}").status == 200
    assert network.fetch(network.b, network.a, [two]).status == 200


def test_c5_4_6_the_url_names_the_master_escaped(network: Network) -> None:
    """The URL of Get key with key IDs names the master SAE by its URL-encoded ID; under another one there is no key."""
    network.fill(0, 1, 4096)
    keys = network.keys(network.a, network.b)
    answer = network.fetch(network.b, network.a2, keys)
    assert (answer.status, answer.message) == (400, "one or more keys specified are not found on KME")
    assert network.fetch(network.b, network.a, keys).status == 200


def test_c5_4_7_fetched_keys_leave_the_pool(network: Network) -> None:
    """The keys that Get key with key IDs provided are removed from the pool: another request finds them no more."""
    network.fill(0, 1, 4096)
    one, two, three = network.keys(network.a, network.b, number=3)
    assert network.fetch(network.b, network.a, [one, two]).status == 200
    for listed in ([one], [two], [one, three], [one, two, three]):
        answer = network.fetch(network.b, network.a, listed)
        assert (answer.status, answer.message) == (400, "one or more keys specified are not found on KME")
    assert network.fetch(network.b, network.a, [three]).status == 200


def no_answers(network: Network) -> list[Callable[[], Any]]:
    """Return requests of right form that no key can answer, for all methods."""
    absent = "key_ID=bc490419-7d60-487f-adc1-4ddcc177c139"
    return [
        lambda: network.get(network.a, "nobody", "status"),
        lambda: network.get(network.a, network.b, "enc_keys", "number=100000"),
        lambda: network.get(network.a, network.b, "enc_keys", "size=100000000"),
        lambda: network.post(network.a, network.b, "enc_keys", {"extension_mandatory": [{"abc_x": 1}]}),
        lambda: network.get(network.b, network.a, "dec_keys", absent),
        lambda: network.get(network.c, network.b, "enc_keys"),
    ]


def test_c5_4_8_no_other_error_codes_are_used(network: Network) -> None:
    """The error codes of the three methods are 400, 401 and 503 for every request of right form."""
    network.drain(network.c, network.b)
    answers = [ask() for ask in no_answers(network)]
    assert [answer.status for answer in answers] == [401, 400, 400, 400, 400, 503]
    assert all(json.loads(answer.body)["message"] for answer in answers)
