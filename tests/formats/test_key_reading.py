"""Keys of every kind of file, against the programs that write them: keytool, gpg, ssh-keygen, openssl."""

import base64
import datetime as dt
import hashlib
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.formats import key_reading, spki
from keystrand.formats.ber import to_der
from keystrand.formats.der import children
from keystrand.formats.key_reading import read, read_large
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Fact, Keystore, Outcome, PublicKey
from keystrand.model.reading import Found, Reading

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
BEGIN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a certificate that `key` signs for itself."""
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 7, BEGIN, BEGIN + dt.timedelta(days=90))
    return builder.sign(key, hashes.SHA256())


CERTIFICATE = certificate(P256)
DER, PEM = CERTIFICATE.public_bytes(Encoding.DER), CERTIFICATE.public_bytes(Encoding.PEM)


def information(key: object) -> bytes:
    """Return the SubjectPublicKeyInfo of a private key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def identity(key: object) -> str:
    """Return the SHA-256 of it."""
    return hashlib.sha256(information(key)).hexdigest()


def facts(content: bytes) -> list[Fact]:
    """Return the facts in `content`."""
    return [one.fact for one in read("file", content).found]


def keys(content: bytes) -> list[tuple[str, bool]]:
    """Return algorithm and whether a private part is there, of each key."""
    return [(one.algorithm, one.private_part_present) for one in facts(content) if isinstance(one, PublicKey)]


def run(*command: str, cwd: Path | None = None) -> bytes:
    """Run a program and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, cwd=cwd, timeout=60).stdout


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where `program` is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.mark.parametrize(
    "quoted",
    [
        json.dumps({"ca": PEM.decode()}).encode(),
        json.dumps(json.dumps({"ca": PEM.decode()})).encode(),
        b"ca: |\n" + b"".join(b"      " + line + b"\n" for line in PEM.splitlines()),
        b'String CA =\n    "' + b'\\n" +\n    "'.join(PEM.splitlines()) + b'\\n";\n',
        b"# " + PEM.rstrip().replace(b"\n", b"\n# ") + b"\n",
        b"<ca>" + PEM.replace(b"\n", b"&#13;&#10;") + b"</ca>",
        b"> " + PEM.rstrip().replace(b"\n", b"\r\n> "),
        b"CERT='" + PEM.strip() + b"'",
        b"noise \x00\xff" + PEM + b"\x00 more",
    ],
    ids=["json", "json in json", "yaml", "java", "comment", "xml", "mail", "shell", "binary"],
)
def test_pem_is_found_in_any_text(quoted: bytes) -> None:
    """The same certificate, quoted as programs and people quote it."""
    (one, _) = facts(quoted)
    assert isinstance(one, Certificate)
    assert one.sha256 == CERTIFICATE.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    "text",
    [
        b'HEADER = "-----BEGIN CERTIFICATE-----"\nFOOTER = "-----END CERTIFICATE-----"\n',
        b'if line.startswith("-----BEGIN RSA PRIVATE KEY-----"):\n    pass\n',
        b"grep -- '-----BEGIN CERTIFICATE-----' file",
    ],
)
def test_text_about_pem_is_no_object(text: bytes) -> None:
    """Code that looks for keys is no key, and no damaged key either."""
    assert read("code.py", text) == Reading()


@pytest.mark.parametrize("start", [0, 5, 4097])
def test_certificates_inside_programs_are_found_at_their_offset(start: int) -> None:
    """A DER certificate in the data of a program stands at its octet."""
    between = b"\xa0\x03\x02\x01\x02\x02 no certificate"
    content = b"\x7fELF" + bytes(start) + DER + between + DER
    places = [one.where for one in read("a.out", content).found if isinstance(one.fact, Certificate)]
    assert places == [f"@{4 + start:#x}", f"@{4 + start + len(DER + between):#x}"]


def windowed(content: bytes, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the places of certificates in a large file that is read in small windows."""
    monkeypatch.setattr(key_reading, "_WINDOW", 5000)
    monkeypatch.setattr(key_reading, "_OVERLAP", 2000)
    found = list(read_large("dump", io.BytesIO(content)))
    assert isinstance(found[-1], Reading)
    return [one.where for one in found if isinstance(one, Found) and isinstance(one.fact, Certificate)]


@pytest.mark.parametrize("at", [0, 1, 2999, 3000, 4000, 4990, 5000, 5001, 7999, 12_345])
def test_objects_across_the_borders_of_windows_are_found_once(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a certificate stands in a large file, it is found, at its offset, once."""
    assert windowed(b"\n" * at + PEM + b"\n" * 9000, monkeypatch) == [f"@{at:#x}"]
    assert windowed(b"x" * at + DER + b"x" * 9000, monkeypatch) == [f"@{at:#x}"]


@given(st.integers(0, 20_000), st.integers(0, 20_000))
@settings(max_examples=40, deadline=None)
def test_two_objects_in_a_large_file(first: int, gap: int) -> None:
    """Two certificates, at any distance: both are found once."""
    with pytest.MonkeyPatch.context() as patch:
        expected = [f"@{first:#x}", f"@{first + len(PEM) + gap:#x}"]
        assert windowed(b"\n" * first + PEM + b"\n" * gap + PEM, patch) == expected


@needs("keytool")
@pytest.mark.parametrize("form", ["JKS", "JCEKS"])
def test_javas_stores_are_read_without_a_password(tmp_path: Path, form: str) -> None:
    """keytool's stores: the private key by its certificate, and each certificate, with a password nobody tries."""
    store = str(tmp_path / "store")
    common = ("-keystore", store, "-storetype", form, "-storepass", "a long secret", "-noprompt")
    run("keytool", "-genkeypair", "-alias", "own", "-keyalg", "EC", "-groupname", "secp384r1", "-dname", "CN=own",
        "-keypass", "a long secret", *common)  # fmt: skip
    (tmp_path / "ca.pem").write_bytes(PEM)
    run("keytool", "-importcert", "-alias", "ca", "-file", str(tmp_path / "ca.pem"), *common)
    content = Path(store).read_bytes()
    found = facts(content)
    assert found[0] == Keystore(format=form, entries=2, encrypted=True)
    own = {one.spki_sha256 for one in found if isinstance(one, Certificate) and one.subject == "CN=own"}
    (key,) = [one for one in found if isinstance(one, PublicKey)]
    assert (key.algorithm, key.private_part_present, {key.sha256}) == ("ECDSA-P-384", True, own)
    assert CERTIFICATE.fingerprint(hashes.SHA256()).hex() in {
        one.sha256 for one in found if isinstance(one, Certificate)
    }
    cut = read("cut.jks", content[:-300])
    assert "not read to its end" in cut.reason


@needs("keytool")
def test_keytools_own_pkcs12_opens_with_the_usual_passwords(tmp_path: Path) -> None:
    """A store that Java made with `changeme` is opened; with another password it is recorded as present."""
    for password, entries in (("changeme", 2), ("a long secret", None)):
        store = tmp_path / password
        run("keytool", "-genkeypair", "-alias", "own", "-keyalg", "RSA", "-dname", "CN=own", "-keystore", str(store),
            "-storetype", "PKCS12", "-storepass", password)  # fmt: skip
        (held,) = [one for one in facts(store.read_bytes()) if isinstance(one, Keystore)]
        assert held == Keystore(format="PKCS#12", entries=entries, encrypted=True)


def test_certificates_in_clear_in_a_locked_store() -> None:
    """A store whose key alone is encrypted shows its certificates, though no password opens it."""
    builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    made = pkcs12.serialize_key_and_certificates(b"w", P256, CERTIFICATE, None, builder.build(b"secret"))
    assert isinstance(facts(made)[0], Keystore)
    assert "3DES-168-CBC" in {one.algorithm for one in facts(made) if isinstance(one, AlgorithmUse)}


@needs("openssl")
def test_openssls_store_with_certificates_in_clear(tmp_path: Path) -> None:
    """`openssl pkcs12 -certpbe NONE`: the certificate is told, the store is locked."""
    (tmp_path / "web.pem").write_bytes(PEM + P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    run("openssl", "pkcs12", "-export", "-certpbe", "NONE", "-in", "web.pem", "-out", "web.p12", "-passout",
        "pass:a long secret", cwd=tmp_path)  # fmt: skip
    found = facts((tmp_path / "web.p12").read_bytes())
    assert found[0] == Keystore(format="PKCS#12", entries=None, encrypted=True)
    assert CERTIFICATE.fingerprint(hashes.SHA256()).hex() in {
        one.sha256 for one in found if isinstance(one, Certificate)
    }


@needs("openssl")
def test_openssls_signatures_in_ber_and_der(tmp_path: Path) -> None:
    """A detached signature, streamed with open lengths or not: its certificate and its signer's algorithm."""
    (tmp_path / "web.pem").write_bytes(PEM + P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "text").write_bytes(b"text")
    for name, more in {"der": (), "ber": ("-stream", "-nodetach")}.items():
        run("openssl", "cms", "-sign", "-binary", "-in", "text", "-signer", "web.pem", "-outform", "DER", "-out", name,
            *more, cwd=tmp_path)  # fmt: skip
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x30\x80") == (name == "ber")
        found = facts(content)
        assert [one.subject for one in found if isinstance(one, Certificate)] == ["CN=web"]
        assert AlgorithmUse(algorithm="ECDSA", function=Function.SIGNATURE) in found


def test_requests_and_revocations() -> None:
    """A request names the key it is for; a list of revoked certificates what it is signed with; in PEM and DER."""
    wanted = x509.CertificateSigningRequestBuilder(NAME).sign(RSA, hashes.SHA256())
    revoked = x509.CertificateRevocationListBuilder(NAME, BEGIN, BEGIN + dt.timedelta(days=7)).sign(
        P256, hashes.SHA256()
    )
    for encoding in (Encoding.PEM, Encoding.DER):
        key, use = facts(wanted.public_bytes(encoding))
        assert key == PublicKey(sha256=identity(RSA), algorithm="RSA-2048", bits=2048)
        assert use == AlgorithmUse(algorithm="RSA", function=Function.SIGNATURE)
        assert facts(revoked.public_bytes(encoding)) == [AlgorithmUse(algorithm="ECDSA", function=Function.SIGNATURE)]


@needs("ssh-keygen")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_keys_in_all_their_files(tmp_path: Path, kind: str) -> None:
    """Public key, known hosts, authorised keys and the private file are one key; each stands at its line."""
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "me", "-f", "key", cwd=tmp_path)
    public = (tmp_path / "key.pub").read_bytes()
    library = load_ssh_public_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = hashlib.sha256(library).hexdigest()
    line = b" ".join(public.split()[:2])
    for content, where in (
        (public, ":1"),
        (b"# hosts\nweb.example,192.0.2.1 " + line + b"\n", ":2"),
        (b"\n\n" + b'command="ls",no-pty ' + public, ":3"),
    ):
        (found,) = read("file", content).found
        assert (found.where, found.fact.sha256) == (where, expected)  # type: ignore[union-attr]
    (private,) = facts((tmp_path / "key").read_bytes())
    assert isinstance(private, PublicKey)
    assert (private.sha256, private.private_part_present) == (expected, True)
    ssh2 = run("ssh-keygen", "-e", "-f", "key.pub", cwd=tmp_path)
    assert [one.sha256 for one in facts(ssh2)] == [expected]  # type: ignore[union-attr]


@needs("ssh-keygen")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_certificates_name_both_keys(tmp_path: Path, kind: str) -> None:
    """OpenSSH's certificate: the key that it is for, and the authority's."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ca", cwd=tmp_path)
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", "key", cwd=tmp_path)
    run("ssh-keygen", "-q", "-s", "ca", "-I", "id", "-n", "a,b", "-V", "+1d", "key.pub", cwd=tmp_path)
    certified = facts((tmp_path / "key-cert.pub").read_bytes())
    plain = [facts((tmp_path / name).read_bytes())[0] for name in ("key.pub", "ca.pub")]
    assert certified == plain


@needs("gpg")
def test_gnupgs_keys_are_the_keys_that_gpg_lists() -> None:
    """Keys of every family that GnuPG makes: armored, binary, secret, and in its keybox."""
    home = Path(os.fsdecode(run("mktemp", "-d").strip()))  # its sockets want a short path
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "")
    try:
        for name, algorithm in (("a", "rsa2048"), ("b", "ed25519"), ("c", "nistp256"), ("d", "dsa2048")):
            run(*gpg, "--quick-generate-key", name, algorithm, "default", "never")
        run(*gpg, "--quick-generate-key", "e", "future-default", "default", "never")
        rows = [row.split(b":") for row in run(*gpg, "--list-keys", "--with-colons").splitlines()]
        listed = sorted((int(row[3]), int(row[2])) for row in rows if row[0] in (b"pub", b"sub"))
        binary, armored = run(*gpg, "--export"), run(*gpg, "--export", "--armor")
        secret = run(*gpg, "--export-secret-keys")
        keybox = (home / "pubring.kbx").read_bytes()
    finally:
        shutil.rmtree(home)
    public = keys(binary)
    assert len(public) == len(listed)
    assert sorted(name for name, _ in public) == sorted(name for name, _ in keys(armored))
    assert sorted(name for name, _ in keys(keybox)) == sorted(name for name, _ in public)
    assert keys(secret) == [(name, True) for name, _ in public]
    assert {name for name, _ in public} == {"RSA-2048", "Ed25519", "ECDSA-P-256", "DSA-2048", "X25519"}


def packet(number: int, material: bytes, version: int = 6, tag: int = 6) -> bytes:
    """Return an OpenPGP key packet."""
    size = len(material).to_bytes(4, "big") if version == 6 else b""
    body = bytes([version]) + bytes(4) + bytes([number]) + size + material
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("number", "octets", "name"),
    [
        (30, 1984, "ML-DSA-65+Ed25519"),
        (31, 2649, "ML-DSA-87+Ed448"),
        (32, 32, "SLH-DSA-SHAKE-128s"),
        (34, 64, "SLH-DSA-SHAKE-256s"),
        (35, 1216, "ML-KEM-768+X25519"),
        (36, 1624, "ML-KEM-1024+X448"),
        (25, 32, "X25519"),
        (28, 57, "Ed448"),
    ],
)
def test_openpgp_version_6_and_post_quantum_keys(number: int, octets: int, name: str) -> None:
    """Keys as RFC 9580 and RFC 9980 lay them out; a secret one shares the identity of its public part."""
    material = bytes(n % 251 for n in range(octets))
    (public,) = facts(packet(number, material))
    (private,) = facts(packet(number, material + b"\0" + bytes(64), tag=5))
    assert isinstance(public, PublicKey)
    assert isinstance(private, PublicKey)
    assert (public.algorithm, public.sha256) == (name, private.sha256)
    assert private.private_part_present
    assert read("cut", packet(6, b"")) == Reading()


def b64(octets: bytes) -> str:
    """Return base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def test_json_web_keys() -> None:
    """RSA, EC, OKP and ML-DSA keys, alone and in a set deep in a document; private parts are only noticed."""
    numbers, point = RSA.public_key().public_numbers(), P256.public_key().public_numbers()
    ml_dsa = mldsa.MLDSA65PrivateKey.generate()
    raw_ed, raw_ml = (key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (ED25519, ml_dsa))
    document = {"deep": [{"keys": [
        {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB", "d": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big")),
         "x5c": [base64.b64encode(DER).decode()]},
        {"kty": "OKP", "crv": "Ed25519", "x": b64(raw_ed)},
        {"kty": "AKP", "alg": "ML-DSA-65", "pub": b64(raw_ml)},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}]}  # fmt: skip
    found = facts(json.dumps(document).encode())
    assert [one.sha256 for one in found if isinstance(one, PublicKey)] == list(
        map(identity, (RSA, P256, ED25519, ml_dsa))
    )
    assert [one.private_part_present for one in found if isinstance(one, PublicKey)] == [True, False, False, False]
    assert CERTIFICATE.fingerprint(hashes.SHA256()).hex() in {
        one.sha256 for one in found if isinstance(one, Certificate)
    }
    assert found[-1] == AlgorithmUse(algorithm="HMAC-SHA-256", function=Function.MAC)
    assert b"c2VjcmV0" not in repr(found).encode()


def test_minisign_and_age() -> None:
    """A minisign public key is Ed25519; age's example recipient, and one with a wrong checksum."""
    raw = ED25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    line = base64.b64encode(b"Ed" + bytes(8) + raw)
    (found,) = read("k.pub", b"\nuntrusted comment: minisign public key 1\n" + line + b"\n").found
    assert (found.where, found.fact) == (":2", PublicKey(sha256=identity(ED25519), algorithm="Ed25519"))
    recipient = bech32("age", x25519.X25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw())
    expected = x25519.X25519PrivateKey.from_private_bytes(bytes(32))
    text = b"# public key: " + recipient.encode() + b"\nAGE-SECRET-KEY-1" + b"Q" * 58 + b"\n"
    found_keys = facts(text)
    assert found_keys[0] == PublicKey(sha256=identity(expected), algorithm="X25519")
    assert found_keys[1] == Keystore(format="age", entries=1, encrypted=False)
    assert facts(text.replace(recipient[-1:].encode(), b"q" if recipient[-1] != "q" else b"p"))[:1] != found_keys[:1]


def bech32(prefix: str, octets: bytes) -> str:
    """Return `octets` in Bech32, written apart from the reader: by polynomial division over a list of bits."""
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    bits = "".join(f"{octet:08b}" for octet in octets)
    values = [int(bits[at : at + 5].ljust(5, "0"), 2) for at in range(0, len(bits), 5)]
    state = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values + [0] * 6:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= term if top >> bit & 1 else 0
    check = [(state ^ 1) >> 5 * (5 - n) & 31 for n in range(6)]
    return f"{prefix}1" + "".join(letters[value] for value in values + check)


def test_public_keys_rebuilt_from_their_parts() -> None:
    """The forms that other formats are turned into are those of the library, octet for octet."""
    numbers = RSA.public_key().public_numbers()
    assert spki.rsa(numbers.n.to_bytes(300, "big"), b"\1\0\1") == information(RSA)
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert spki.on_curve("1.2.840.10045.3.1.7", point) == information(P256)
    assert spki.raw("Ed25519", ED25519.public_key().public_bytes_raw()) == information(ED25519)


def test_a_bks_store_is_read_as_bouncy_castle_writes_it() -> None:
    """One trusted certificate and one sealed key with its chain; the layout is Bouncy Castle's."""

    def text(value: bytes) -> bytes:
        return len(value).to_bytes(2, "big") + value

    def block(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    coded = text(b"X.509") + block(DER)
    head = (2).to_bytes(4, "big") + block(bytes(20)) + (1024).to_bytes(4, "big")
    trusted = b"\1" + text(b"ca") + bytes(8) + bytes(4) + coded
    sealed = b"\4" + text(b"own") + bytes(8) + (1).to_bytes(4, "big") + coded + block(b"sealed")
    found = facts(head + trusted + sealed + b"\0" + bytes(20))
    assert found[0] == Keystore(format="BKS", entries=2, encrypted=True)
    assert len([one for one in found if isinstance(one, Certificate)]) == 2


SIGNED = bytes.fromhex("308006092a864886f70d010702a0803080")
SAMPLES = [
    PEM,
    DER,
    bytes.fromhex("feedfeed00000002000000030000000200 00"),
    packet(30, bytes(1984)),
    packet(1, b"\x08\0" * 9, 4),
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + b"A" * 43,
    b'{"kty":"RSA","n":"AQAB","e":"AQAB"}',
    b"\0\0\0\x20\1\0\0\0KBXf" + bytes(20),
    SIGNED,
    b"\0\0\0\1\0\0\0\x14" + bytes(20) + b"\0\0\4\0\1\0\1a",
    b"age1" + b"q" * 58,
]


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_no_reader_raises(content: bytes, choices: st.DataObject) -> None:
    """Whatever is changed, cut or put behind it, a reading comes back, and says something where it is not none."""
    damaged = bytearray(content)
    changes = choices.draw(st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4))
    for at, value in changes.items():
        damaged[at] = value
    made = bytes(damaged[: choices.draw(st.integers(1, len(content)))]) + choices.draw(st.binary(max_size=20))
    reading = read("file", made)
    assert reading.outcome is Outcome.SEEN or not reading.found
    assert reading.outcome in (Outcome.SEEN, Outcome.NONE) or reading.reason


@needs("openssl")
def test_enveloped_messages_tell_what_they_are_encrypted_with(tmp_path: Path) -> None:
    """A message to an RSA key: the cipher, and how its key is sent; in PEM under either name, in DER and in BER."""
    (tmp_path / "rsa.pem").write_bytes(certificate(RSA).public_bytes(Encoding.PEM))
    (tmp_path / "text").write_bytes(b"text")
    expected = [
        AlgorithmUse(algorithm="RSA-KEX", function=Function.KEY_ESTABLISHMENT),
        AlgorithmUse(algorithm="AES-256-CBC", function=Function.ENCRYPTION),
    ]
    for form, more in (("PEM", ()), ("DER", ()), ("DER", ("-stream",))):
        run("openssl", "cms", "-encrypt", "-aes256", "-in", "text", "-outform", form, "-out", "out", *more, "rsa.pem",
            cwd=tmp_path)  # fmt: skip
        assert facts((tmp_path / "out").read_bytes()) == expected


def test_encapsulated_keys_of_messages_are_named() -> None:
    """A recipient by ML-KEM (RFC 9629, RFC 9936): the encapsulation is named, and the cipher."""
    one = spki.encoded
    kem = one(0x30, spki.oid_element("2.16.840.1.101.3.4.4.2"))
    recipient = one(0x30, b"\2\1\0", one(0x80, bytes(20)), kem, one(4, bytes(1088)), one(0x30), b"\2\1\x20", one(0x30),
                    one(4, bytes(40)))  # fmt: skip
    other = one(0xA4, spki.oid_element("1.2.840.113549.1.9.16.13.3"), recipient)
    cipher = one(0x30, spki.oid_element("2.16.840.1.101.3.4.1.46"), one(0x30, one(4, bytes(12))))
    content = one(0x30, spki.oid_element("1.2.840.113549.1.7.1"), cipher, one(0x80, b"secret"))
    message = one(0x30, b"\2\1\3", one(0x31, other), content)
    whole = one(0x30, spki.oid_element("1.2.840.113549.1.7.3"), one(0xA0, message))
    assert facts(whole) == [
        AlgorithmUse(algorithm="ML-KEM-768", function=Function.KEY_ESTABLISHMENT),
        AlgorithmUse(algorithm="AES-256-GCM", function=Function.ENCRYPTION),
    ]


def test_what_only_looks_like_certificates_is_left_in_time() -> None:
    """A file full of begins of certificates, each as long as may be, is not gone through without end."""
    begin = b"\x30\x83\x03\xff\xf0\x30\x83\x03\xff\xe0\xa0\x03\x02\x01\x02\x02"
    reading = read("a.out", b"\x7fELF" + begin * 100_000)
    assert reading.found == ()
    assert "was left" in reading.reason


@pytest.mark.parametrize("filler", [b"\\" * 2_000_000, b"&#" * 500_000, b"a:\n" * 300_000, b'" + "' * 200_000])
def test_long_runs_inside_a_block_take_linear_time(filler: bytes) -> None:
    """Escapes, references, header lines and signs of code without end: one object, and no more."""
    block = b"-----BEGIN CERTIFICATE-----\n" + filler + b"\n-----END CERTIFICATE-----\n"
    assert read("a.pem", block).found == ()


def in_ber(der: bytes, pieces: int) -> bytes:
    """Return `der` with open lengths, and its strings of octets in pieces: as programs write that do not look back."""
    made = b""
    for part in children(der):
        if part.tag & 0x20:
            made += bytes([part.tag, 0x80]) + in_ber(part.content, pieces) + b"\0\0"
        elif part.tag == 4 and part.content:
            cut = [part.content[at : at + pieces] for at in range(0, len(part.content), pieces)]
            made += b"\x24\x80" + b"".join(spki.encoded(4, one) for one in cut) + b"\0\0"
        else:
            made += part.raw
    return made


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_stores_of_open_lengths_are_opened(pieces: int) -> None:
    """A PKCS#12 store in BER holds what it holds in DER, and is DER again when its lengths are closed."""
    store = pkcs12.serialize_key_and_certificates(b"w", P256, CERTIFICATE, None, NoEncryption())
    loose = in_ber(store, pieces)
    assert loose != store
    assert to_der(loose) == store
    assert facts(loose) == facts(store)
    assert [type(one) for one in facts(loose)] == [Certificate, AlgorithmUse, PublicKey, Keystore]


@pytest.mark.parametrize("form", ["pkcs8", "pkcs12", "openssh", "jwk"])
def test_no_octet_of_a_private_number_comes_out(form: str) -> None:
    """Whatever the container, no window of eight octets of the private exponent is in what is told."""
    exponent = RSA.private_numbers().d.to_bytes(256, "big")
    content = {
        "pkcs8": lambda: RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "pkcs12": lambda: pkcs12.serialize_key_and_certificates(b"w", RSA, certificate(RSA), None, NoEncryption()),
        "openssh": lambda: RSA.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "jwk": lambda: json.dumps({"kty": "RSA", "n": b64(RSA.private_numbers().public_numbers.n.to_bytes(256, "big")),
                                   "e": "AQAB", "d": b64(exponent)}).encode(),
    }[form]()  # fmt: skip
    reading = read("file", content)
    assert any(isinstance(one.fact, PublicKey) and one.fact.private_part_present for one in reading.found)
    said = repr(reading)
    assert not any(exponent[at : at + 8].hex() in said for at in range(249))
    assert b64(exponent)[:12] not in said


@needs("openssl")
def test_signed_and_enveloped_mail(tmp_path: Path) -> None:
    """S/MIME as openssl writes it: the signature's certificate, and what a message is encrypted with."""
    (tmp_path / "web.pem").write_bytes(PEM + P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "rsa.pem").write_bytes(certificate(RSA).public_bytes(Encoding.PEM))
    (tmp_path / "text").write_bytes(b"Content-Type: text/plain\n\ntext\n")
    run("openssl", "cms", "-sign", "-in", "text", "-signer", "web.pem", "-out", "signed.eml", cwd=tmp_path)
    run("openssl", "cms", "-encrypt", "-aes128", "-in", "text", "-out", "sealed.eml", "rsa.pem", cwd=tmp_path)
    signed = facts((tmp_path / "signed.eml").read_bytes())
    assert [one.subject for one in signed if isinstance(one, Certificate)] == ["CN=web"]
    sealed = facts((tmp_path / "sealed.eml").read_bytes())
    assert [one.algorithm for one in sealed if isinstance(one, AlgorithmUse)] == ["RSA-KEX", "AES-128-CBC"]


def test_pem_in_base64_as_kubernetes_keeps_it() -> None:
    """A secret's certificate, chain and key, each at its line; something else in base64 is nothing of ours."""
    key = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = base64.b64encode(PEM + certificate(RSA).public_bytes(Encoding.PEM)).decode()
    secret = f"kind: Secret\ndata:\n  tls.crt: {chain}\n  tls.key: {base64.b64encode(key).decode()}\n"
    found = read("secret.yaml", secret.encode()).found
    places = [(one.where, type(one.fact)) for one in found if not isinstance(one.fact, AlgorithmUse)]
    assert places == [(":3", Certificate), (":3", Certificate), (":4", PublicKey)]
    assert facts(b"data: " + base64.b64encode(b"nothing of ours in here, whatever it is, truly")) == []


@pytest.mark.parametrize("name", ["cut.der", "CUT.P12", "cut.p7b", "cut.crt"])
def test_a_file_that_is_cut_off_is_unparsable_and_not_empty(name: str) -> None:
    """What its name promises is missing, and that is told; a file of nothing, or of another name, is just that."""
    cut = bytes.fromhex("308202f9308201e1a003020102021468")
    reading = read(name, cut)
    assert (reading.outcome, reading.found) == (Outcome.UNPARSABLE, ())
    assert "nothing could be read" in reading.reason
    assert {read(name, b"# no certificates here\n").outcome, read("cut.bin", cut).outcome} == {Outcome.NONE}
