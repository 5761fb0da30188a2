"""A KME of another make: Python's own TLS 1.2 and HTTP, a certificate without any identity of ours."""

import base64
import http.server
import json
import secrets
import ssl
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keystrand.edge.kme.client import Client014
from keystrand.model.errors import PeerUnavailable

Files = tuple[Path, Path]


class _Vendor(http.server.BaseHTTPRequestHandler):
    """As much of 014 as one Get key needs."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with as many keys as were asked for."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keys = [
            {"key_ID": str(uuid.uuid4()), "key": base64.b64encode(secrets.token_bytes(32)).decode(), "vendor": 1}
            for _ in range(asked.get("number", 1))
        ]
        body = json.dumps({"keys": keys, "vendor_says": "hello"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def certificate(
    folder: Path, name: str, issuer: Files | None, host: str = "", *, days: int = 1
) -> Files:  # fmt: skip
    """Return the files of a fresh certificate: an authority's where nobody issues it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = x509.load_pem_x509_certificate(issuer[0].read_bytes()).subject if issuer else subject
    builder = (
        x509.CertificateBuilder(subject_name=subject, public_key=key.public_key(), issuer_name=by)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
    )
    signer: ec.EllipticCurvePrivateKey = key
    if issuer:
        loaded = serialization.load_pem_private_key(issuer[1].read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    else:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made = folder / f"{name}.pem", folder / f"{name}.key"
    made[0].write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(pem))
    made[1].write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return made


@pytest.fixture
def authority(tmp_path: Path) -> Files:
    """The vendor's authority."""
    return certificate(tmp_path, "vendor-ca", None)


def serving(server_files: Files, ca: Path) -> http.server.ThreadingHTTPServer:
    """Return a server of TLS 1.2 that asks for a client certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Vendor)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*server_files)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are what is tested
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def url(tmp_path: Path, authority: Files) -> Iterator[str]:
    """A vendor's KME at the loopback address."""
    server = serving(certificate(tmp_path, "vendor-kme", authority, "127.0.0.1"), authority[0])
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def client(url: str, ca: Path, own: Files, *, foreign: bool = True) -> Client014:
    """Return a client of ours."""
    return Client014(url, ca, *own, require_post_quantum=False, foreign=foreign, timeout_s=5)


def test_its_keys_can_be_taken(url: str, tmp_path: Path, authority: Files) -> None:
    """A certificate of its authority that covers the address is enough, over TLS 1.2, members of its own and all."""
    with client(url, authority[0], certificate(tmp_path, "us", authority)) as vendor:
        keys = vendor.enc_keys("partner", number=5, size=256)
        assert [len(key.key) for key in keys] == [32] * 5
        assert vendor.peer
        assert (vendor.peer.identity.id, vendor.peer.post_quantum) == ("127.0.0.1", False)


def test_it_is_not_taken_for_one_of_ours(url: str, tmp_path: Path, authority: Files) -> None:
    """Without being told that it is of another make nothing is asked of it."""
    own = certificate(tmp_path, "us", authority)
    with client(url, authority[0], own, foreign=False) as vendor, pytest.raises(PeerUnavailable):
        vendor.enc_keys("partner")


def test_another_authority_is_refused(url: str, tmp_path: Path, authority: Files) -> None:
    """What some other authority has signed is not trusted, whatever it says."""
    other = certificate(tmp_path, "other-ca", None)
    own = certificate(tmp_path, "us", authority)
    with client(url, other[0], own) as vendor, pytest.raises(PeerUnavailable, match="no trusted connection"):
        vendor.enc_keys("partner")


@pytest.mark.parametrize(
    ("host", "days", "why"),
    [("127.0.0.2", 1, "does not name 127.0.0.1"), ("", 1, "does not name"), ("127.0.0.1", -1, "expired")],
)
def test_a_certificate_for_another_place_or_time_is_refused(
    tmp_path: Path, authority: Files, host: str, days: int, why: str
) -> None:
    """Another address, none at all, and one that has expired are told, and nothing is asked."""
    server = serving(certificate(tmp_path, "vendor-kme", authority, host, days=days), authority[0])
    own = certificate(tmp_path, "us", authority)
    url = f"https://127.0.0.1:{server.server_port}"
    with client(url, authority[0], own) as vendor, pytest.raises(PeerUnavailable, match=why):
        vendor.enc_keys("partner")
    server.shutdown()
    server.server_close()
