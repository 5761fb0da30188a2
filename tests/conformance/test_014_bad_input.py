"""Bad input to the three methods: each row is refused in exactly one way, with an Error, and consumes nothing."""

import json
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.pki import Kind

pytestmark = pytest.mark.system

Network = Any
"""The class of that name in conftest.py."""
FORMAT = "bad request format"
SIZE = "size shall be a multiple of 8"
ABSENT = "bc490419-7d60-487f-adc1-4ddcc177c139"
MEBIBYTE = 1 << 20


class Refused(NamedTuple):
    """What a refusal must look like: status, message (None: any), and the name that its one detail has, if any."""

    status: int = 400
    message: str | None = FORMAT
    where: str | None = None


def nested(depth: int) -> bytes:
    """Return a Key request with arrays in arrays."""
    return b'{"extension_optional":[{"a_b":' + b"[" * depth + b"]" * depth + b"}]}"


@pytest.fixture(scope="module", autouse=True)
def _stock(network: Network) -> None:
    """Put keys in the pool: a request that should be refused must not fail for want of them."""
    network.fill(0, 1, 200 * 256)


def judge(answer: Any, expected: Refused) -> None:
    """See that `answer` is the refusal expected."""
    assert answer.status == expected.status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert expected.message in (None, answer.message)
    if expected.where is not None:
        assert [list(detail) for detail in answer.json["details"]] == [[expected.where]]


NUMBERS = [b"0", b"-1", b"1000000", b'"1"', b"true", b"null", b"1e3", b"1.0", b"1e0", b"[1]", b"{}", b"9" * 400]
SIZES = [b"0", b"1000000000", b"-8", b'"256"', b"true", b"null", b"256.0", b"2.56e2", b"[256]", b"1" + b"0" * 400]
BODIES = [
    *[(b'{"number":%b}' % text, Refused(where="number")) for text in NUMBERS],
    *[(b'{"size":%b}' % text, Refused(where="size")) for text in SIZES],
    # the fixed text for every size that is no multiple, in or out of the range
    *[(b'{"size":%d}' % size, Refused(message=SIZE, where="size")) for size in (7, 1, 257, -1, 999_999_999)],
    *[(body, Refused(where="body")) for body in (
        b'{"number":1,"number":1}', b'{"number":1,"n\\u0075mber":2}', b'{"size":256,"number":1,"size":512}',
        b'{"extension_optional":[{"a_b":{"c":1,"c":1}}]}', b'{"extension_optional":[],"extension_optional":[]}',
        b'{"number":1}x', b'{"number":1}{}', b"{}]", b"{},{}", b"{}\x00", b"{", b"{}{", b"x", b"[]", b"null", b"1",
        b'"{}"', b"true", b'{"Number":1}', b'{"wish":1}', b'{"":1}', b'{"number ":1}',
        b'{"extension_optional":[{"a":\xff}]}',
        b'{"extension_optional":[{"a":"\xff"}]}', b'{"extension_optional":[{"a":"\xed\xa0\x80"}]}',
        b'{"extension_optional":[{"a":"\xc0\xaf"}]}', b'{"extension_optional":[{"a":"\\ud800"}]}',
        b'{"number":NaN}', b'{"number":Infinity}', b'{"number":0x1}', b'{"number":+1}', nested(30_000),
    )],
    *[(b'{"additional_slave_SAE_IDs":%b}' % text, Refused(where=None)) for text in (
        b'"sae-c"', b"[1]", b"null", b"{}", b"[null]", b'[["sae-c"]]', b"true",
    )],
    *[(b'{"%b":%b}' % (name, text), Refused(where=None)) for name in (b"extension_mandatory", b"extension_optional")
      for text in (b"{}", b'{"a_b":1}', b'["a_b"]', b"null", b"[[]]", b"[null]", b"1")],
    (nested(100_000), Refused(status=413, message=None)),
    (b" " * (64 << 10) + b"{}", Refused(status=413, message=None)),
    (b'{"number":1' + b" " * 10 * MEBIBYTE + b"}", Refused(status=413, message=None)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=lambda value: repr(value)[:50])
def test_bad_bodies_of_get_key(network: Network, body: bytes, expected: Refused) -> None:
    """What is no Key request within the limits of Status is refused at its place, and no key is cut."""
    before = network.stored(network.a, network.b)
    judge(network.post(network.a, network.b, "enc_keys", body), expected)
    assert network.stored(network.a, network.b) == before


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *[(f"number={text}", Refused(where="number")) for text in (
            "0", "-1", "1000000", "%221%22", "true", "null", "1e3", "1.0", "+1", "%2B1", "1_0", "%D9%A3", "", "%201",
            "0x1", "9" * 400,
        )],
        *[(f"size={text}", Refused(where="size")) for text in (
            "0", "1000000000", "-8", "%22256%22", "256.0", "", "null",
        )],
        ("size=7", Refused(message=SIZE, where="size")), ("size=257", Refused(message=SIZE, where="size")),
        ("number=1&number=1", Refused(where="number")), ("size=256&number=1&size=256", Refused(where="size")),
        *[(query, Refused(where="query")) for query in (
            "wish=1", "Number=1", "number=1&", "&", "&number=1", "number=1&wish", f"key_ID={ABSENT}", "=1",
        )],
        ("number=%", Refused(where="URL")), ("number=%zz", Refused(where="URL")), ("number=%ff", Refused(where="URL")),
        ("number", Refused(where="number")), ("number=1;size=256", Refused(where="number")),
    ],
)  # fmt: skip
def test_bad_queries_of_get_key(network: Network, query: str, expected: Refused) -> None:
    """Only number and size stand in a URL, each once and in decimal digits."""
    before = network.stored(network.a, network.b)
    judge(network.get(network.a, network.b, "enc_keys", query), expected)
    assert network.stored(network.a, network.b) == before


def listing(*key_ids: object, **more: object) -> bytes:
    """Return a Key IDs body."""
    return json.dumps({"key_IDs": [{"key_ID": key_id} for key_id in key_ids], **more}).encode()


KEY_IDS = [
    (b"", Refused(where=None)), (b"{}", Refused(where=None)), (b'{"key_IDs":[]}', Refused(where="key_IDs")),
    (b'{"key_IDs":null}', Refused(where="key_IDs")), (b'{"key_IDs":"%ID"}', Refused(where="key_IDs")),
    (b'{"key_IDs":["%ID"]}', Refused(where="key_IDs[0]")), (b'{"key_IDs":[{}]}', Refused(where="key_IDs[0]")),
    (b'{"key_ID":"%ID"}', Refused(where="body")), (b'[{"key_ID":"%ID"}]', Refused(where="body")),
    (b'{"key_IDs":[{"key_ID":"%ID","key_ID":"%ID"}]}', Refused(where="body")),
    (b'{"key_IDs":[{"key_ID":"%ID"}],"key_IDs":[{"key_ID":"%ID"}]}', Refused(where="body")),
    (b'{"key_IDs":[{"key_ID":"%ID","more":1}]}', Refused(where="key_IDs[0]")),
    (b'{"key_IDs":[{"key_ID":"%ID"}],"number":1}', Refused(where="body")),
    (b'{"key_IDs":[{"key_ID":"%ID"}]}x', Refused(where="body")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":"%ID"}]}', Refused(where="key_IDs")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":"%UPPER"}]}', Refused(where="key_IDs")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":"x"}]}', Refused(where="key_IDs[1].key_ID")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":"%ID\\u0000"}]}', Refused(where="key_IDs[1].key_ID")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":null}]}', Refused(where="key_IDs[1].key_ID")),
    (b'{"key_IDs":[{"key_ID":"%ID"},{"key_ID":1}]}', Refused(where="key_IDs[1].key_ID")),
    (b'{"key_IDs":[{"key_ID":"%ID"}],"key_IDs_extension":null}', Refused(where="key_IDs_extension")),
    (b'{"key_IDs":[{"key_ID":"%ID","key_ID_extension":"x"}]}', Refused(where="key_IDs[0].key_ID_extension")),
    (listing("%ID", *[f"bc490419-7d60-487f-adc1-{n:012x}" for n in range(128)]), Refused(where="key_IDs")),
    (listing("%ID", *[f"bc490419-7d60-487f-adc1-{n:012x}" for n in range(1500)]), Refused(status=413, message=None)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), KEY_IDS, ids=lambda value: repr(value)[:70])
def test_bad_bodies_of_get_key_with_key_ids(network: Network, body: bytes, expected: Refused) -> None:
    """What is no Key IDs within the limits of Status is refused, and the good key ID in it works afterwards."""
    (key_id,) = network.keys(network.a, network.b)
    content = body.replace(b"%ID", key_id.encode()).replace(b"%UPPER", key_id.upper().encode())
    judge(network.post(network.b, network.a, "dec_keys", content), expected)
    assert network.fetch(network.b, network.a, [key_id]).status == 200


@pytest.mark.parametrize(
    ("query", "where"),
    [("", "key_ID"), ("key_ID=", "key_ID"), ("key_ID=x", "key_ID"), ("key_ID", "key_ID"), ("key_ID=%7B{}%7D", "key_ID"),
     ("key_ID={0}&key_ID={0}", "key_ID"), (f"key_ID={{0}}&key_ID={ABSENT}", "key_ID"), ("key_ID={0},{0}", "key_ID"),
     ("key_IDs={0}", "query"), ("key_id={0}", "query"), ("key_ID={0}&number=1", "query"), ("key_ID={0}%00", "key_ID"),
     ("key_ID={0}&", "query"), ("key_ID=urn:uuid:{0}", "key_ID"), ("key_ID={0}%", "URL")],
)  # fmt: skip
def test_bad_queries_of_get_key_with_key_ids(network: Network, query: str, where: str) -> None:
    """A URL names exactly one key ID and nothing else; the key is still there afterwards."""
    (key_id,) = network.keys(network.a, network.b)
    judge(network.get(network.b, network.a, "dec_keys", query.format(key_id)), Refused(where=where))
    assert network.get(network.b, network.a, "dec_keys", f"key_ID={key_id}").status == 200


def test_a_key_id_in_upper_case_is_the_same_key(network: Network) -> None:
    """UUIDs are read in either case (RFC 9562, 4) and written in lower case, by GET and by POST."""
    one, two = network.keys(network.a, network.b, number=2)
    answer = network.get(network.b, network.a, "dec_keys", f"key_ID={one.upper()}")
    assert [entry["key_ID"] for entry in answer.json["keys"]] == [one]
    answer = network.fetch(network.b, network.a, [two.upper()])
    assert [entry["key_ID"] for entry in answer.json["keys"]] == [two]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        # an escaped slash is a letter of the ID, and nothing is resolved
        ("/api/v1/keys/sae-c%2Fstatus", 404), ("/api/v1/keys/x%2F..%2Fsae-c/status", 401),
        ("/api/v1/keys/sae%2Fa%252F/status", 401), ("/api/v1/keys/sae/a%252F/status", 404),
        ("/api/v1/keys/sae%252Dc/status", 401), ("/api/v1/keys/%2573ae-c/status", 401),
        ("/api/v1%2Fkeys/sae-c/status", 404), ("/api/v1/keys/sae-c/statu%73", 404),
        # empty parts, dots, parameters, other forms
        ("/api/v1/keys//status", 404), ("//api/v1/keys/sae-c/status", 404), ("/api//v1/keys/sae-c/status", 404),
        ("/api/v1/keys/sae-c//status", 404), ("/api/v1/keys/sae-c/status/", 404), ("/api/v1/keys/../status", 401),
        ("/api/v1/keys/./status", 401), ("/api/v1/keys/sae-b2/../sae-c/status", 404),
        ("/api/v1/keys/%2E%2E/status", 401), ("/api/v1/../v1/keys/sae-c/status", 404),
        ("/api/v1/keys/sae-c;x=1/status", 401), ("/api/v1/keys/sae-c/status;x=1", 404),
        ("/api/v1/keys/SAE-C/status", 401), ("/API/v1/keys/sae-c/status", 404), ("/api/v1/keys/sae-c/status%00", 404),
        ("/api/v1/keys/sae-c%00/status", 401), ("/api/v1/keys/sae-c%20/status", 401),
        ("/api/v1/keys/+sae-c/status", 401), ("https://localhost/api/v1/keys/sae-c/status", 400), ("*", 400),
        # what is no escape
        ("/api/v1/keys/%/status", 400), ("/api/v1/keys/sae-c%2/status", 400), ("/api/v1/keys/%zz/status", 400),
        ("/api/v1/keys/%ff/status", 400), ("/api/v1/keys/%c0%af/status", 400),
        # long IDs, up to the longest head
        ("/api/v1/keys/" + "x" * 8000 + "/status", 401), ("/api/v1/keys/" + "%2F" * 2000 + "/status", 401),
        ("/api/v1/keys/" + "x" * 20_000 + "/status", 431),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_bad_targets(network: Network, target: str, status: int) -> None:
    """IDs are decoded once and compared octet by octet; a path is never normalised."""
    judge(network.ask(0, Kind.SAE, network.a, "GET", target), Refused(status=status, message=None))


@pytest.mark.parametrize("method", ["status", "enc_keys", "dec_keys"])
@pytest.mark.parametrize("verb", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_bad_verbs(network: Network, verb: str, method: str) -> None:
    """Verbs other than GET and POST are 405 and never consume a key; HEAD's answer has no body."""
    (key_id,) = network.keys(network.a, network.b)
    before = network.stored(network.a, network.b)
    for kme, sae, other in ((0, network.a, network.b), (1, network.b, network.a)):
        query = f"key_ID={key_id}" if method == "dec_keys" else ""
        answer = network.ask(kme, Kind.SAE, sae, verb, network.url(other, method, query))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
        assert (answer.body == b"") == (verb == "HEAD")
    assert network.stored(network.a, network.b) == before
    assert network.fetch(network.b, network.a, [key_id]).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", "text/json",
                                  "multipart/form-data; boundary=x", "application/json, text/plain", "", "json",
                                  "application/problem+json", "x; application/json"])  # fmt: skip
def test_bad_content_types(network: Network, kind: str) -> None:
    """A body that is not declared application/json is 415 and not looked at."""
    before = network.stored(network.a, network.b)
    target = network.url(network.b, "enc_keys")
    answer = network.ask(0, Kind.SAE, network.a, "POST", target, b'{"number":1}', Content_Type=kind)
    judge(answer, Refused(status=415, message=None))
    answer = network.ask(0, Kind.SAE, network.a, "POST", target, b'{"number":1}', Accept="*/*")
    judge(answer, Refused(status=415, message=None))
    assert network.stored(network.a, network.b) == before


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"',
                                  "application/json; charset=latin-1", "application/json ; x=y"])  # fmt: skip
def test_parameters_of_the_content_type_say_nothing(network: Network, kind: str) -> None:
    """application/json has no charset parameter (RFC 8259, 11): whatever it says, the body is read as UTF-8."""
    target = network.url(network.b, "enc_keys")
    assert network.ask(0, Kind.SAE, network.a, "POST", target, b"{}", Content_Type=kind).status == 200
    body = '{"extension_optional":[{"a":"é"}]}'.encode("latin-1")
    judge(network.ask(0, Kind.SAE, network.a, "POST", target, body, Content_Type=kind), Refused())


def test_a_get_takes_no_body(network: Network) -> None:
    """GET with a body is 400, whatever stands in it."""
    (key_id,) = network.keys(network.a, network.b)
    before = network.stored(network.a, network.b)
    for body in (b"{}", b'{"number":1}', b"x"):
        judge(
            network.ask(0, Kind.SAE, network.a, "GET", network.url(network.b, "enc_keys"), body), Refused(message=None)
        )
        target = network.url(network.a, "dec_keys", f"key_ID={key_id}")
        judge(network.ask(1, Kind.SAE, network.b, "GET", target, body), Refused(message=None))
    assert network.stored(network.a, network.b) == before
    assert network.fetch(network.b, network.a, [key_id]).status == 200


def test_a_post_takes_no_query(network: Network) -> None:
    """POST with parameters in its URL is 400: which of two places counts is not guessed."""
    (key_id,) = network.keys(network.a, network.b)
    before = network.stored(network.a, network.b)
    for body in (b"{}", b'{"number":1}', b""):
        target = network.url(network.b, "enc_keys", "number=1")
        judge(network.ask(0, Kind.SAE, network.a, "POST", target, body), Refused(where="query"))
    target = network.url(network.a, "dec_keys", f"key_ID={key_id}")
    judge(network.ask(1, Kind.SAE, network.b, "POST", target), Refused(where="query"))
    assert network.stored(network.a, network.b) == before
    assert network.fetch(network.b, network.a, [key_id]).status == 200


def test_no_certificate(network: Network) -> None:
    """Without a client certificate the handshake fails and nothing is asked."""
    before = network.stored(network.a, network.b)
    bare = SSL.Context(SSL.TLS_CLIENT_METHOD)
    bare.load_verify_locations(str(network.credentials(Kind.SAE, network.a).ca))
    stream = network.bare_connection(0, bare)
    stream.handshake()
    with pytest.raises(SSL.Error, match="certificate required"):
        stream.recv_exactly(1)
    stream.close()
    assert network.stored(network.a, network.b) == before


@pytest.mark.parametrize("method", ["status", "enc_keys", "dec_keys"])
def test_an_unknown_sae(network: Network, tmp_path: Any, method: str) -> None:
    """A caller that the KME does not know is 401, with whatever it asks, and learns nothing of who is known."""
    files = network.signed(tmp_path, x509.UniformResourceIdentifier("urn:keystrand:sae:sae-x"))
    before = network.stored(network.a, network.b)
    told = set()
    for other in (network.b, network.a, "nobody", "sae-x"):
        stream = network.bare_connection(0, tls.client_context(files))
        stream.handshake()
        stream.sendall(f"GET {network.url(other, method)} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n".encode())
        head, _, body = stream.makefile("rb").read().partition(b"\r\n\r\n")
        stream.close()
        assert head.startswith(b"HTTP/1.1 401 ")
        told.add(json.loads(body)["message"])
    assert len(told) == 1
    assert network.stored(network.a, network.b) == before


@pytest.mark.parametrize("method", ["status", "enc_keys", "dec_keys"])
def test_an_unknown_sae_in_the_url(network: Network, method: str) -> None:
    """An SAE that is unknown, the caller itself, or a KME's name is 401 in the same words, whatever else is wrong."""
    before = network.stored(network.a, network.b)
    bodies = {
        answer.body
        for other in ("nobody", network.a, "kme-b", network.a2)
        for answer in (network.get(network.a, other, method), network.get(network.a, other, method, "key_ID=x"))
        if answer.status == 401
    }
    assert network.get(network.a, "nobody", method).status == 401
    assert len(bodies) == 1
    assert network.stored(network.a, network.b) == before
