"""Reports that the real tools write about real servers and tokens, read as ours would have seen the same."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystrand.app.inventory_reports import report_in
from keystrand.edge.pilot.softhsm import new_token
from keystrand.formats.key_files import objects_in
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Keystore, Outcome, PublicKey

pytestmark = pytest.mark.system
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


def run(*words: str | Path, env: dict[str, str] | None = None) -> bytes:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(words, check=True, capture_output=True, timeout=60, env=os.environ | (env or {}))
    return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Run OpenSSL's server with a certificate of RSA; yield its port and the certificate's file."""
    certificate, key = tmp_path / "web.pem", tmp_path / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "9",
        "-subj", "/CN=web.example.org", "-addext", "subjectAltName=DNS:web.example.org")  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = ["-cert", str(certificate), "-key", str(key)]
    words = ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{port}", *files, "-www"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port, certificate
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.mark.skipif(shutil.which("nmap") is None, reason="nmap is not installed (Debian: nmap)")
def test_nmap_on_a_real_server(server: tuple[int, Path], tmp_path: Path) -> None:
    """The certificate is the one in the server's file; versions and exchanges are those of the server."""
    port, file = server
    report = tmp_path / "report.xml"
    run("nmap", "-Pn", "-p", str(port), "--script", "ssl-enum-ciphers,ssl-cert", "-oX", report, "127.0.0.1")
    reading = report_in(report)
    (own,) = [fact for found in objects_in(file.read_bytes()) for fact in found.facts]
    facts = [found.fact for found in reading.found]
    assert [fact for fact in facts if isinstance(fact, Certificate)] == [own]
    (endpoint,) = [fact for fact in facts if isinstance(fact, Endpoint)]
    assert (endpoint.host, endpoint.port) == ("127.0.0.1", port)
    assert {"TLSv1.2", "TLSv1.3"} <= set(endpoint.versions)
    exchanges = {f.algorithm for f in facts if isinstance(f, AlgorithmUse) and f.function is Function.KEY_ESTABLISHMENT}
    assert exchanges & {"X25519", "ECDH-P-256"}
    assert "RSA-KEX-2048" in exchanges


@pytest.mark.skipif(
    shutil.which("pkcs11-tool") is None or not SOFTHSM.exists(),
    reason="OpenSC or SoftHSM is not installed (Debian: opensc, softhsm2)",
)
def test_a_listing_of_a_real_token(tmp_path: Path) -> None:
    """A key on a curve in a token is the same key that OpenSSL reads out of it."""
    made = new_token(tmp_path / "own", "demo", pin="1234")
    env = dict(made.env)
    tool = ("pkcs11-tool", "--module", made.module, "--login", "--pin", "1234")
    run(*tool, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "sign", "--id", "01", env=env)
    run(*tool, "--keygen", "--key-type", "AES:32", "--label", "wrap", "--id", "02", env=env)
    listing, public = tmp_path / "token.txt", tmp_path / "public.der"
    listing.write_bytes(run(*tool, "--list-objects", env=env))
    run(*tool, "--read-object", "--type", "pubkey", "--id", "01", "--output-file", public, env=env)
    reading = report_in(listing)
    assert reading.outcome is Outcome.SEEN
    facts = [found.fact for found in reading.found]
    (token,) = [fact for fact in facts if isinstance(fact, Keystore)]
    assert (token.format, token.entries) == ("PKCS#11", 3)
    (key,) = [fact for fact in facts if isinstance(fact, PublicKey)]
    (expected,) = [fact for found in objects_in(public.read_bytes()) for fact in found.facts]
    assert isinstance(expected, PublicKey)
    assert key.sha256 == expected.sha256
    assert AlgorithmUse(algorithm="AES-256", function=Function.ENCRYPTION) in facts
