"""SSH in clear: packets, lists and names, against asyncssh's encoder and `cryptography`'s keys; bounded on garbage."""

import base64
import contextlib
import hashlib

import asyncssh
import pytest
from asyncssh.packet import MPInt, NameList, String
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.ssh_names import (
    MODERN_HOST_KEYS,
    MODERN_KEX,
    host_key_fact,
    host_key_name,
    is_pseudo,
    key_exchange_name,
)
from keystrand.formats.ssh_wire import (
    MAX_NAMES,
    Identification,
    KexInit,
    disconnect_message,
    disconnect_reason,
    first_packet,
    identification,
    kex_init_message,
    kex_reply,
    kexinit,
    kexinit_message,
    mpint,
    packet,
)
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput


@given(st.binary(min_size=1, max_size=600), st.binary(max_size=20))
def test_packets_come_back_whole(payload: bytes, rest: bytes) -> None:
    """A packet is a multiple of eight octets with four or more of padding (RFC 4253, 6); its payload comes back."""
    made = packet(payload)
    assert len(made) % 8 == 0
    assert made[4] >= 4
    assert first_packet(made + rest) == (payload, rest)
    assert all(first_packet(made[:cut]) is None for cut in range(0, len(made), 7))


NAMES = st.lists(st.from_regex(r"[a-z0-9@.-]{1,40}", fullmatch=True), max_size=8, unique=True)


@given(NAMES, NAMES)
def test_lists_are_read_as_asyncssh_writes_them(key_exchanges: list[str], host_keys: list[str]) -> None:
    """The two lists come back in order from asyncssh's encoding of the message."""
    lists = [key_exchanges, host_keys, *[["aes128-ctr"]] * 2, *[["hmac-sha1"]] * 2, ["none"], ["none"], [], []]
    payload = b"\x14" + bytes(16) + b"".join(NameList(name.encode() for name in one) for one in lists) + bytes(5)
    assert kexinit(payload) == KexInit(tuple(key_exchanges), tuple(host_keys))


def test_our_own_messages_are_well_formed() -> None:
    """What we send reads back, and a reply in asyncssh's encoding shows its key."""
    assert kexinit(kexinit_message(bytes(16), "curve25519-sha256", "ssh-rsa")) == KexInit(
        ("curve25519-sha256",), ("ssh-rsa",)
    )
    assert kex_init_message(b"share") == b"\x1e" + String(b"share")
    assert kex_reply(b"\x1f" + String(b"blob") + MPInt(7) + String(b"signature")).host_key == b"blob"
    assert disconnect_reason(disconnect_message()) == "inventory done"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\nrest",
            (Identification("2.0", "OpenSSH_9.2p1", "Debian-2", b"SSH-2.0-OpenSSH_9.2p1 Debian-2"), b"rest"),
        ),
        (
            b"welcome\r\nto us\r\nSSH-1.99-Cisco-1.25\n",
            (Identification("1.99", "Cisco-1.25", "", b"SSH-1.99-Cisco-1.25"), b""),
        ),
        (b"SSH-2.0-Open", None),
        (b"welcome\r\nSS", None),
        (b"", None),
    ],
)
def test_identification(octets: bytes, expected: object) -> None:
    """The identification is found behind other lines, with either line end, and waited for where it is not whole."""
    assert identification(octets) == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0\r\n",
        b"SSH-2.0-" + b"x" * 250 + b"\r\n",
        b"SSH-2.0-\x07\r\n",
        b"SSH-2.0-\xff\r\n",
        b"y\n" * 5000,
        b"y" * 9000,
    ],
)
def test_what_is_no_identification_is_refused(octets: bytes) -> None:
    """Lines without the three parts, too long, unprintable, or none at all raise `InvalidInput`."""
    with pytest.raises(InvalidInput):
        identification(octets)


@given(st.binary(max_size=300))
def test_random_octets_raise_invalid_input_only(octets: bytes) -> None:
    """Every reader gives a value or `InvalidInput`."""
    for read in (identification, first_packet, kexinit, kex_reply, disconnect_reason, host_key_fact):
        for prefix in (b"", b"\x14", b"\x1f", b"SSH-", b"\x00\x00\x00\x07ssh-rsa", b"\x00\x00\x00\x07ssh-dss"):
            with contextlib.suppress(InvalidInput):
                read(prefix + octets)


def test_a_flood_of_names_is_refused() -> None:
    """A list longer than any in use is not taken."""
    with pytest.raises(InvalidInput):
        kexinit(kexinit_message(bytes(16), ",".join(f"a{n}" for n in range(MAX_NAMES + 1)), "ssh-rsa"))


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        ("curve25519-sha256@libssh.org", "X25519"),
        ("curve448-sha512", "X448"),
        ("ecdh-sha2-nistp256", "ECDH-P-256"),
        ("ecdh-sha2-1.3.132.0.10", "ECDH-secp256k1"),
        ("diffie-hellman-group1-sha1", "FFDH-1024"),
        ("diffie-hellman-group14-sha256", "FFDH-2048"),
        ("diffie-hellman-group18-sha512", "FFDH-8192"),
        ("diffie-hellman-group-exchange-sha256", "FFDH"),
        ("rsa2048-sha256", "RSA-KEX-2048"),
        ("gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==", "FFDH-2048"),
        ("gss-nistp256-sha256-toWM5Slw5Ew8Mqkay+al2g==", "ECDH-P-256"),
        ("gss-curve25519-sha256-toWM5Slw5Ew8Mqkay+al2g==", "X25519"),
        ("gss-gex-sha1-toWM5Slw5Ew8Mqkay+al2g==", "FFDH"),
        ("sntrup761x25519-sha512@openssh.com", "sntrup761x25519-sha512"),
        ("mlkem1024nistp384-sha384", "mlkem1024nistp384-sha384"),
    ],
)
def test_key_exchanges_have_their_canonical_name(wire: str, name: str) -> None:
    """Each name on the wire is the one the model judges, as a key establishment."""
    assert key_exchange_name(wire) == name
    judged = classify(name)
    assert judged.function is Function.KEY_ESTABLISHMENT
    if wire.startswith("sntrup"):
        assert judged.verdict is not Verdict.QUANTUM_VULNERABLE
    else:
        assert judged.verdict is (Verdict.QUANTUM_SAFE if wire.startswith("mlkem") else Verdict.QUANTUM_VULNERABLE)


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        ("ssh-rsa", "RSA"),
        ("rsa-sha2-512", "RSA"),
        ("rsa-sha2-256-cert-v01@openssh.com", "RSA"),
        ("x509v3-ssh-rsa", "RSA"),
        ("ssh-dss", "DSA"),
        ("ssh-ed25519", "Ed25519"),
        ("ssh-ed25519-cert-v01@openssh.com", "Ed25519"),
        ("sk-ssh-ed25519@openssh.com", "Ed25519"),
        ("sk-ssh-ed25519-cert-v01@openssh.com", "Ed25519"),
        ("sk-ecdsa-sha2-nistp256@openssh.com", "ECDSA-P-256"),
        ("ecdsa-sha2-nistp521", "ECDSA-P-521"),
        ("x509v3-ecdsa-sha2-nistp384", "ECDSA-P-384"),
        ("ssh-ed448", "Ed448"),
    ],
)
def test_host_keys_have_their_canonical_name(wire: str, name: str) -> None:
    """Each name on the wire is the one the model judges, as a vulnerable signature."""
    assert host_key_name(wire) == name
    assert (classify(name).function, classify(name).verdict) == (Function.SIGNATURE, Verdict.QUANTUM_VULNERABLE)


@pytest.mark.parametrize(
    "name", ["X25519MLKEM768", "ML-KEM-768", "LMS", "ML-DSA-65", "mlkem768-thing", "sntrup4591761x25519"]
)
def test_names_we_do_not_know_are_never_safe(name: str) -> None:
    """No spelling outside SSH's own registry reads as quantum-safe."""
    for canonical in (key_exchange_name(name), host_key_name(name)):
        assert classify(canonical).verdict is Verdict.UNKNOWN


@given(st.from_regex(r"[A-Za-z0-9@.-]{1,40}", fullmatch=True))
def test_any_name_is_safe_only_if_it_is_a_known_hybrid(name: str) -> None:
    """Random names are never safe as a key exchange, and nothing is safe as a host key."""
    assert classify(host_key_name(name)).verdict is not Verdict.QUANTUM_SAFE
    assert name in MODERN_KEX or classify(key_exchange_name(name)).verdict is not Verdict.QUANTUM_SAFE


def test_signals_are_no_algorithms_and_algorithms_are_no_signals() -> None:
    """`ext-info` and `kex-strict` are left out; all that a present-day client asks for is known and stays."""
    for name in ("ext-info-s", "ext-info-c", "kex-strict-s-v00@openssh.com", "kex-strict-c"):
        assert is_pseudo(name)
    for name in MODERN_KEX:
        assert not is_pseudo(name)
        assert classify(key_exchange_name(name)).note != classify("no such name").note
    for name in MODERN_HOST_KEYS:
        assert classify(host_key_name(name)).verdict is Verdict.QUANTUM_VULNERABLE


@pytest.mark.parametrize(
    ("kind", "size", "name"),
    [
        ("ssh-rsa", 2048, "RSA-2048"),
        ("ssh-rsa", 3072, "RSA-3072"),
        ("ssh-ed25519", None, "Ed25519"),
        ("ecdsa-sha2-nistp256", None, "ECDSA-P-256"),
        ("ecdsa-sha2-nistp521", None, "ECDSA-P-521"),
    ],
)
def test_host_key_has_the_identity_of_its_key_information(kind: str, size: int | None, name: str) -> None:
    """The same key in a certificate or file is the same key: the hash is that of its SubjectPublicKeyInfo."""
    key = asyncssh.generate_private_key(kind, key_size=size) if size else asyncssh.generate_private_key(kind)
    line = key.export_public_key("openssh")
    spki = load_ssh_public_key(line).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fact = host_key_fact(base64.b64decode(line.split()[1]))
    assert (fact.algorithm, fact.bits, fact.sha256) == (name, size, hashlib.sha256(spki).hexdigest())
    assert fact.private_part_present is False


def test_host_key_of_a_type_no_library_knows_keeps_its_name_and_stays_unknown() -> None:
    """The blob's own hash is its identity; its name is not taken for anything."""
    blob = String(b"ssh-newkey@example") + String(bytes(40))
    fact = host_key_fact(blob)
    assert (fact.algorithm, fact.sha256) == ("ssh-newkey@example", hashlib.sha256(blob).hexdigest())
    assert classify(fact.algorithm).verdict is Verdict.UNKNOWN


def test_host_key_with_a_compressed_point_is_named_by_its_type() -> None:
    """The library gives up on compressed points in its own way; the key keeps its name and the blob's identity."""
    blob = String(b"ecdsa-sha2-nistp256") + String(b"nistp256") + String(b"\x02" + bytes(32))
    fact = host_key_fact(blob)
    assert (fact.algorithm, fact.sha256) == ("ECDSA-P-256", hashlib.sha256(blob).hexdigest())


@pytest.mark.parametrize("name", ["x" * 65, "ecdh-sha2-" + "1." * 1000 + "1", "gss-group1-sha1" * 9])
def test_names_longer_than_the_standard_allows_are_refused(name: str) -> None:
    """RFC 4251, 6 allows 64 octets; a longer name reaches nobody, in a list or as the type of a key."""
    with pytest.raises(InvalidInput, match="too long"):
        kexinit(kexinit_message(bytes(16), name, "ssh-rsa"))
    with pytest.raises(InvalidInput, match="too long"):
        kexinit(kexinit_message(bytes(16), "curve25519-sha256", name))
    with pytest.raises(InvalidInput, match="not a name"):
        host_key_fact(String(name.encode()) + String(bytes(32)))


@pytest.mark.parametrize(
    "blob",
    [
        String(b"ssh-ed25519") + String(b""),
        String(b"ssh-ed25519") + String(bytes(31)),
        String(b"ssh-ed25519") + String(bytes(33)),
        String(b"ssh-ed25519") + String(bytes(32)) + b"\0",
        String(b"ssh-ed448") + String(bytes(32)),
        String(b"sk-ssh-ed25519@openssh.com") + String(bytes(31)) + String(b"ssh:"),
        String(b"ssh-ed25519-cert-v01@openssh.com") + String(bytes(32)) + String(b"") + String(b""),
    ],
)
def test_an_edwards_key_of_the_wrong_length_is_none(blob: bytes) -> None:
    """Whatever calls itself Ed25519 or Ed448 without its 32 or 57 octets is not recorded as one."""
    with pytest.raises(InvalidInput, match="wrong length"):
        host_key_fact(blob)


@given(st.integers(1, 2**600))
def test_numbers_are_written_as_asyncssh_writes_them(number: int) -> None:
    """A shared secret enters the exchange hash without leading zeros and never negative, whatever its width was."""
    assert mpint(number.to_bytes(80, "big")) == MPInt(number)
