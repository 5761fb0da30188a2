"""The PKI and the TLS contexts: who is let in, by which key exchange, and who is not."""

import contextlib
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.pki import (
    Algorithm,
    Authority,
    Credentials,
    Identity,
    Kind,
    Pki,
    identity_of,
    issue,
    issue_pki,
    party_of,
    read_revocations,
    renew_crl,
    revoke,
)
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
    return issue_pki(
        folder, kmes=["kme-a"], saes=["bank/a é"], modules=["m-1"], operators=["duty"], days=3, now=NOW
    )  # fmt: skip


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
    for kind, name, uses in (
        (Kind.KME, "kme-a", 2),
        (Kind.SAE, "bank/a é", 1),
        (Kind.MODULE, "m-1", 1),
        (Kind.OPERATOR, "duty", 1),
    ):
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


def certificate_with(*uris: str, subject: str = "CN=urn:keystrand:sae:alice") -> x509.Certificate:
    """Return a self-signed certificate with these URI names and a misleading common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(subject)
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
        ("URN:keystrand:sae:a",),
        ("urn:Keystrand:sae:a",),
    ],
)
def test_identity_is_one_uri_in_its_normal_form_or_nothing(uris: tuple[str, ...]) -> None:
    """No name, several, an unknown kind, an empty ID, or a second spelling: no identity. The CN never counts."""
    with pytest.raises(PolicyDenied):
        identity_of(certificate_with(*uris))


@pytest.mark.parametrize(
    ("subject", "uris", "sae"),
    [
        ("CN=alice", (), "alice"),
        ("CN=alice,O=Bank", ("https://example.org/",), "alice"),
        ("CN=bank/a é", (), "bank/a é"),
        ("CN=alice", ("urn:keystrand:sae:bob",), "bob"),
        ("CN=alice", ("urn:keystrand:sae:",), ""),
        ("CN=alice", ("URN:KEYSTRAND:kme:a",), ""),
        ("CN=alice", ("urn:keystrand:sae:a", "urn:keystrand:sae:b"), ""),
        ("CN=urn:keystrand:kme:a", (), ""),
        ("CN=Urn:other", (), ""),
        ("CN=alice+CN=bob", (), ""),
        ("O=Bank", (), ""),
        ("CN=\\ alice", (), ""),
        ("CN=al\u200bice", (), ""),
    ],
)
def test_a_common_name_names_an_sae_only_where_that_is_configured(
    subject: str, uris: tuple[str, ...], sae: str
) -> None:
    """One plain common name of a leaf without any URI of ours; a URI always decides, a wrong one too."""
    certificate = certificate_with(*uris, subject=subject)
    if sae:
        assert identity_of(certificate, common_name_saes=True) == Identity(kind=Kind.SAE, id=sae)
    else:
        with pytest.raises(PolicyDenied):
            identity_of(certificate, common_name_saes=True)
    if not [uri for uri in uris if uri.startswith("urn:keystrand:")]:
        with pytest.raises(PolicyDenied):
            identity_of(certificate)


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
        kind = Kind.SAE if name == "bank/a é" else Kind.KME
        leaf = tls.read_certificate(pki.of(kind, name).certificate)
        assert (peer.serial, peer.fingerprint) == (leaf.serial_number, leaf.fingerprint(hashes.SHA256()))
        assert peer.issuer == "CN=keystrand authority"
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
        with pytest.raises(InvalidInput, match="no usable certificate") as caught:
            tls.server_context(bad)
        absent = not bad.certificate.exists()
        assert caught.value.message.endswith(f": {bad.certificate} cannot be read") is absent


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


# Revocation


def with_crl(pki: Pki, kind: Kind, name: str, crl: Path | None = None) -> Credentials:
    """Return a party's files with a revocation list, its authority's own where none is named."""
    return replace(pki.of(kind, name), crl=crl or pki.crl)


def refused(server: SSL.Context, client: SSL.Context) -> tuple[str, str]:
    """Return why each end refused the other; empty for the one that did not."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    why: list[str] = ["", ""]
    for _ in range(4):
        for this, other in ((1, 0), (0, 1)):
            try:
                ends[this].do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                if not any(why):
                    why[this] = tls.refusal_of(ends[this], error)
            with contextlib.suppress(SSL.WantReadError):
                ends[other].bio_write(ends[this].bio_read(1 << 16))
    return why[0], why[1]


def test_a_revoked_certificate_fails_in_the_handshake_at_either_end(tmp_path: Path) -> None:
    """With the authority's list, a revoked client and a revoked server are refused, others are not, and it says why."""
    pki = issue_pki(tmp_path / "p", kmes=["a", "b"], saes=["x", "y"], days=3, now=NOW)
    for kind, name in ((Kind.KME, "b"), (Kind.SAE, "y")):
        assert [one.identity.id for one in revoke(pki, Identity(kind=kind, id=name), now=NOW)] == [name]
    server, client = with_crl(pki, Kind.KME, "a"), with_crl(pki, Kind.SAE, "x")
    shake_hands(tls.server_context(server), tls.client_context(client))
    gone = "its certificate was revoked"
    assert refused(tls.server_context(server), tls.client_context(pki.of(Kind.SAE, "y"))) == (gone, "")
    assert refused(tls.server_context(pki.of(Kind.KME, "b")), tls.client_context(client)) == ("", gone)
    # whoever has no list does not know
    shake_hands(tls.server_context(pki.of(Kind.KME, "a")), tls.client_context(pki.of(Kind.SAE, "y")))


def test_an_expired_or_foreign_list_lets_nobody_in(tmp_path: Path) -> None:
    """Where a list is configured, only a valid one of the leaf's own authority will do; the reason says what it is."""
    pki = issue_pki(tmp_path / "p", kmes=["a"], saes=["x"], days=9, now=NOW - timedelta(days=3))
    other = issue_pki(tmp_path / "o", kmes=[], saes=[], algorithm=Algorithm.ML_DSA_65, days=3, now=NOW)
    client = tls.client_context(pki.of(Kind.SAE, "x"))

    def why(crl: Path) -> str:
        return refused(tls.server_context(with_crl(pki, Kind.KME, "a", crl)), client)[0]

    foreign = tmp_path / "foreign.crl"
    namesake = Authority.new(Algorithm.ECDSA_P256, days=3, now=NOW).revocations([], days=3, now=NOW)
    foreign.write_bytes(namesake.public_bytes(s.Encoding.PEM))
    assert why(pki.crl) == ""
    # another authority's, of the same name
    assert why(foreign) == "there is no revocation list of its authority"
    both = tmp_path / "both.crl"
    both.write_bytes(other.crl.read_bytes() + pki.crl.read_bytes())
    assert why(both) == ""
    renew_crl(pki, days=1, now=NOW - timedelta(days=2))
    assert why(pki.crl) == "the revocation list of its authority has expired: renew it"
    renew_crl(pki, days=9, now=NOW + timedelta(days=2))
    assert why(pki.crl) == "the revocation list of its authority is not valid yet"


@pytest.mark.parametrize(
    "content", [None, b"", b"nonsense", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"]
)
def test_a_list_that_cannot_be_read_is_an_input_error(pki: Pki, tmp_path: Path, content: bytes | None) -> None:
    """A server does not start without the list it was told to use."""
    crl = tmp_path / "ca.crl"
    if content is not None:
        crl.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"ca\.crl"):
        tls.server_context(with_crl(pki, Kind.KME, "kme-a", crl))


def test_what_a_list_names_is_known_without_openssl(pki: Pki, tmp_path: Path) -> None:
    """Open connections are looked up by issuer and serial number: the same number of another issuer is another one."""
    made = issue_pki(tmp_path / "p", kmes=[], saes=["x"], days=3, now=NOW)
    (gone,) = revoke(made, Identity(kind=Kind.SAE, id="x"), now=NOW)
    revoked = read_revocations(made.crl)[1]
    peer = tls.Peer(
        identity=gone.identity, group="", cipher="", valid_until_s=0.0, serial=gone.serial,
        issuer="CN=keystrand authority",
    )  # fmt: skip
    assert revoked.names(peer)
    assert not revoked.names(replace(peer, serial=gone.serial + 1))
    assert not revoked.names(replace(peer, issuer="CN=other"))
    assert not read_revocations(pki.crl)[1].names(peer)


# Signatures


@pytest.mark.parametrize("authority", Algorithm)
@pytest.mark.parametrize("server", Algorithm)
@pytest.mark.parametrize("client", Algorithm)
def test_every_mixture_of_signatures_shakes_hands(
    tmp_path: Path, authority: Algorithm, server: Algorithm, client: Algorithm
) -> None:
    """ECDSA P-256 and ML-DSA-65 for authority, server and client, with revocation lists, over X25519MLKEM768."""
    pki = issue_pki(tmp_path / "p", kmes=[], saes=[], algorithm=authority, days=3, now=NOW)
    issue(pki, Identity(kind=Kind.KME, id="a"), algorithm=server, days=2, now=NOW)
    issue(pki, Identity(kind=Kind.SAE, id="x"), algorithm=client, days=2, now=NOW)
    ends = shake_hands(
        tls.server_context(with_crl(pki, Kind.KME, "a")), tls.client_context(with_crl(pki, Kind.SAE, "x"))
    )
    assert [tls.established(end).group for end in ends] == ["X25519MLKEM768"] * 2
    key = tls.read_certificate(pki.of(Kind.KME, "a").certificate).public_key()
    assert isinstance(key, mldsa.MLDSA65PublicKey) == (server is Algorithm.ML_DSA_65)


@pytest.mark.system
def test_another_openssl_takes_chain_and_list(tmp_path: Path) -> None:
    """`openssl verify`, strict and with the list, accepts what is valid and refuses what was revoked."""
    pki = issue_pki(tmp_path / "p", kmes=["a"], saes=["x"], days=3, now=NOW)
    revoke(pki, Identity(kind=Kind.SAE, id="x"), now=NOW)

    def verify(files: Credentials) -> str:
        words = ["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", str(pki.ca), "-CRLfile", str(pki.crl)]
        made = subprocess.run([*words, str(files.certificate)], capture_output=True, text=True, check=False)
        return made.stderr

    assert verify(pki.of(Kind.KME, "a")) == ""
    assert "certificate revoked" in verify(pki.of(Kind.SAE, "x"))


# Common names and what cannot be read


def test_a_common_name_counts_for_a_server_that_says_so(pki: Pki, tmp_path: Path) -> None:
    """The leaf of an older PKI is an SAE to a server that takes common names, and nobody to any other, and no KME."""
    files = signed(pki, tmp_path, CLIENT_USE)
    kme, client = pki.of(Kind.KME, "kme-a"), tls.client_context(files)
    server, _ = shake_hands(tls.server_context(kme, common_name_saes=True), client)
    assert tls.established(server).identity == Identity(kind=Kind.SAE, id="x")
    assert "names where it must hold one" in refused(tls.server_context(kme), client)[0]
    both = x509.ExtendedKeyUsage([*CLIENT_USE, ExtendedKeyUsageOID.SERVER_AUTH])
    serving = tls.server_context(signed(pki, tmp_path, both))
    assert "names where it must hold one" in refused(serving, tls.client_context(pki.of(Kind.SAE, "bank/a é")))[1]


@pytest.mark.parametrize(
    "names", ["3003a30130", "30028102", "3007860575726e3aff", "30108608" + "41" * 8 + "86044242ff42"]
)
@pytest.mark.parametrize("common_name_saes", [False, True])
def test_names_that_cannot_be_read_are_nobodys(pki: Pki, tmp_path: Path, names: str, common_name_saes: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    """Alternative names that do not parse, or are of a form nobody knows, refuse the leaf and harm nothing else."""
    strange = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex(names))
    files = signed(pki, tmp_path, CLIENT_USE, strange)
    server = tls.server_context(pki.of(Kind.KME, "kme-a"), common_name_saes=common_name_saes)
    assert refused(server, tls.client_context(files))[0]
    shake_hands(server, tls.client_context(pki.of(Kind.SAE, "bank/a é")))


def test_a_connection_without_our_check_establishes_nobody(pki: Pki) -> None:
    """An identity comes from the check inside the handshake, and from nowhere else."""
    files = pki.of(Kind.KME, "kme-a")
    lax = SSL.Context(SSL.TLS_SERVER_METHOD)
    lax.use_certificate_chain_file(str(files.certificate))
    lax.use_privatekey_file(str(files.key))
    server, _ = shake_hands(lax, tls.client_context(pki.of(Kind.SAE, "bank/a é")))
    with pytest.raises(PolicyDenied, match="no certificate that could be verified"):
        tls.established(server)
