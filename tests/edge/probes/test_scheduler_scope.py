"""A scan at scale and at its limits: ranges, allow-list, window, odd host names, and the memory that it takes."""

import asyncio
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.edge.probes.test_scheduler import HelloProbe, _friendly, _silent, estate_of, look, serving, tls_target

from keystrand.edge.probes import scheduler
from keystrand.edge.probes.access import FILES_BESIDE, Clock
from keystrand.edge.probes.scheduler import planned, survey
from keystrand.model.errors import OutsideScope
from keystrand.model.estate import Estate, ProbeKind, Target
from keystrand.model.observation import Attempt, Outcome, Record

PROMPT = {"connections_per_s": 10_000.0}
Records = tuple[Record, ...]


@pytest.fixture(autouse=True)
def hello(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the hello probe in the TLS probe's place, one job a target."""
    monkeypatch.setattr(scheduler, "NETWORK_PROBES", {ProbeKind.TLS: HelloProbe(1)})


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return a table of addresses by name, and let every look-up go there; the names asked for are kept under ""."""
    table: dict[str, list[str]] = {"": []}

    async def look_up(_loop: Any, host: str, port: int, **_: Any) -> Any:
        table[""].append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in table[host]]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    return table


def counting(calls: list[None]) -> Callable[[socket.socket], None]:
    """Return a friendly server that counts its connections."""

    def behave(connection: socket.socket) -> None:
        calls.append(None)
        _friendly(connection)

    return behave


def surveyed(estate: Estate, **more: Any) -> list[Records]:
    """Return what a survey delivers, in its order."""
    found: list[Records] = []
    asyncio.run(survey(estate, Path(), deliver=found.append, **more))
    return found


def ranged(host: str, port: int) -> Target:
    """Return a target that names a range."""
    return tls_target(port, "range", host)


def test_a_range_ends_in_one_attempt_for_each_address() -> None:
    """Each has its own place; together they say what is there and what is not."""
    with socket.create_server(("127.0.9.2", 0), backlog=8) as listener:
        listener.settimeout(5)
        port = listener.getsockname()[1]
        estate = estate_of(ranged("127.0.9.0/29", port), allow=("127.0.9.0/24",), timeout_s=0.3, **PROMPT)
        found = [record for records in surveyed(estate) for record in records]
    outcomes = {record.place: record.outcome for record in found if isinstance(record, Attempt)}
    assert outcomes.pop(f"tls://127.0.9.2:{port}") is Outcome.TIMED_OUT
    assert set(outcomes) == {f"tls://127.0.9.{n}:{port}" for n in (1, 3, 4, 5, 6)}
    assert set(outcomes.values()) == {Outcome.UNREACHABLE}


def test_the_plan_spells_ranges_out_and_refuses_what_is_not_allowed() -> None:
    """What `--plan` prints is what would be contacted; it refuses like the scan."""
    estate = estate_of(ranged("192.0.2.0/30", 443), allow=("192.0.2.0/24",))
    assert [contact.place for contact in planned(estate)] == ["tls://192.0.2.1:443", "tls://192.0.2.2:443"]
    with pytest.raises(OutsideScope):
        planned(estate_of(ranged("192.0.2.0/30", 443)))


def test_a_target_outside_the_allow_list_is_refused_before_anything_is_contacted() -> None:
    """Not even the targets that are allowed."""
    calls: list[None] = []
    with serving(counting(calls)) as port:
        targets = (tls_target(port, "good"), tls_target(port, "bad", "127.0.0.2"))
        with pytest.raises(OutsideScope, match="nothing was contacted"):
            surveyed(estate_of(*targets, allow=("127.0.0.1",)))
    assert calls == []


def test_a_name_that_leads_outside_is_refused_before_anything_is_contacted(names: dict[str, list[str]]) -> None:
    """A name that only its address could allow is looked up first."""
    names["in.local"], names["out.local"] = ["127.0.0.1"], ["192.0.2.1"]
    calls: list[None] = []
    with serving(counting(calls)) as port:
        targets = (tls_target(port, "in", "in.local"), tls_target(port, "out", "out.local"))
        with pytest.raises(OutsideScope) as refused:
            surveyed(estate_of(*targets, allow=("127.0.0.0/8",)))
        assert [problem.field for problem in refused.value.problems] == ["target out"]
        assert calls == []
        (ended,) = look(estate_of(targets[0], allow=("127.0.0.0/8",)), Path())
    assert ended.outcome is Outcome.SEEN


def test_a_name_that_leads_elsewhere_later_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is checked again where the connection is made: names change between the two."""
    answers = [["127.0.0.1"], ["192.0.2.1"]]

    async def look_up(_loop: Any, _host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in answers.pop(0)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    (ended,) = look(estate_of(tls_target(443, host="moving.local"), allow=("127.0.0.0/8",)), Path())
    assert ended.outcome is Outcome.SKIPPED
    assert ended.reason == "moving.local is at 192.0.2.1, which is not in `allow`; not contacted"


def test_of_several_addresses_only_the_allowed_are_contacted(names: dict[str, list[str]]) -> None:
    """The one outside is passed over, not tried first."""
    names["two.local"] = ["192.0.2.1", "127.0.0.1"]
    with serving(_friendly) as port:
        (ended,) = look(estate_of(tls_target(port, host="two.local"), allow=("127.0.0.0/8",)), Path())
    assert ended.outcome is Outcome.SEEN


def test_a_name_that_is_listed_may_be_anywhere(names: dict[str, list[str]]) -> None:
    """Its addresses need no entry of their own."""
    names["www.bank.local"] = ["127.0.0.1"]
    with serving(_friendly) as port:
        (ended,) = look(
            estate_of(tls_target(port, host="www.bank.local"), allow=("*.bank.local", "10.0.0.0/8")), Path()
        )
    assert ended.outcome is Outcome.SEEN


def test_a_name_is_looked_up_once_for_all_the_questions(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver is spared too; and it is asked for the name as DNS holds it."""
    monkeypatch.setattr(scheduler, "NETWORK_PROBES", {ProbeKind.TLS: HelloProbe(5)})
    names["xn--bcher-kva.local"] = ["127.0.0.1"]
    with serving(_friendly) as port:
        (ended,) = look(estate_of(tls_target(port, host="Bücher.local."), **PROMPT), Path())
    assert ended.outcome is Outcome.SEEN
    assert ended.place == f"tls://Bücher.local.:{port}"
    assert names[""] == ["xn--bcher-kva.local"]


@pytest.mark.parametrize("host", ["ü" * 63 + ".local", "..", "a..local"])
def test_a_name_that_cannot_be_has_a_clear_reason(host: str) -> None:
    """It ends as unreachable; nobody is asked."""
    (ended,) = look(estate_of(tls_target(443, host=host)), Path())
    assert (ended.outcome, ended.reason) == (Outcome.UNREACHABLE, "no name that can be looked up")


def test_ipv6_is_contacted_and_written_in_brackets() -> None:
    """An address of IPv6, with and without a zone."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        ended = look(estate_of(tls_target(port, "a", "::1"), timeout_s=0.3, **PROMPT), Path())
        assert [(one.place, one.outcome) for one in ended] == [(f"tls://[::1]:{port}", Outcome.TIMED_OUT)]


def test_a_zone_must_be_a_network_interface_of_this_machine() -> None:
    """A link-local address says through which interface it is reached (RFC 4007, 11)."""
    ended = look(
        estate_of(
            tls_target(9, "a", "fe80::1%no-such-card"),
            tls_target(9, "b", "fe80::1%lo"),
            tls_target(9, "c", "fe80::1%1"),
            timeout_s=0.3,
        ),
        Path(),
    )
    assert ended[0].reason == "this machine has no network interface 'no-such-card'"
    assert {one.outcome for one in ended} <= {Outcome.UNREACHABLE, Outcome.TIMED_OUT}
    assert ended[1].place == "tls://[fe80::1%lo]:9"


def test_outside_its_window_a_scan_waits_says_so_and_goes_on() -> None:
    """It tells once until when; nothing is contacted before."""
    begin = datetime(2026, 11, 26, 21, 59, 59, 700_000, tzinfo=UTC)
    said: list[str] = []
    calls: list[None] = []

    async def run(port: int) -> tuple[int, list[Records]]:
        found: list[Records] = []
        loop = asyncio.get_running_loop()
        start = loop.time()
        clock = Clock(lambda: begin + timedelta(seconds=loop.time() - start), said.append)
        targets = [tls_target(port, f"t{n}") for n in range(3)]
        estate = estate_of(*targets, window="22:00-05:00", **PROMPT)
        running = asyncio.create_task(survey(estate, Path(), deliver=found.append, clock=clock))
        await asyncio.sleep(0.1)
        before = len(calls)
        await running
        return before, found

    with serving(counting(calls)) as port:
        before, found = asyncio.run(run(port))
    assert before == 0
    assert said == ["outside the window 22:00-05:00 UTC; the scan goes on at 2026-11-26 22:00"]
    assert [records[0].outcome for records in found] == [Outcome.SEEN] * 3  # type: ignore[union-attr]  # attempts


def test_only_what_is_due_is_looked_at() -> None:
    """The rest is passed over, and counts as done."""
    told: list[tuple[int, int]] = []
    with serving(_friendly) as port:
        targets = [tls_target(port, name) for name in ("a", "b", "c")]
        found = surveyed(
            estate_of(*targets, **PROMPT),
            due=lambda target: target.id != "b",
            progress=lambda done, total: told.append((done, total)),
        )
    assert {records[0].target for records in found} == {"a", "c"}
    assert sorted(told) == [(1, 3), (2, 3), (3, 3)]


def test_an_interrupted_survey_has_delivered_whole_endpoints_and_leaves_nothing_open() -> None:
    """What had finished is delivered, with all its records; no task and no connection stays."""

    async def interrupted(estate: Estate) -> list[Records]:
        found: list[Records] = []
        first = asyncio.Event()

        def keep(records: Records) -> None:
            found.append(records)
            first.set()

        running = asyncio.create_task(survey(estate, Path(), deliver=keep))
        await first.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return found

    with serving(_friendly) as friendly, serving(_silent) as silent:
        targets = (tls_target(friendly, "a"), *(tls_target(silent, f"b{n}") for n in range(5)))
        found = asyncio.run(interrupted(estate_of(*targets, timeout_s=30, connections_per_host=8, **PROMPT)))
    assert [[record.target for record in records] for records in found] == [["a"]]


def test_a_sink_that_fails_ends_the_survey_with_its_own_error() -> None:
    """A full disk is told as such, not hidden in a group of errors."""

    def fail(_records: Records) -> None:
        raise OSError("no space left")

    with serving(_friendly) as port, pytest.raises(OSError, match="no space left"):
        asyncio.run(survey(estate_of(tls_target(port)), Path(), deliver=fail))


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "sockets", "soft_after"),
    [
        (1024, 4096, 64, 64, 1024),
        (1024, 4096, 1024, 1024, 1024 + FILES_BESIDE),
        (256, 256, 1024, 256 - FILES_BESIDE, 256),
        (200, 300, 1024, 300 - FILES_BESIDE, 300),
        (100, 100, 1024, 1, 100),
    ],
)
def test_no_more_connections_than_this_program_may_have_files(
    soft: int, hard: int, wanted: int, sockets: int, soft_after: int
) -> None:
    """The limit is raised as far as it may be; else fewer connections are open at once, and no host is lost to it."""
    code = (
        "import resource as r; from keystrand.edge.probes.access import sockets_for; "
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); "
        f"print(sockets_for({wanted}), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(sockets), str(soft_after)]


def test_memory_does_not_grow_with_the_endpoints() -> None:
    """Two thousand endpoints are worked through by sixteen tasks, and nothing of them is kept."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tasks = 0
    ended = 0

    def deliver(records: Records) -> None:
        nonlocal tasks, ended
        ended += len(records)
        if ended % 500 == 0:
            tasks = max(tasks, len(asyncio.all_tasks()))

    limits = {"connections_at_once": 16, "connections_per_s": 10_000.0, "allow": ("127.0.0.0/8",)}
    asyncio.run(survey(estate_of(ranged("127.8.0.0/28", port), **limits), Path(), deliver=deliver))
    ended = 0
    tracemalloc.start()
    try:
        asyncio.run(survey(estate_of(ranged("127.8.0.0/21", port), **limits), Path(), deliver=deliver))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended == 2**11 - 2
    assert tasks <= 16 + 1
    assert held < 200_000


@pytest.mark.parametrize("allow", [(), ("bank.corp",), ("198.51.100.0/24", "bank.corp")])
def test_a_stand_in_elsewhere_is_not_contacted(allow: tuple[str, ...], names: dict[str, list[str]]) -> None:
    """A map is no way around the allow-list: where a name resolves to a stranger, only this machine is left of it."""
    calls: list[None] = []
    with serving(counting(calls)) as port:
        names["stand.in"] = ["192.0.2.7"]
        target = tls_target(443, host="bank.corp")
        estate = estate_of(target, allow=allow, **PROMPT)
        ((refused,),) = surveyed(estate, connect_to={("bank.corp", 443): ("stand.in", port)})
        names["stand.in"] += ["127.0.0.1"]
        ((seen,),) = surveyed(estate, connect_to={("bank.corp", 443): ("stand.in", port)})
    assert isinstance(refused, Attempt)
    assert isinstance(seen, Attempt)
    assert refused.outcome is Outcome.SKIPPED
    assert "at 192.0.2.7, which is not in `allow`" in refused.reason
    assert (seen.outcome, len(calls)) == (Outcome.SEEN, 1)
