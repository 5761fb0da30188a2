"""Sinks: real sockets get every record in the form they know, and none of them ever makes the audit wait."""

import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from keystrand.edge.store.audit_file import AuditFile
from keystrand.edge.store.audit_signer import open_signer
from keystrand.edge.telemetry.audit_sinks import AuditSink, AuditSinks, Form, SinkConfig
from keystrand.model.errors import InvalidInput
from keystrand.operate.audit import START, AuditRecord, Own, detail_of, hash_of, line_of
from keystrand.operate.audit_render import Origin, cef, ocsf, syslog
from keystrand.operate.audit_verify import Verified, verify

ORIGIN = Origin(host="kme-a", version="1.2.3")
AT = 1764093600.25
DEADLINE_S = 30.0

# RFC 5424, section 6: header, nil structured data, message
RFC5424 = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([!-~]{1,255}) ([!-~]{1,48}) (-) ([!-~]{1,32}) - (.*)",
    re.DOTALL,
)


def lines(number: int, *, action: str = "deliver", **detail: Any) -> list[bytes]:
    """Return lines of an audit."""
    made, head = [], START
    for seq in range(number):
        told = detail_of(n=seq, **detail)
        record = AuditRecord(at=AT, actor="urn:keystrand:sae:a", action=action, group="X25519MLKEM768", detail=told)
        line, head = line_of(record, seq, seq + 1, head)
        made.append(line)
    return made


def until(condition: Callable[[], object]) -> None:
    """Wait until it is so; the bound is no measure, it ends a test that hangs."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


# -- forms


def test_syslog_carries_the_line_itself() -> None:
    """A message after RFC 5424 whose text is the line, byte for byte: what was collected can be verified."""
    (line,) = lines(1, name="Zoë")
    matched = RFC5424.fullmatch(syslog(line, ORIGIN))
    assert matched
    priority, at, host, name, _, action, text = matched.groups()
    assert (int(priority) // 8, int(priority) % 8) == (13, 6)
    assert (at, host, name, action) == (b"2025-11-25T18:00:00.250000Z", b"kme-a", b"keystrand", b"deliver")
    assert text + b"\n" == line


def test_what_is_worth_a_look_is_a_warning() -> None:
    """A denial, a burnt key or a lost record is no routine, in any form."""
    for action, severity in (
        ("denied", 4),
        ("assign_denied", 4),
        ("audit.sink-lost", 4),
        ("deliver", 6),
        ("rotate", 6),
    ):
        (line,) = lines(1, action=action)
        matched = RFC5424.fullmatch(syslog(line, ORIGIN))
        assert matched
        assert int(matched[1]) % 8 == severity
        assert json.loads(ocsf(line, ORIGIN))["severity_id"] == (3 if severity == 4 else 1)


def test_a_header_field_is_always_one() -> None:
    """Names that are empty, long, or not printable ASCII do not break the header."""
    for host, action in (("", "a b"), ("käme a", "x" * 99), ("h" * 300, "é")):
        (line,) = lines(1, action=action)
        assert RFC5424.fullmatch(syslog(line, Origin(host=host, version="1")))


def test_cef_escapes_what_it_must() -> None:
    """Bars and backslashes in the header, equals signs and backslashes in values; every value comes back."""
    (line,) = lines(1, action="a|b\\c", odd="x=y\\z|\nn")
    matched = RFC5424.fullmatch(cef(line, ORIGIN))
    assert matched
    header = re.split(r"(?<!\\)\|", matched[7].decode(), maxsplit=7)
    assert header[:5] == ["CEF:0", "keystrand", "keystrand", "1.2.3", r"a\|b\\c"]
    pairs = re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", header[7])
    values = {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}
    told = json.loads(line)
    assert values["suser"] == told["actor"]
    assert (values["externalId"], values["rt"], values["cn1"]) == ("0", "1764093600250", "1")
    assert json.loads(values["cs2"]) == told["detail"]


def test_ocsf_is_an_api_activity() -> None:
    """Every attribute that the class and the base event require, the line itself, and its hash as the event's id."""
    (line,) = lines(1)
    event = json.loads(ocsf(line, ORIGIN))
    assert (event["class_uid"], event["category_uid"], event["type_uid"]) == (6003, 6, 600399)
    assert event["type_uid"] == 100 * event["class_uid"] + event["activity_id"]
    assert event["time"] == 1764093600250
    assert event["api"]["operation"] == event["activity_name"] == "deliver"
    assert event["actor"]["user"]["uid"] == event["src_endpoint"]["name"] == "urn:keystrand:sae:a"
    assert event["metadata"]["product"]["name"] == "keystrand"
    assert event["metadata"]["version"]
    assert (event["metadata"]["uid"], event["metadata"]["sequence"]) == (hash_of(line), 0)
    assert event["raw_data"].encode() + b"\n" == line
    assert event["unmapped"]["detail"] == {"n": 0}


# -- receivers


class Receiver:
    """What arrived at a server of the test."""

    def __init__(self) -> None:
        self.octets = b""
        self.bodies: list[bytes] = []
        self.statuses: list[int] = []
        self.url = ""


@contextmanager
def tcp_receiver(port: int = 0) -> Iterator[Receiver]:
    """Listen on loopback and collect what comes; at the end every connection is closed."""
    got, stop = Receiver(), threading.Event()

    def serve() -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            while not stop.is_set():
                for key, _ in ready.select(0.01):
                    if key.fileobj is listener:
                        ready.register(listener.accept()[0], selectors.EVENT_READ)
                    else:
                        _read(key.fileobj)
            for key in list(ready.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _read(connection: object) -> None:
        assert isinstance(connection, socket.socket)
        got.octets += connection.recv(65536)

    with socket.create_server(("127.0.0.1", port)) as listener:
        got.url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve)
        thread.start()
        yield got
        stop.set()
        thread.join()


@contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Answer POST requests with the statuses asked for, then with 200."""
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = got.statuses.pop(0) if got.statuses else 200
            if status == 200:
                got.bodies.append(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        got.url = f"http://127.0.0.1:{server.server_address[1]}/events"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield got
        server.shutdown()
        thread.join()


def by_their_length(octets: bytes) -> list[bytes]:
    """Return the messages of a stream framed after RFC 6587, section 3.4.1."""
    found, at = [], 0
    while at < len(octets):
        begin = octets.index(b" ", at) + 1
        at = begin + int(octets[at : begin - 1])
        found.append(octets[begin:at])
    return found


def ignore_losses(_: str, __: int) -> None:
    """Where a test loses nothing."""


@contextmanager
def running(config: SinkConfig, on_lost: Callable[[str, int], None] = ignore_losses) -> Iterator[AuditSink]:
    """Run one sink."""
    sink = AuditSink(config, ORIGIN, on_lost)
    try:
        yield sink
    finally:
        sink.close(wait_s=DEADLINE_S)


def test_udp_sends_a_datagram_a_record() -> None:
    """Each datagram is one syslog message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE_S)
        with running(SinkConfig(name="u", url=f"udp://127.0.0.1:{receiver.getsockname()[1]}")) as sink:
            sink.offer(lines(20))
            got = [receiver.recv(65536) for _ in range(20)]
            assert got == [syslog(line, ORIGIN) for line in lines(20)]
            sink.offer([*lines(1, huge="x" * 70_000), *lines(1)])
            assert receiver.recv(65536) == got[0]
            until(lambda: (sink.sent, sink.lost) == (21, 1))


@pytest.mark.parametrize("form", [Form.SYSLOG, Form.CEF])
def test_tcp_sends_messages_with_their_length(form: Form) -> None:
    """All records arrive, in their order, framed by octet counting."""
    render = {Form.SYSLOG: syslog, Form.CEF: cef}[form]
    with tcp_receiver() as got, running(SinkConfig(name="t", url=got.url, form=form)) as sink:
        for line in lines(1000, name="Zoë"):
            sink.offer([line])
        until(lambda: sink.sent == 1000)
        expected = [render(line, ORIGIN) for line in lines(1000, name="Zoë")]
        until(lambda: len(got.octets) == sum(len(one) + len(str(len(one))) + 1 for one in expected))
        assert by_their_length(got.octets) == expected


def test_ocsf_goes_as_json_lines(tmp_path: Path) -> None:
    """Over TCP, in the body of a POST, or into a file: one event a line."""
    expected = [ocsf(line, ORIGIN) for line in lines(300)]
    file = tmp_path / "events.jsonl"
    with tcp_receiver() as tcp, http_receiver() as http:
        http.statuses = [503, 302]  # it is sent again until it is taken
        urls = (tcp.url, http.url, f"file://{file}")
        configs = [SinkConfig(name=url, url=url, form=Form.OCSF) for url in urls]
        sinks = AuditSinks(configs, ORIGIN, ignore_losses)
        sinks.tell(lines(300))
        until(lambda: tcp.octets.count(b"\n") == 300)
        until(lambda: b"".join(http.bodies).count(b"\n") == 300)
        sinks.close(wait_s=DEADLINE_S)
        assert sinks.losses() == dict.fromkeys(urls, 0)
    assert tcp.octets.splitlines() == b"".join(http.bodies).splitlines() == file.read_bytes().splitlines() == expected
    assert file.stat().st_mode & 0o777 == 0o600


# -- sinks that are down or slow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["tcp", "udp", "http"])
def test_a_sink_that_is_down_loses_the_oldest_and_counts_them(scheme: str) -> None:
    """Nothing waits for it; what its spool cannot hold is told in numbers, and no record is counted twice."""
    told: list[tuple[str, int]] = []
    config = SinkConfig(
        name="down", url=f"{scheme}://127.0.0.1:{_free_port()}", spool=100, tell_losses_s=0.0, timeout_s=1.0
    )
    with running(config, lambda name, number: told.append((name, number))) as sink:
        for line in lines(5000):
            sink.offer([line])
        assert len(sink._spool) <= 100
        until(lambda: sink.lost + sink.sent >= 4900 - 256)
    assert sink.lost + sink.sent == 5000
    assert sum(number for _, number in told) == sink.lost
    assert {name for name, _ in told} == {"down"}
    assert sink.sent == 0 or scheme == "udp"  # the first datagram leaves before the host says that nobody listens


def test_a_sink_that_comes_back_gets_the_newest() -> None:
    """The spool was kept up to its bound: the latest records arrive, in order, once the receiver is there."""
    port = _free_port()
    with running(SinkConfig(name="back", url=f"tcp://127.0.0.1:{port}", spool=50)) as sink:
        for line in lines(400):
            sink.offer([line])
        until(lambda: sink.lost == 350)
        with tcp_receiver(port) as got:
            until(lambda: sink.sent == 50)
            until(lambda: got.octets.count(b'"prev"') == 50)
            assert by_their_length(got.octets) == [syslog(line, ORIGIN) for line in lines(400)[-50:]]


def test_a_receiver_that_restarts_is_found_again() -> None:
    """A connection that the peer has closed is noticed before the next batch, which goes over a new one."""
    port = _free_port()
    with running(SinkConfig(name="again", url=f"tcp://127.0.0.1:{port}")) as sink:
        for round_number in range(3):
            with tcp_receiver(port) as got:
                (line,) = lines(1, round=round_number)
                sink.offer([line])
                until(lambda: got.octets.endswith(b"}"))
                assert by_their_length(got.octets) == [syslog(line, ORIGIN)]


def test_a_receiver_that_does_not_read_holds_up_nobody() -> None:
    """Its connection fills and times out in its own thread; what it missed is counted, and closing ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        sink = AuditSink(SinkConfig(name="slow", url=url, spool=500, timeout_s=0.2), ORIGIN, ignore_losses)
        batch = lines(200, filler="x" * 20_000)
        for _ in range(20):
            sink.offer(batch)
        until(lambda: sink.lost > 0)
        sink.close(wait_s=DEADLINE_S)
        assert sink.lost + sink.sent == 4000


def test_losses_stand_in_the_audit(tmp_path: Path) -> None:
    """The audit says which sink lost how many; the audit itself has them all, and holds."""
    signer = open_signer(tmp_path / "key.pem", make=True)
    config = SinkConfig(name="siem", url=f"tcp://127.0.0.1:{_free_port()}", spool=10, tell_losses_s=0.0)

    def lost(name: str, number: int) -> None:
        audit.note(Own.SINK_LOST, detail_of(sink=name, lost=number))
        told.set()

    told = threading.Event()
    sinks = AuditSinks([config], ORIGIN, lost)
    audit = AuditFile(tmp_path / "audit", signer, store_id="s", tell=sinks.tell)
    for generation in range(1, 101):
        audit.append([AuditRecord(at=AT, actor="a", action="deliver")], generation)
    assert told.wait(DEADLINE_S)
    audit.close()
    sinks.close()
    written = (tmp_path / "audit" / "audit-000001.jsonl").read_bytes().splitlines(keepends=True)
    judged = verify(written, (signer.public_key,), after=START)
    assert isinstance(judged, Verified)
    assert judged.records == 100
    said = [json.loads(line)["detail"] for line in written if b'"audit.sink-lost"' in line]
    assert said
    assert all(one["sink"] == "siem" and one["lost"] > 0 for one in said)


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1:21", "tcp://127.0.0.1", "udp://:514", "tcp://127.0.0.1:99999", "http://[::1"]
)
def test_a_url_that_is_no_sink_is_refused(url: str) -> None:
    """The name of the sink and the forms that there are."""
    with pytest.raises(InvalidInput, match="sink odd") as caught:
        AuditSinks([SinkConfig(name="odd", url=url)], ORIGIN, ignore_losses)
    assert "udp://host:port" in caught.value.hint
