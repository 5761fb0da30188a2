"""The load generator against a small server that is honest, or is not: its checks must bite."""

import base64
import json
import secrets
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bench.kme_load import Report, build, run
from bench.measure import Missing
from bench.peers import certificates

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled load generator."""
    try:
        return build(tmp_path_factory.mktemp("build"))
    except Missing as missing:
        pytest.skip(f"needs {missing}")


class _Kme(BaseHTTPRequestHandler):
    """Both ends of a link in one; `fault` says how it errs."""

    protocol_version = "HTTP/1.1"
    fault = ""
    keys: dict[str, str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: object, *, chunked: bool = False) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
            pieces = [content[at : at + 700] for at in range(0, len(content), 700)]
            content = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        """Tell the status."""
        self._answer(200, {"stored_key_count": 42})

    def do_POST(self) -> None:
        """Give keys out, or out again."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/enc_keys"):
            ids = [str(uuid.uuid4()) for _ in range(asked["number"])]
            made = {one: base64.b64encode(secrets.token_bytes(asked["size"] // 8)).decode() for one in ids}
            if self.fault == "repeats" and self.keys:
                made = dict(zip(ids, self.keys.values(), strict=False)) | {}
            self.keys.update(made)
        else:
            made = {entry["key_ID"]: self.keys[entry["key_ID"]] for entry in asked["key_IDs"]}
            if self.fault == "differs":
                made = {one: base64.b64encode(secrets.token_bytes(32)).decode() for one in made}
            if self.fault == "refuses":
                self._answer(503, {"message": "no key"})
                return
        container = {"keys": [{"key_ID": one, "key": key, "key_extension": {"key": "x"}} for one, key in made.items()]}
        self._answer(200, container, chunked=len(made) > 8)


@contextmanager
def _lab(folder: Path, fault: str = "") -> Iterator[Path]:
    ca = certificates.issue(folder / "pki", ("kme", "sae-1", "sae-2"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "pki/kme.pem", folder / "pki/kme.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Kme", (_Kme,), {"fault": fault, "keys": {}}))
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    kmes = [{"id": "kme", "url": f"https://127.0.0.1:{server.server_port}"}]
    saes = [{"id": f"sae-{n}", "cert": f"pki/sae-{n}.pem", "key": f"pki/sae-{n}.key", "kme": "kme"} for n in (1, 2)]
    (folder / "lab.json").write_text(json.dumps({"ca": "pki/ca.pem", "kmes": kmes, "saes": saes}))
    try:
        yield folder / "lab.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _run(program: Path, folder: Path, fault: str, *arguments: str) -> Report:
    with _lab(folder, fault) as lab:
        return run(program, lab, arguments, seconds=5)


def test_pairs_are_counted_and_found_equal(program: Path, tmp_path: Path) -> None:
    """As many rounds as were asked for, of both halves, by as many clients."""
    seen = _run(program, tmp_path, "", "-c", "2", "-count", "20")
    assert (seen.rounds, seen.keys, seen.errors, seen.mismatches, seen.duplicates) == (20, 20, {}, 0, 0)
    assert seen.enc_ms.p50 > 0 < seen.dec_ms.p99 <= seen.dec_ms.max


def test_many_keys_come_in_one_answer_also_in_chunks(program: Path, tmp_path: Path) -> None:
    """Each key of a request counts."""
    seen = _run(program, tmp_path, "", "-n", "40", "-count", "3")
    assert (seen.rounds, seen.keys, seen.errors, seen.mismatches) == (3, 120, {}, 0)


def test_a_new_connection_for_each_request_does_the_same(program: Path, tmp_path: Path) -> None:
    """The server's certificate is checked, then known again."""
    seen = _run(program, tmp_path, "", "-fresh", "-count", "3")
    assert (seen.rounds, seen.errors, seen.fresh) == (3, {}, True)


def test_status_is_read(program: Path, tmp_path: Path) -> None:
    """The number of stored keys is reported, and no key counted."""
    seen = _run(program, tmp_path, "", "-mode", "status", "-count", "3")
    assert (seen.stored_key_count, seen.rounds, seen.keys) == (42, 3, 0)


def test_a_key_that_comes_twice_is_seen(program: Path, tmp_path: Path) -> None:
    """The same bytes under another ID are a reuse, however rare."""
    seen = _run(program, tmp_path, "repeats", "-mode", "enc", "-count", "3")
    assert seen.duplicates == 2


def test_a_key_that_differs_at_the_other_end_is_seen(program: Path, tmp_path: Path) -> None:
    """Every pair is compared."""
    assert _run(program, tmp_path, "differs", "-count", "3").mismatches == 3


def test_a_refusal_is_counted_and_is_no_pair(program: Path, tmp_path: Path) -> None:
    """What the other end refuses was not delivered; the first answer is told."""
    with _lab(tmp_path, "refuses") as lab:
        seen = run(program, lab, ("-c", "1"), seconds=0.3)
    assert (seen.rounds, set(seen.errors)) == (0, {"503"})
    assert "no key" in seen.first_error
