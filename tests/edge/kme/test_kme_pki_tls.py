"""The PKI and the TLS contexts: who is let in, by which key exchange, and who is not."""

import contextlib
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.pki import Credentials, Identity, Kind, Pki, identity_of, issue_pki, party_of
from keystrand.model.errors import InvalidInput, PolicyDenied

NOW = datetime.now(UTC)
CLIENT_USE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
CA_USAGE = x509.KeyUsage(
    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return an issued PKI."""
    folder = tmp_path_factory.mktemp("pki") / "made"
    return issue_pki(folder, kmes=["kme-a"], saes=["bank/a é"], modules=["m-1"], days=3, now=NOW)


def shake_hands(server: SSL.Context, client: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
    """Return both ends after a handshake in memory."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    for _ in range(4):
        for this, other in (ends[::-1], ends):
            try:
                with contextlib.suppress(SSL.WantReadError):
                    this.do_handshake()
            finally:
                # an alert is passed on before the error that it tells of comes out
                with contextlib.suppress(SSL.WantReadError):
                    other.bio_write(this.bio_read(1 << 16))
    for end in ends:
        end.do_handshake()
    return ends


def test_keys_are_private_and_certificates_follow_the_profile(pki: Pki) -> None:
    """Keys are mode 0600; leaves carry SKI, AKI, critical key usage, EKU by kind, and their identity as URI."""
    for file in pki.folder.glob("*.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ca = tls.read_certificate(pki.ca)
    for kind, name, uses in ((Kind.KME, "kme-a", 2), (Kind.SAE, "bank/a é", 1), (Kind.MODULE, "m-1", 1)):
        leaf = tls.read_certificate(pki.of(kind, name).certificate)
        leaf.verify_directly_issued_by(ca)
        extensions = leaf.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        subject = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert usage.critical
        assert usage.value.digital_signature
        assert not usage.value.key_cert_sign
        assert issuer.key_identifier == subject.digest
        assert len(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
        assert identity_of(leaf) == Identity(kind=kind, id=name)


def test_an_independent_verifier_takes_the_server_certificate(pki: Pki) -> None:
    """The Rust path validation of `cryptography`, with its web profile, accepts a KME's chain for localhost."""
    ca = tls.read_certificate(pki.ca)
    verifier = PolicyBuilder().store(Store([ca])).time(NOW).build_server_verifier(x509.DNSName("localhost"))
    chain = verifier.verify(tls.read_certificate(pki.of(Kind.KME, "kme-a").certificate), [])
    assert chain[-1] == ca


def test_an_authority_is_never_replaced(pki: Pki) -> None:
    """Issuing into a folder that holds an authority is refused and changes nothing; so are lives without sense."""
    before = pki.ca.read_bytes()
    with pytest.raises(InvalidInput, match="authority already"):
        issue_pki(pki.folder, kmes=["x"], saes=[], modules=[], days=1, now=NOW)
    assert pki.ca.read_bytes() == before
    for days, now in ((0, NOW), (1, NOW.replace(tzinfo=None))):
        with pytest.raises(InvalidInput):
            issue_pki(pki.folder / "x", kmes=[], saes=[], modules=[], days=days, now=now)


def certificate_with(*uris: str) -> x509.Certificate:
    """Return a self-signed certificate with these URI names and a misleading common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=urn:keystrand:sae:alice")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("https://example.org/",),
        ("urn:keystrand:sae:a", "urn:keystrand:kme:a"),
        ("urn:keystrand:sae:a", "urn:keystrand:sae:a"),
        ("urn:keystrand:root:a",),
        ("urn:keystrand:sae:",),
        ("urn:keystrand:sae",),
        ("urn:keystrand:sae:a/b",),
        ("urn:keystrand:sae:%61",),
        ("urn:keystrand:sae:a%2f",),
        ("urn:keystrand:sae:%FF",),
    ],
)
def test_identity_is_one_uri_in_its_normal_form_or_nothing(uris: tuple[str, ...]) -> None:
    """No name, several, an unknown kind, an empty ID, or a second spelling: no identity. The CN never counts."""
    with pytest.raises(PolicyDenied):
        identity_of(certificate_with(*uris))


@given(st.sampled_from(Kind), st.text(min_size=1, max_size=30))
def test_every_id_has_one_urn(kind: Kind, name: str) -> None:
    """Any ID comes back from the name it is written as."""
    identity = Identity(kind=kind, id=name)
    assert identity_of(certificate_with(identity.urn)) == identity


def test_both_ends_learn_who_and_by_which_post_quantum_group(pki: Pki) -> None:
    """Without any setting the group is X25519MLKEM768, and each end has the other's verified identity."""
    server, client = shake_hands(
        tls.server_context(pki.of(Kind.KME, "kme-a")), tls.client_context(pki.of(Kind.SAE, "bank/a é"))
    )
    for end, name in ((server, "bank/a é"), (client, "kme-a")):
        peer = tls.established(end)
        assert (peer.identity.id, peer.group, peer.post_quantum) == (name, "X25519MLKEM768", True)
        assert peer.cipher == "TLS_AES_256_GCM_SHA384"
    assert tls.default_group() == "X25519MLKEM768"


@pytest.mark.parametrize("group", ["", "X25519", "ECDH-P-256", "X25519Kyber768Draft00", "something-new"])
def test_a_group_is_post_quantum_only_if_known_to_be(group: str) -> None:
    """Classical, draft, unknown and unnamed groups do not count."""
    assert not tls.is_post_quantum(group)


def test_strangers_and_wrong_roles_fail_in_the_handshake(pki: Pki, tmp_path: Path) -> None:
    """Another authority's leaf, a leaf of ours that names nobody, and an SAE posing as server are all refused."""
    other = issue_pki(tmp_path / "o", kmes=["kme-a"], saes=["bank/a é"], modules=[], days=1, now=NOW)
    kme, sae = pki.of(Kind.KME, "kme-a"), pki.of(Kind.SAE, "bank/a é")
    foreign = other.of(Kind.SAE, "bank/a é")
    posing = Credentials(ca=pki.ca, certificate=foreign.certificate, key=foreign.key)
    for server, client in ((kme, posing), (sae, sae)):
        with pytest.raises(SSL.Error):
            shake_hands(tls.server_context(server), tls.client_context(client))


def signed(pki: Pki, folder: Path, *extensions: x509.ExtensionType, uri: str = "") -> Credentials:
    """Return the files of a leaf with these extensions that the PKI's authority signed; `uri` is its one name."""
    authority_key = (pki.folder / "ca.key").read_bytes()
    key = ec.generate_private_key(ec.SECP256R1())
    ca = tls.read_certificate(pki.ca)
    signer = s.load_pem_private_key(authority_key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder(
            ca.subject, x509.Name.from_rfc4514_string("CN=x"), key.public_key(), 5, NOW, NOW + timedelta(days=1)
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    names = [x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])] if uri else []
    for extension in (*names, *extensions):
        critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical=critical)
    leaf = builder.sign(signer, hashes.SHA256())
    files = Credentials(ca=pki.ca, certificate=folder / "c", key=folder / "k")
    files.certificate.write_bytes(leaf.public_bytes(s.Encoding.PEM))
    files.key.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    return files


def test_a_leaf_of_ours_without_identity_fails_in_the_handshake(pki: Pki, tmp_path: Path) -> None:
    """A certificate that our authority signed but that names no party is refused though its chain is good."""
    with pytest.raises(SSL.Error):
        shake_hands(
            tls.server_context(pki.of(Kind.KME, "kme-a")), tls.client_context(signed(pki, tmp_path, CLIENT_USE))
        )  # fmt: skip


@pytest.mark.parametrize(
    ("extensions", "why"),
    [
        ((), "extended key usage is not that of a sae"),
        ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING, *CLIENT_USE]),), ""),
        ((CLIENT_USE, x509.BasicConstraints(ca=True, path_length=None), CA_USAGE), "an authority's"),
        ((CLIENT_USE, x509.BasicConstraints(ca=False, path_length=None)), ""),
        ((CLIENT_USE,), ""),
    ],
)
def test_a_leaf_needs_the_profile_of_its_kind(
    pki: Pki, tmp_path: Path, extensions: tuple[x509.ExtensionType, ...], why: str
) -> None:
    """A leaf that names a party but not its use, or that may sign others, fails in the handshake, with its reason."""
    files = signed(pki, tmp_path, *extensions, uri="urn:keystrand:sae:x")
    contexts = tls.server_context(pki.of(Kind.KME, "kme-a")), tls.client_context(files)
    if not why:
        server, _ = shake_hands(*contexts)
        assert tls.established(server).valid_until_s == (NOW + timedelta(days=1)).replace(microsecond=0).timestamp()
        return
    with pytest.raises(SSL.Error):
        shake_hands(*contexts)
    with pytest.raises(PolicyDenied, match=why):
        party_of(tls.read_certificate(files.certificate))


def test_a_kme_needs_both_uses(pki: Pki, tmp_path: Path) -> None:
    """A KME's certificate without the use of a server is no KME's."""
    files = signed(pki, tmp_path, CLIENT_USE, uri="urn:keystrand:kme:x")
    with pytest.raises(PolicyDenied, match="extended key usage is not that of a kme"):
        party_of(tls.read_certificate(files.certificate))


def test_older_tls_is_refused(pki: Pki) -> None:
    """A TLS 1.2 client finds no common version."""
    files = pki.of(Kind.SAE, "bank/a é")
    old = SSL.Context(SSL.TLSv1_2_METHOD)
    old.use_certificate_chain_file(str(files.certificate))
    old.use_privatekey_file(str(files.key))
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        shake_hands(tls.server_context(pki.of(Kind.KME, "kme-a")), old)


def test_unusable_files_are_told_by_name(pki: Pki, tmp_path: Path) -> None:
    """A key that does not belong to the certificate, or no file at all, is an input error with the paths."""
    good = pki.of(Kind.KME, "kme-a")
    for bad in (
        Credentials(ca=pki.ca, certificate=good.certificate, key=pki.of(Kind.MODULE, "m-1").key),
        Credentials(ca=pki.ca, certificate=tmp_path / "absent", key=good.key),
    ):
        with pytest.raises(InvalidInput, match="no usable certificate"):
            tls.server_context(bad)


def test_a_certificate_covers_its_own_names_only(pki: Pki) -> None:
    """localhost and 127.0.0.1, whatever the case of the name; nothing else."""
    leaf = tls.read_certificate(pki.of(Kind.KME, "kme-a").certificate)
    assert tls.covers_host(leaf, "LOCALHOST")
    assert tls.covers_host(leaf, "127.0.0.1")
    for host in ("example.org", "127.0.0.2", "::1", "localhost.example.org", ""):
        assert not tls.covers_host(leaf, host)


def test_the_standard_library_can_load_what_we_issue(pki: Pki) -> None:
    """`ssl`, another OpenSSL, accepts chain and key files."""
    files = pki.of(Kind.SAE, "bank/a é")
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate, files.key)
    assert context.cert_store_stats()["x509_ca"] == 1
