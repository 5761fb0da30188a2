"""The ClientHello we send, read back with our own reader of the notation."""

from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.tls_codepoints import TLS12, TLS13
from keystrand.formats.tls_hello import CLIENT_HELLO, ClientHello, client_hello
from keystrand.formats.tls_wire import Messages, Reader, Records, handshake_record

words = st.lists(st.integers(0, 0xFFFF), max_size=20).map(tuple)
octets_32 = st.binary(min_size=32, max_size=32)
hellos = st.builds(
    ClientHello,
    random=octets_32,
    session=octets_32,
    versions=st.sampled_from([(TLS13,), (TLS13, TLS12), (TLS12,)]),
    suites=words,
    groups=words,
    schemes=words,
    key_shares=st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=1300)), max_size=3).map(tuple),
    server_name=st.sampled_from(["", "a.example", "x" * 60 + ".example"]),
    cookie=st.binary(max_size=300),
)


def words_of(octets: bytes) -> tuple[int, ...]:
    """Return 16-bit numbers that stand one after the other."""
    reader, found = Reader(octets), []
    while not reader.empty:
        found.append(reader.number(2))
    return tuple(found)


def read_back(octets: bytes) -> tuple[int, ClientHello]:
    """Return the legacy version and the hello in a record."""
    records, messages = Records(), Messages()
    records.feed(octets)
    record = records.next()
    assert record is not None
    assert records.next() is None
    messages.feed(record.body)
    message = messages.next()
    assert message is not None
    assert message[0] == CLIENT_HELLO
    body = Reader(message[4:])
    legacy = body.number(2)
    random, session, suites = body.take(32), body.vector(1), words_of(body.vector(2))
    assert body.vector(1) == b"\0"
    extensions, found = Reader(body.vector(2)), {}
    assert body.empty
    while not extensions.empty:
        kind = extensions.number(2)
        assert kind not in found
        found[kind] = Reader(extensions.vector(2))
    name = Reader(found[0].vector(2)) if 0 in found else None
    shares = []
    if 51 in found:
        entries = Reader(found[51].vector(2))
        while not entries.empty:
            shares.append((entries.number(2), entries.vector(2)))
    return legacy, ClientHello(
        random=random,
        session=session,
        versions=words_of(found[43].vector(1)) if 43 in found else (legacy,),
        suites=suites,
        groups=words_of(found[10].vector(2)) if 10 in found else (),
        schemes=words_of(found[13].vector(2)),
        key_shares=tuple(shares),
        server_name=name.take(1).strip(b"\0").decode() + name.vector(2).decode() if name else "",
        cookie=found[44].vector(2) if 44 in found else b"",
    )


@given(hello=hellos)
def test_hello_reads_back(hello: ClientHello) -> None:
    """Everything a hello offers is on the wire, once, and nothing of TLS 1.3 where it is not offered."""
    legacy, found = read_back(handshake_record(client_hello(hello)))
    assert legacy == TLS12
    if TLS13 not in hello.versions:
        assert not found.key_shares
        assert not found.cookie
        found = ClientHello(
            **{
                **{name: getattr(found, name) for name in ClientHello.__struct_fields__},
                "key_shares": hello.key_shares,
                "cookie": hello.cookie,
            }
        )
    assert found == hello


def test_no_shares_is_an_empty_vector() -> None:
    """A hello without key shares still has the extension: that is what makes a server name its choice."""
    hello = ClientHello(random=bytes(32), session=bytes(32), versions=(TLS13,), suites=(), groups=(1,), schemes=())
    assert client_hello(hello).endswith(bytes.fromhex("0033 0002 0000"))
