"""What a scan may contact, and when: ranges, the allow-list, the window."""

import ipaddress
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.inventory.scope import (
    MAX_ADDRESSES,
    Allowed,
    a_label_name,
    address_of,
    count_of,
    endpoints,
    ports_of,
    range_of,
    window_of,
)
from keystrand.model.errors import OutsideScope
from keystrand.model.estate import ProbeKind, Scan, ScanMode, Target


def target(host: str, port: int | None = 443, *ports: int, name: str = "t", mode: ScanMode | None = None) -> Target:
    """Return a TLS target."""
    return Target(id=name, probe=ProbeKind.TLS, system="s", host=host, port=port, ports=ports, mode=mode)


FILES = Target(id="f", probe=ProbeKind.X509, system="s", path="certs")


def spelt(*targets: Target, scan: Scan | None = None) -> list[tuple[str | None, int | None]]:
    """Return host and port of every endpoint."""
    return [(one.host, one.port) for one in endpoints(scan or Scan(), targets)]


def test_a_range_becomes_one_endpoint_for_each_address_and_port() -> None:
    """Network and broadcast addresses are no hosts; one port comes after the other for all hosts."""
    assert spelt(target("192.0.2.0/30", 443, 8443)) == [
        ("192.0.2.1", 443), ("192.0.2.2", 443), ("192.0.2.1", 8443), ("192.0.2.2", 8443),
    ]  # fmt: skip
    assert spelt(target("2001:db8::/126", None, 443)) == [(f"2001:db8::{n}", 443) for n in (1, 2, 3)]


def test_endpoints_carry_the_mode_that_counts_for_them() -> None:
    """The target's own mode goes before the scan's."""
    found = endpoints(Scan(mode=ScanMode.QUICK), (target("a.example"), target("b.example", mode=ScanMode.FULL)))
    assert [one.mode for one in found] == [ScanMode.QUICK, ScanMode.FULL]


def test_a_target_without_a_range_is_one_endpoint_a_port_and_files_are_one() -> None:
    """Ports given twice count once."""
    assert spelt(target("a.example", 443, 443, 8443)) == [("a.example", 443), ("a.example", 8443)]
    assert list(endpoints(Scan(), (FILES,))) == [FILES]
    assert (count_of(FILES), count_of(target("a.example", 443, 8443)), ports_of(FILES)) == (1, 2, ())


def test_a_large_range_is_spelt_out_lazily() -> None:
    """The first endpoints of sixteen million are there at once."""
    assert [one.host for one in islice(endpoints(Scan(), (target("10.0.0.0/8"),)), 2)] == ["10.0.0.1", "10.0.0.2"]


@given(st.integers(24, 32), st.integers(0, 2**32 - 1), st.integers(0, 2))
def test_the_count_is_that_of_the_endpoints(prefix: int, address: int, more_ports: int) -> None:
    """However large the range, the number told beforehand is the number that comes."""
    one = target(f"{ipaddress.IPv4Address(address)}/{prefix}", 443, *range(8000, 8000 + more_ports))
    assert count_of(one) == len(spelt(one))


@given(st.integers(120, 128))
def test_the_count_is_right_for_ipv6_too(prefix: int) -> None:
    """The first address of a range is the routers' own (RFC 4291, 2.6.1)."""
    assert count_of(target(f"2001:db8::/{prefix}")) == len(spelt(target(f"2001:db8::/{prefix}")))


ALLOW = (
    "10.1.0.0/16",
    "192.0.2.7",
    "2001:db8::/32",
    "fe80::/10",
    "*.bank.example",
    "db.other.example",
    "bücher.example",
)


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "192.0.2.7", "2001:db8::5", "fe80::1%eth0", "10.1.4.0/24", "10.1.0.0/16", "www.bank.example",
     "a.b.bank.example", "WWW.BANK.EXAMPLE.", "db.other.example", "xn--bcher-kva.example", "BÜCHER.example"],
)  # fmt: skip
def test_what_the_list_holds_may_be_contacted(host: str) -> None:
    """By address, by range, by name and below a domain; names in any spelling that DNS takes for the same."""
    Allowed(ALLOW).check((target(host),))


@pytest.mark.parametrize(("host", "is_allowed"), [("fe80::1%eth0", True), ("fe80::1%eth1", False), ("fe80::1", False)])
def test_an_entry_with_a_zone_is_of_that_link_alone(host: str, is_allowed: bool) -> None:  # noqa: FBT001 - a column
    """The same address on another link is another machine (RFC 4007, 6)."""
    assert (not Allowed(["fe80::1%eth0"]).refused(target(host))) is is_allowed


@pytest.mark.parametrize("host", ["10.2.0.1", "192.0.2.8", "2001:db9::1", "10.1.0.0/15", "10.0.0.0/8", "fec0::1"])
def test_what_the_list_does_not_hold_is_refused(host: str) -> None:
    """An address or a range that is only partly allowed is refused, by name."""
    with pytest.raises(OutsideScope, match="nothing was contacted") as refused:
        Allowed(ALLOW).check((target("10.1.0.1", name="good"), target(host, name="bad")))
    assert [problem.field for problem in refused.value.problems] == ["target bad"]
    assert host in refused.value.problems[0].message
    assert refused.value.exit_code == 12


@pytest.mark.parametrize("host", ["bank.example", "evilbank.example", "bank.example.evil.example", "other.example"])
def test_names_beside_the_list_are_refused_where_no_address_could_allow_them(host: str) -> None:
    """A domain's pattern holds what is below it, neither the domain itself nor what only ends alike."""
    with pytest.raises(OutsideScope):
        Allowed(("*.bank.example", "db.other.example")).check((target(host),))


def test_a_name_is_left_to_its_addresses_where_the_list_has_some() -> None:
    """It cannot be judged before it is looked up; one that the list names need not be."""
    allowed = Allowed(ALLOW)
    allowed.check((target("host.elsewhere.example"),))
    assert allowed.in_doubt(target("host.elsewhere.example"))
    assert not allowed.in_doubt(target("www.bank.example"))
    assert not allowed.in_doubt(target("10.1.1.1"))
    assert not allowed.in_doubt(FILES)


def test_without_a_list_what_is_named_one_by_one_is_allowed_and_no_range() -> None:
    """A range needs somebody who says that all of it may be contacted."""
    Allowed(()).check((target("a.example"), target("192.0.2.1"), FILES))
    with pytest.raises(OutsideScope, match="1 target is outside"):
        Allowed(()).check((target("192.0.2.0/24"),))


def test_a_range_beyond_reason_is_refused_even_if_listed() -> None:
    """A slip of the pen must not scan the internet."""
    with pytest.raises(OutsideScope) as refused:
        Allowed(("0.0.0.0/0", "::/0")).check((target("0.0.0.0/0"), target("2001:db8::/64")))
    assert len(refused.value.problems) == 2
    assert str(MAX_ADDRESSES) in refused.value.problems[0].message


def test_everything_refused_is_told_at_once() -> None:
    """Not only the first."""
    with pytest.raises(OutsideScope, match="2 targets are outside") as refused:
        Allowed(("10.0.0.0/8",)).check((target("192.0.2.1", name="a"), target("192.0.2.2", name="b")))
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("host", "name"),
    [("Server.Example.", "server.example"), ("bücher.example", "xn--bcher-kva.example"),
     ("straße.example", "strasse.example"), ("_dmarc.example", "_dmarc.example")],
)  # fmt: skip
def test_names_as_dns_holds_them(host: str, name: str) -> None:
    """IDN host names become A-labels by IDNA 2003, the rules that the standard library has."""
    assert a_label_name(host) == name


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "ü" * 63 + ".example"])
def test_names_that_dns_cannot_hold(host: str) -> None:
    """Empty and overlong labels are no names."""
    with pytest.raises(UnicodeError):
        a_label_name(host)


def test_hosts_that_are_addresses_and_ranges() -> None:
    """What looks alike is told apart; a range may be written with a host's address in it."""
    assert str(address_of("fe80::1%eth0")) == "fe80::1%eth0"
    assert (address_of("a.example"), address_of("10.0.0.0/8"), range_of("a/b"), range_of(None)) == (None,) * 4
    assert str(range_of("10.1.2.3/24")) == "10.1.2.0/24"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Return a time of one day in UTC."""
    return datetime(2026, 11, 26, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "now", "opens_in"),
    [
        ("22:00-05:00", at(23), timedelta(0)),
        ("22:00-05:00", at(4, 59, 59), timedelta(0)),
        ("22:00-05:00", at(5), timedelta(hours=17)),
        ("22:00-05:00", at(21, 59, 30), timedelta(seconds=30)),
        ("09:00-17:00", at(9), timedelta(0)),
        ("09:00-17:00", at(17), timedelta(hours=16)),
        ("09:00-17:00", at(8), timedelta(hours=1)),
        ("00:00-00:00", at(12), timedelta(0)),
    ],
)
def test_the_window_says_when_the_next_connection_may_begin(window: str, now: datetime, opens_in: timedelta) -> None:
    """Over midnight or within a day, the end left out; the same time twice is the whole day."""
    found = window_of(Scan(window=window))
    assert found is not None
    assert found.opens_in(now) == opens_in


@given(st.times(), st.times(), st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_after_waiting_the_window_is_open(begin: object, end: object, now: datetime) -> None:
    """What a window says of the wait is true, and no wait is longer than a day."""
    found = window_of(Scan(window=f"{begin:%H:%M}-{end:%H:%M}"))
    assert found is not None
    here = now.replace(tzinfo=UTC)
    wait = found.opens_in(here)
    assert timedelta(0) <= wait < timedelta(days=1) + timedelta(seconds=1)
    assert found.opens_in(here + wait) == timedelta(0)


def test_without_a_window_there_is_none() -> None:
    """A scan works at any time unless it is told otherwise."""
    assert window_of(Scan()) is None
