"""The truth table: what a scan says of live servers is exactly what they are configured to do, and no host is lost."""

import os
from collections.abc import Iterator

import pytest
from tests.edge.probes.bed.cases import CASES, SERVERS, STRANGER, TOLD_IN_FULL, Case
from tests.edge.probes.bed.seen import attempt_of, scanned, truth_of
from tests.edge.probes.bed.start import missing, served

from keystrand.model.estate import ScanMode
from keystrand.model.observation import Outcome, Record

pytestmark = pytest.mark.system


Seen = dict[str, tuple[Record, ...]]


@pytest.fixture(scope="module")
def by_mode() -> Iterator[dict[ScanMode, Seen]]:
    """Start every server that can be one here, scan them all once in each mode, and stop them."""
    absent = missing()
    cases = [case for case in (*CASES, STRANGER) if case.server.program not in absent]
    with served(cases) as ports:
        yield {mode: scanned(ports, cases, mode) for mode in ScanMode}


@pytest.fixture(scope="module")
def seen(by_mode: dict[ScanMode, Seen]) -> Seen:
    """Return what the standard scan saw."""
    return by_mode[ScanMode.STANDARD]


@pytest.fixture(scope="module")
def absent() -> dict[str, str]:
    """Return why some programs cannot be servers here."""
    return dict(missing())


def needed(case: Case, absent: dict[str, str]) -> None:
    """Skip where the program is not here; in CI nothing may be left out."""
    if case.server.program in absent:
        reason = f"{case.server.program}: {absent[case.server.program]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.host)
def test_what_is_seen_is_what_is_configured(case: Case, seen: Seen, absent: dict[str, str]) -> None:
    """Versions, support, negotiation, silent downgrade, key establishment and authentication: each exactly right."""
    needed(case, absent)
    assert case.name in seen, f"{case.server.program} did not start"
    attempt = attempt_of(seen[case.name])
    assert attempt.outcome is Outcome.SEEN
    assert bool(attempt.reason) == bool(case.remark)
    assert case.remark in attempt.reason
    assert truth_of(seen[case.name]) == case.truth


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.host)
def test_a_quick_scan_is_right_about_what_it_asks(
    case: Case, by_mode: dict[ScanMode, Seen], absent: dict[str, str]
) -> None:
    """In three connections at most: is post-quantum key exchange there, and does a client of today get it?"""
    needed(case, absent)
    truth = truth_of(by_mode[ScanMode.QUICK][case.name])
    assert truth is not None
    assert case.truth is not None
    assert (truth.supports, truth.negotiates) == (case.truth.supports, case.truth.negotiates)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.host)
def test_a_full_scan_sees_all_that_a_standard_one_does(
    case: Case, by_mode: dict[ScanMode, Seen], absent: dict[str, str]
) -> None:
    """Asking for everything changes nothing about the facts of the table, and what it finds besides is told."""
    needed(case, absent)
    records = by_mode[ScanMode.FULL][case.name]
    assert truth_of(records) == case.truth
    expected = TOLD_IN_FULL.get(case.name, case.remark)
    assert bool(attempt_of(records).reason) == bool(expected)
    assert expected in attempt_of(records).reason


def test_a_server_of_another_name_is_not_taken_for_one_without_tls(seen: Seen, absent: dict[str, str]) -> None:
    """A server that wants another name than the estate gives answers with an alert, which is told."""
    needed(STRANGER, absent)
    attempt = attempt_of(seen[STRANGER.name])
    assert attempt.outcome is Outcome.UNREADABLE
    assert STRANGER.remark in attempt.reason


def test_the_table_is_wide_enough() -> None:
    """At least 24 configurations, each by another name, with every way to agree and to authenticate among them."""
    assert len({case.host for case in CASES}) == len(CASES) == len(SERVERS) >= 24
    truths = [case.truth for case in CASES if case.truth]
    assert {"RSA-2048", "ECDSA-P-256", "ECDSA-P-384", "Ed25519", "ML-DSA-65"} <= {
        name for truth in truths for name in truth.authenticates.split()
    }
    assert {"X25519MLKEM768", "ML-KEM-768", "X25519", "FFDH-2048", "RSA-KEX-2048"} <= {truth.key for truth in truths}
    assert {"1.3", "1.2", "1.1", "1.0"} <= {truth.versions.removeprefix("TLSv") for truth in truths}
    told = {(truth.supports, truth.negotiates, truth.downgrades) for truth in truths}
    assert {(True, True, False), (True, True, True), (True, False, True), (False, False, False)} <= told
