"""Others' hellos read as a bystander does: our own hello back, servers of every age, and any octets at all."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.suite_names import suite_uses
from keystrand.formats.tls_codepoints import TLS12, TLS13
from keystrand.formats.tls_hello import ClientHello, client_hello
from keystrand.formats.tls_offer import Choice, client_offer, is_13, server_choice, version_name
from keystrand.formats.tls_server_flight import HELLO_RETRY_RANDOM
from keystrand.formats.tls_suites import suite, suite_named
from keystrand.formats.tls_wire import TlsUnreadable, number, vector
from keystrand.model.algorithm import Function

plain = st.integers(1, 0xFF00).filter(lambda n: n & 0x0F0F != 0x0A0A and n not in (0xFF, 0x5600))
numbers = st.lists(plain, max_size=20)
hellos = st.builds(
    ClientHello,
    random=st.binary(min_size=32, max_size=32),
    session=st.binary(max_size=32),
    versions=st.sampled_from([(TLS13,), (TLS13, TLS12), (TLS12,)]),
    suites=numbers.map(tuple),
    groups=numbers.map(tuple),
    schemes=numbers.map(tuple),
    key_shares=st.lists(st.tuples(st.integers(1, 2000), st.binary(max_size=900)), max_size=3).map(tuple),
    server_name=st.sampled_from(["", "a.example"]),
)


@given(hellos)
def test_our_own_hello_is_read_back(hello: ClientHello) -> None:
    """Every list comes back in its order."""
    offer = client_offer(client_hello(hello)[4:])
    assert (offer.suites, offer.groups, offer.schemes) == (hello.suites, hello.groups, hello.schemes)
    if TLS13 in hello.versions:
        shares = (group for group, _ in hello.key_shares)
        assert offer.versions == hello.versions
        assert offer.shares == tuple(group for group in shares if group & 0x0F0F != 0x0A0A)


def test_grease_and_signals_are_no_algorithms() -> None:
    """RFC 8701's numbers, and the two suites that only signal."""
    hello = ClientHello(
        random=bytes(32),
        session=b"",
        versions=(TLS12,),
        suites=(0x0A0A, 0x00FF, 0x5600, 0x1301, 0xFAFA),
        groups=(0x2A2A, 29),
        schemes=(0x0403,),
    )
    offer = client_offer(client_hello(hello)[4:])
    assert (offer.suites, offer.groups) == ((0x1301,), (29,))


def _server_hello(version: int, suite_number: int, extensions: bytes, *, random: bytes = bytes(32)) -> bytes:
    return number(version) + random + b"\0" + number(suite_number) + b"\0" + vector(2, extensions)


def test_what_servers_of_every_age_choose() -> None:
    """TLS 1.3 names version and group in extensions, its early drafts in other places, TLS 1.0 may have none at all."""
    modern = number(43) + vector(2, number(TLS13)) + number(51) + vector(2, number(0x11EC) + vector(2, bytes(8)))
    assert server_choice(_server_hello(0x0303, 0x1301, modern)) == Choice(TLS13, 0x1301, 0x11EC, again=False)
    retry = number(43) + vector(2, number(TLS13)) + number(51) + vector(2, number(24))
    chosen = server_choice(_server_hello(0x0303, 0x1302, retry, random=HELLO_RETRY_RANDOM))
    assert (chosen.group, chosen.again) == (24, True)
    draft = (
        number(0x7F12)
        + bytes(32)
        + number(0x1301)
        + vector(2, number(40) + vector(2, number(29) + vector(2, bytes(4))))
    )
    assert server_choice(draft) == Choice(0x7F12, 0x1301, 29, again=False)
    assert server_choice(number(0x0301) + bytes(32) + b"\0" + number(0x2F) + b"\0") == Choice(
        0x0301, 0x2F, None, again=False
    )
    resumed = number(43) + vector(2, number(TLS13)) + number(41) + vector(2, b"\0\0")
    assert server_choice(_server_hello(0x0303, 0x1301, resumed)).resumes_key


def test_names_of_versions() -> None:
    """Known ones, drafts, and a number for the rest."""
    assert [version_name(n) for n in (0x0304, 0x0300, 0xFEFC, 0x7F1C, 0x1234)] == [
        "TLSv1.3", "SSLv3", "DTLSv1.3", "TLSv1.3-draft28", "TLS-version-0x1234",
    ]  # fmt: skip
    assert [is_13(n) for n in (0x0304, 0xFEFC, 0x7E01, 0x0303)] == [True, True, True, False]


@given(st.binary(max_size=300), st.booleans())
def test_any_octets_are_read_or_refused(octets: bytes, datagram: bool) -> None:  # noqa: FBT001 - drawn
    """Nothing but `TlsUnreadable` is raised."""
    for read in (lambda: client_offer(octets, datagram=datagram), lambda: server_choice(octets)):
        try:
            read()
        except TlsUnreadable:
            continue


@pytest.mark.parametrize(
    ("code", "name", "exchange", "cipher"),
    [
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256", "TLS13", "ChaCha20-Poly1305"),
        (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "RSA", "3DES-168-CBC"),
        (0xC05D, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", "ECDHE", "ARIA-256-GCM"),
        (0x00A7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384", "DH_anon", "AES-256-GCM"),
        (0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE", "AES-128-CCM8"),
    ],
)
def test_a_suite_by_number_and_by_name(code: int, name: str, exchange: str, cipher: str) -> None:
    """Both ways lead to the same."""
    found = suite(code)
    assert found == suite_named(name)
    assert found is not None
    assert (found.exchange, found.cipher) == (exchange, cipher)


def test_no_suite() -> None:
    """A number that nobody registered, and a name that is none."""
    assert (suite(0x4321), suite_named("unknown"), suite_named("")) == (None, None, None)


@pytest.mark.system
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_openssl_gives_every_suite_the_number_and_name_that_we_do() -> None:
    """Of each of OpenSSL's suites, our table by number and our reading of the registered name agree."""
    command = ["openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) > 100
    for line in lines:
        code, _, name, *_ = line.split()
        high, low = (int(part, 16) for part in code.split(","))
        ours = suite(high << 8 | low)
        assert ours is not None, line
        assert ours == suite_named(name), line
        told = {one.algorithm for one in suite_uses(name) if one.function is Function.ENCRYPTION}
        assert told <= {ours.cipher}, line
