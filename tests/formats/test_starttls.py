"""What comes before TLS: transcripts as the standards write them, refusals with their reason, and hostile octets."""

import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.starttls import preface
from keystrand.formats.starttls_script import MAX_LINE, MAX_PLAIN, Preface, Refusal
from keystrand.model.starttls import StartTls

NAMES = st.sampled_from(list(StartTls))


class Told(NamedTuple):
    """A whole preface: what the client says and what the server answers, in turn."""

    client: tuple[bytes, ...]
    server: tuple[bytes, ...]


def mysql_packet(payload: bytes, number: int = 0) -> bytes:
    """Return a packet of MySQL."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def mysql_greeting(capabilities: int, version: int = 10) -> bytes:
    """Return a server's greeting."""
    lower, upper = capabilities & 0xFFFF, capabilities >> 16
    middle = struct.pack("<I8sxHBHHB10x", 7, b"saltsalt", lower, 45, 2, upper, 21)
    return mysql_packet(bytes([version]) + b"11.4.2-MariaDB\0" + middle + b"saltsaltsalt\0mysql_native_password\0")


def rdp_confirm(negotiation: bytes) -> bytes:
    """Return a connection confirm."""
    return struct.pack(">BBHB", 3, 0, 11 + len(negotiation), 6 + len(negotiation)) + b"\xd0\0\0\x12\x34\0" + negotiation


def tds(content: bytes, kind: int = 4, status: int = 1) -> bytes:
    """Return a packet of TDS."""
    return struct.pack(">BBHHBB", kind, status, 8 + len(content), 0, 1, 0) + content


def prelogin(encryption: int) -> bytes:
    """Return what a server answers: version, encryption, instance, and a zero for MARS."""
    options = struct.pack(">BHHBHHBHHB", 0, 16, 6, 1, 22, 1, 4, 23, 1, 0xFF)
    return options + bytes(6) + bytes([encryption, 0])


XMPP_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='1' from='im.example'"
    b" version='1.0' xmlns='jabber:client'>"
)
XMPP_TLS = b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'"
XMPP_FEATURES = b"<stream:features><starttls " + XMPP_TLS + b"><required/></starttls></stream:features>"


def xmpp_hello(namespace: bytes) -> bytes:
    """Return what a client opens the stream with."""
    return (
        b"<?xml version='1.0'?><stream:stream xmlns='" + namespace + b"' version='1.0' to='im.example'"
        b" xmlns:stream='http://etherx.jabber.org/streams'>"
    )


def xmpp(namespace: bytes) -> Told:
    """Return the whole of XMPP's."""
    return Told(
        (xmpp_hello(namespace), b"<starttls " + XMPP_TLS + b"/>"),
        (XMPP_HEADER + XMPP_FEATURES, b"<proceed " + XMPP_TLS + b"/>"),
    )


TOLD = {
    StartTls.SMTP: Told(
        (b"", b"EHLO keystrand.invalid\r\n", b"STARTTLS\r\n"),
        (
            b"220-mx.example\r\n220 ESMTP\r\n",
            b"250-mx.example\r\n250-SIZE 1000\r\n250 starttls\r\n",
            b"220 2.0.0 go\r\n",
        ),
    ),
    StartTls.IMAP: Told(
        (b"", b"k1 STARTTLS\r\n"),
        (b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n", b"* CAPABILITY IMAP4rev1\r\nk1 OK begin\r\n"),
    ),
    StartTls.POP3: Told((b"", b"STLS\r\n"), (b"+OK ready\r\n", b"+OK begin\r\n")),
    StartTls.FTP: Told(
        (b"", b"AUTH TLS\r\n"),
        (b"120 wait\r\n220-Welcome\r\n  to ftp\r\n220 ready\r\n", b"234 begin\r\n"),
    ),
    StartTls.NNTP: Told((b"", b"STARTTLS\r\n"), (b"201 no posting\r\n", b"382 begin\r\n")),
    StartTls.SIEVE: Told(
        (b"", b"STARTTLS\r\n"),
        (b'"IMPLEMENTATION" "x"\r\n"SIEVE" "fileinto"\r\n"STARTTLS"\r\nOK "ready"\r\n', b'OK "begin"\r\n'),
    ),
    StartTls.LDAP: Told(
        (bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037",),
        (bytes.fromhex("3084000000100201017884000000070a010004000400"),),  # lengths as Active Directory writes them
    ),
    StartTls.XMPP: xmpp(b"jabber:client"),
    StartTls.XMPP_SERVER: xmpp(b"jabber:server"),
    StartTls.POSTGRESQL: Told((bytes.fromhex("00000008 04d2162f"),), (b"S",)),
    StartTls.MYSQL: Told(
        (b"", bytes.fromhex("20000001 008a0800 00000001 2d") + bytes(23)), (mysql_greeting(0xFFF7_FFFF),)
    ),
    StartTls.RDP: Told(
        (bytes.fromhex("03000013 0ee00000000000 01000800 0b000000"),),
        (rdp_confirm(bytes.fromhex("02 1f 0800 08000000")),),
    ),
    StartTls.MSSQL: Told(
        (bytes.fromhex("1201001a 00000000 00000b0006 0100110001 ff 000000000000 01"),), (tds(prelogin(1)),)
    ),
}
"""One conversation of each protocol that ends with TLS."""


def run(told: Told, before: Preface) -> None:
    """Play the server's part whole, and check the client's."""
    said = [before.begin(), *(before.receive(answer) for answer in told.server)]
    # MySQL alone says its last word without an answer
    assert tuple(one for one in said if one) == tuple(one for one in told.client if one)


def refused(name: str, *answers: bytes) -> str:
    """Return why a server that answers like this does not do TLS."""
    before = preface(name, "im.example")
    before.begin()
    for answer in answers:
        assert not before.done
        before.receive(answer)
    assert before.done
    return before.refused


@pytest.mark.parametrize("name", list(StartTls))
def test_the_way_to_tls_of_each_protocol(name: StartTls) -> None:
    """Every protocol that an estate may name has its preface, which ends ready for TLS with nothing left over."""
    before = preface(name, "im.example")
    run(TOLD[name], before)
    assert (before.done, before.refused, before.leftover) == (True, "", b"")


@pytest.mark.parametrize("name", list(StartTls))
def test_an_octet_at_a_time(name: StartTls) -> None:
    """However the network cuts the answers, the same is said."""
    before = preface(name, "im.example")
    said = before.begin()
    for octet in b"".join(TOLD[name].server):
        said += before.receive(bytes([octet]))
    assert said == b"".join(TOLD[name].client)
    assert (before.done, before.refused, before.leftover) == (True, "", b"")


@pytest.mark.parametrize("name", list(StartTls))
def test_what_follows_the_go_ahead_is_left_over(name: StartTls) -> None:
    """Words smuggled in behind the go-ahead, in one segment with it or later, are kept apart."""
    before = preface(name, "im.example")
    before.begin()
    *first, last = TOLD[name].server
    for answer in first:
        before.receive(answer)
    before.receive(last + b"250 injected")
    before.receive(b"!")
    assert (before.done, before.refused, before.leftover) == (True, "", b"250 injected!")


@pytest.mark.parametrize(
    ("name", "answers", "reason"),
    [
        ("smtp", [b"554 no\r\n"], "greets with 554"),
        ("smtp", [b"SSH-2.0-x\r\n"], "does not answer with a number of three digits"),
        ("smtp", [b"220 x\r\n", b"502 what\r\n"], "EHLO is answered 502"),
        ("smtp", [b"220 x\r\n", b"250-x\r\n250 8BITMIME\r\n"], "250 without STARTTLS"),
        ("smtp", [b"220 x\r\n", b"250 STARTTLS is the name of this host\r\n"], "250 without STARTTLS"),
        ("smtp", [b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 later\r\n"], "STARTTLS is answered 454"),
        ("imap", [b"* PREAUTH hello\r\n"], "greets with PREAUTH: too late for STARTTLS"),
        ("imap", [b"* BYE\r\n"], "greets without OK"),
        ("imap", [b"* OK\r\n", b"k1 BAD what\r\n"], "STARTTLS is answered BAD"),
        ("imap", [b"* OK\r\n", b"k1 hm\r\n"], "STARTTLS is answered without OK"),
        ("pop3", [b"-ERR full\r\n"], "greets without +OK"),
        ("pop3", [b"+OK\r\n", b"-ERR what\r\n"], "STLS is answered -ERR"),
        ("ftp", [b"421 busy\r\n"], "greets with 421"),
        ("ftp", [b"220 x\r\n", b"530 log in first\r\n"], "AUTH TLS is answered 530"),
        ("nntp", [b"400 no\r\n"], "greets with neither 200 nor 201"),
        ("nntp", [b"200 x\r\n", b"580 no\r\n"], "STARTTLS is answered 580"),
        ("sieve", [b'"SIEVE" "x"\r\nOK\r\n'], "greets without the capability STARTTLS"),
        ("sieve", [b'"STARTTLS"\r\nOK\r\n', b'NO "no"\r\n'], "STARTTLS is answered NO"),
        ("ldap", [bytes.fromhex("300c02010178070a010204000400")], "StartTLS is answered with result 2 protocolError"),
        ("ldap", [bytes.fromhex("300c02010161070a010004000400")], "StartTLS is not answered with an extended response"),
        ("ldap", [b"HTTP/1.1 400 Bad Request\r\n"], "does not answer with LDAP"),
        ("postgresql", [b"N"], "SSLRequest is answered N: TLS is off"),
        ("postgresql", [b"E\0\0\0"], "SSLRequest is answered with an error"),
        ("postgresql", [b"220 x\r\n"], "does not answer with PostgreSQL"),
        ("mysql", [mysql_greeting(0xFFF7_F7FF)], "greets without the capability of TLS"),
        ("mysql", [mysql_packet(b"\xff\x6a\x04Host is blocked")], "greets with error 1130"),
        ("mysql", [mysql_greeting(0, 9)], "greets with version 9 of the protocol, which has no TLS"),
        ("mysql", [mysql_packet(b"\x0a11.4.2")], "greets with MySQL that cannot be read"),
        ("mysql", [b"220 x\r\n"], "does not greet with MySQL"),
        ("rdp", [rdp_confirm(b"")], "confirms without a choice of security: RDP's own, no TLS"),
        ("rdp", [rdp_confirm(bytes.fromhex("0200080000000000"))], "chooses RDP's own security, no TLS"),
        ("rdp", [rdp_confirm(bytes.fromhex("0200080004000000"))], "chooses security 4, not asked for"),
        ("rdp", [rdp_confirm(bytes.fromhex("0300080002000000"))], "negotiation fails with 2 TLS not allowed by server"),
        ("rdp", [bytes.fromhex("0300000b068000001234 00")], "the connection request is not confirmed"),
        ("rdp", [b"SSH-2.0-x\r\n"], "does not answer with RDP"),
        ("mssql", [tds(prelogin(2))], "PRELOGIN is answered: encryption is not supported"),
        ("mssql", [tds(b"\xff")], "PRELOGIN is answered without a word on encryption"),
        ("mssql", [b"220 x\r\n"], "does not answer with TDS"),
        ("xmpp", [XMPP_HEADER + b"<stream:features/>"], "offers no STARTTLS among its features"),
        ("xmpp", [XMPP_HEADER + XMPP_FEATURES, b"<failure " + XMPP_TLS + b"/>"], "STARTTLS is answered with failure"),
        ("xmpp", [XMPP_HEADER + b"<stream:error><host-unknown xmlns='x'/></stream:error></stream:stream>"],
         "does not know this domain"),
        ("xmpp-server", [XMPP_HEADER + b"<stream:error/></stream:stream>"], "ends the stream"),
    ],
)  # fmt: skip
def test_why_there_is_no_tls(name: str, answers: list[bytes], reason: str) -> None:
    """A server that says no, or speaks another protocol, is told by its code: nothing else of what it wrote is kept."""
    assert refused(name, *answers) == reason


@pytest.mark.parametrize("name", list(StartTls))
def test_a_flood_before_tls_ends(name: StartTls) -> None:
    """Whoever goes on and on without a go-ahead is left after a few KiB, whatever the beginning looked like."""
    before = preface(name, "im.example")
    before.begin()
    beginnings = {
        "ldap": b"\x30\x84\x7f\xff\xff\xff",
        "mysql": b"\xff\x3f\0\0",
        "rdp": b"\3\0\xff\xff",
        "mssql": b"\4\0\xff\xff",
    }
    before.receive(beginnings.get(name, b"250-"))
    for _ in range(MAX_PLAIN // 1000 + 1):
        before.receive(b"x" * 1000)
    assert before.done
    assert before.refused
    assert len(before.leftover) <= MAX_PLAIN


def test_endless_lines_end() -> None:
    """A reply whose last line never comes ends with the bound on all of it; one endless line ends earlier."""
    before = preface("smtp", "")
    for _ in range(MAX_PLAIN // 8 + 1):
        before.receive(b"220-abc\n")
    assert before.refused == f"sends more than {MAX_PLAIN} octets before TLS begins"
    assert refused("imap", b"x" * MAX_LINE) == f"answers with a line of more than {MAX_LINE} octets"


def test_a_host_is_escaped_in_xml() -> None:
    """A host that would end the attribute does not."""
    assert b"to='a&apos;&lt;&amp;b'" in preface("xmpp", "a'<&b").begin()


def test_tls_in_packets_of_sql_server() -> None:
    """A hello longer than a packet goes in several, of which the last ends the message; what comes is put together."""
    before = preface("mssql", "")
    records = bytes(range(256)) * 20
    wrapped = before.wrap(records)
    assert [wrapped[at : at + 4].hex() for at in (0, 4096)] == ["12001000", "1201" + f"{8 + len(records) - 4088:04x}"]
    assert b"".join(before.unwrap(wrapped[at : at + 7]) for at in range(0, len(wrapped), 7)) == records
    with pytest.raises(Refusal, match="does not answer with TDS"):
        before.unwrap(b"\x16\3\3")


def test_an_answer_of_sql_server_in_two_packets() -> None:
    """A pre-login answer may be cut into packets: it ends with the one that says so."""
    whole = prelogin(3)
    before = preface("mssql", "")
    before.begin()
    before.receive(tds(whole[:9], status=0) + tds(whole[9:]))
    assert (before.done, before.refused) == (True, "")


@given(name=NAMES, pieces=st.lists(st.binary(max_size=200), max_size=8))
def test_random_octets_never_raise(name: StartTls, pieces: list[bytes]) -> None:
    """Whatever comes is taken without an error, and nothing grows beyond the bound."""
    before = preface(name, "im.example")
    before.begin()
    for piece in pieces:
        assert isinstance(before.receive(piece), bytes)
    assert len(before.leftover) <= MAX_PLAIN


@given(
    name=NAMES,
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0, 1),
    step=st.integers(1, 40),
)
def test_changed_answers_never_raise(name: StartTls, changes: list[tuple[float, int]], kept: float, step: int) -> None:
    """A real transcript with octets changed, cut short and cut into pieces ends well, with a reason, or waits."""
    octets = bytearray(b"".join(TOLD[name].server))
    for place, octet in changes:
        octets[int(place * len(octets))] = octet
    del octets[int(kept * len(octets)) :]
    before = preface(name, "im.example")
    before.begin()
    for at in range(0, len(octets), step):
        before.receive(bytes(octets[at : at + step]))
    assert before.done or not before.refused


@given(pieces=st.lists(st.binary(max_size=60), max_size=6), head=st.sampled_from([b"", b"\x12\1\0\x0a\0\0\0\0ab"]))
def test_wrapped_tls_raises_nothing_but_a_refusal(pieces: list[bytes], head: bytes) -> None:
    """What SQL Server sends around TLS is either taken apart or refused."""
    before = preface("mssql", "")
    for piece in (head, *pieces):
        try:
            before.unwrap(piece)
        except Refusal:
            return
