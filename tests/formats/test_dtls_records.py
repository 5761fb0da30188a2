"""DTLS records and fragments: TLS messages in other clothes, whatever order they come in, and any octets at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.dtls_records import (
    MAX_AHEAD,
    MAX_FRAGMENT,
    Fragments,
    client_hello_of,
    datagrams,
    records,
    server_hello_as_tls,
    verify_cookie,
)
from keystrand.formats.tls_codepoints import TLS12, TLS13
from keystrand.formats.tls_hello import ClientHello, client_hello
from keystrand.formats.tls_wire import HANDSHAKE, Reader, TlsUnreadable, message, number, vector

HELLO = client_hello(
    ClientHello(
        random=b"r" * 32,
        session=b"",
        versions=(TLS13, TLS12),
        suites=(0x1301,),
        groups=(0x11EC, 0x001D),
        schemes=(0x0403,),
        key_shares=((0x11EC, b"s" * 1216),),
        server_name="a.example",
    )
)


def fragment(kind: int, content: bytes, order: int, begin: int, end: int) -> bytes:
    """Return the content of a handshake record."""
    head = number(kind, 1) + number(len(content), 3) + number(order) + number(begin, 3)
    return head + vector(3, content[begin:end])


def test_a_client_hello_gets_its_cookie_and_the_version_numbers_of_dtls() -> None:
    """Everything else stays as TLS writes it (RFC 6347, 4.2.1; RFC 9147, 5.3)."""
    hello = client_hello_of(HELLO, b"cookie")
    body = Reader(hello[4:])
    assert (body.number(2), body.take(32), body.vector(1), body.vector(1)) == (0xFEFD, b"r" * 32, b"", b"cookie")
    assert vector(1, number(0xFEFC) + number(0xFEFD)) in hello
    assert len(hello) == len(HELLO) + 1 + len(b"cookie")
    assert server_hello_as_tls(b"\x0b\0\0\1x") == b"\x0b\0\0\1x"


def test_a_server_hello_reads_as_one_of_tls() -> None:
    """Its version, and the one it chose in supported_versions."""
    rest = b"r" * 32 + b"\0" + number(0x1301) + b"\0"
    said = message(2, number(0xFEFD) + rest + vector(2, number(43) + vector(2, number(0xFEFC))))
    tls = message(2, number(0x0303) + rest + vector(2, number(43) + vector(2, number(0x0304))))
    assert server_hello_as_tls(said) == tls


def test_a_long_hello_goes_out_in_datagrams_that_every_path_carries_and_comes_together_again() -> None:
    """Whatever order they come in; and a message comes once."""
    sent = datagrams(HELLO, 0, 5)
    assert len(sent) == 2
    assert max(map(len, sent)) <= MAX_FRAGMENT + 25
    fragments = Fragments()
    found = [
        whole
        for datagram in (sent[1], sent[0], sent[0])
        for record in records(datagram)
        for whole in fragments.take(record.body)
    ]
    assert found == [HELLO]
    assert [datagram[5:11] for datagram in sent] == [number(5, 6), number(6, 6)]


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_messages_come_in_their_order_whatever_order_their_fragments_come_in(
    contents: list[bytes], data: st.DataObject
) -> None:
    """Cut anywhere, overlapping, repeated."""
    pieces = []
    for order, content in enumerate(contents):
        cut = data.draw(st.integers(0, len(content)))
        pieces += [fragment(11, content, order, 0, cut), fragment(11, content, order, max(0, cut - 3), len(content))]
    pieces += data.draw(st.lists(st.sampled_from(pieces), max_size=3)) if pieces else []
    fragments = Fragments()
    found = [whole for piece in data.draw(st.permutations(pieces)) for whole in fragments.take(piece)]
    assert found == [message(11, content) for content in contents]


def test_fragments_that_do_not_fit_are_refused_and_memory_is_bounded() -> None:
    """Beyond their message, of two messages with one number, of a message larger than any; far ahead: passed over."""
    with pytest.raises(TlsUnreadable, match="of a message of 3"):
        list(Fragments().take(number(11, 1) + number(3, 3) + number(0) + number(2, 3) + vector(3, b"ab")))
    fragments = Fragments()
    assert list(fragments.take(fragment(11, b"abc", 0, 0, 1))) == []
    with pytest.raises(TlsUnreadable, match="same number"):
        list(fragments.take(fragment(12, b"abc", 0, 1, 3)))
    with pytest.raises(TlsUnreadable, match="more than"):
        list(Fragments().take(number(11, 1) + number(0xFFFFFF, 3) + number(0) + number(0xFFFF00, 3) + vector(3, b"a")))
    assert list(Fragments().take(fragment(11, b"abc", MAX_AHEAD, 0, 3))) == []


@given(st.binary(max_size=300))
def test_no_octets_make_the_readers_raise_anything_but_unreadable(octets: bytes) -> None:
    """A datagram, a record's content, a message."""
    for record in (*records(octets), *records(bytes((HANDSHAKE, 0xFE, 0xFD)) + bytes(8) + vector(2, octets))):
        try:
            for whole in Fragments().take(record.body):
                server_hello_as_tls(whole)
                verify_cookie(whole)
        except TlsUnreadable:
            pass
