"""Read a key policy, run its own tests, show what it says."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from keystrand.edge.files import read_bytes
from keystrand.formats.key_policy_toml import key_policy_from_toml
from keystrand.formats.wording import counted
from keystrand.keys.cases import CaseResult, run_cases
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.key_policy import CryptoProfile, ExhaustionMode, KeyPolicy, Outcome

Row = dict[str, Any]


def open_policy(path: Path) -> PolicyRules:
    """Return the key policy in `path`, ready to be asked. Raises `InvalidInput` with every problem, `MissingInput`."""
    content = read_bytes(path, hint="examples/key-policy.toml is a complete one to begin with")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(message="not UTF-8", file=str(path), line=line, hint="save the file as UTF-8")
        raise InvalidInput(f"the key policy {path} is no text", problems=(problem,)) from None
    return PolicyRules(key_policy_from_toml(text, str(path)), file=str(path))


def run_policy_tests(rules: PolicyRules, as_of: date) -> tuple[CaseResult, ...]:
    """Return what comes of the policy's own tests, those without a day on `as_of`; failed ones first."""
    results = run_cases(rules, datetime.combine(as_of, time(), tzinfo=UTC).timestamp())
    return tuple(sorted(results, key=lambda result: not result.faults))


def case_rows(results: Sequence[CaseResult]) -> list[Row]:
    """Return one row a test."""
    return [
        {
            "test": result.case.name,
            "result": "FAILED" if result.faults else "passed",
            "outcome": result.outcome.value,
            "profile": result.profile,
            "fallback": result.fallback,
            "by_entry": result.entry,
            "remark": "; ".join(filter(None, (*result.faults, result.why))),
        }
        for result in results
    ]


def summary(results: Sequence[CaseResult]) -> str:
    """Return in a sentence what came of the tests, requests counted with and without the region exceptions."""
    if not results:
        return "the policy has no tests: add a [[test]] for each promise that it makes"
    allowed = [result for result in results if result.outcome is Outcome.ALLOW]
    excepted = sum(bool(result.exception) for result in allowed)
    failed = sum(bool(result.faults) for result in results)
    return (
        f"{counted(len(results), 'test')}, {failed} failed; {len(allowed)} of the requests are allowed, "
        f"{len(allowed) - excepted} without a region exception"
    )


def policy_rows(policy: KeyPolicy, as_of: date) -> list[Row]:
    """Return one row an entry, in the order in which they are read."""
    entries = (*_general(policy), *_profiles(policy), *_who(policy), *_exceptions(policy, as_of), *_limits(policy))
    return [{"kind": kind, "entry": name, "for": subject, "says": says} for kind, name, subject, says in entries]


_Entry = tuple[str, str, str, str]


def _general(policy: KeyPolicy) -> Iterator[_Entry]:
    profiles = f": {', '.join(policy.default_profiles)}" if policy.default_profiles else ""
    yield "default", "", "whom no entry names", f"{policy.default}{profiles}"
    yield "replay", "", "every SAE", policy.replay
    yield "transport", "", "whom no entry names", f"a post-quantum group is {policy.post_quantum_group}"


def _profiles(policy: KeyPolicy) -> Iterator[_Entry]:
    for profile in policy.profiles:
        regions = f"regions {', '.join(profile.regions)}" if profile.regions else "links without tags"
        yield "profile", profile.name, regions, f"{profile.label}, {profile.result}; {_when_out(profile)}"


def _when_out(profile: CryptoProfile) -> str:
    told = profile.exhaustion
    if told.mode is ExhaustionMode.WAIT:
        return f"when out: wait {told.wait_s:g} s"
    if told.mode is ExhaustionMode.DEGRADE:
        return f"when out: {told.degrade_to} for {told.max_duration_s:g} s at most"
    return "when out: fail"


def _who(policy: KeyPolicy) -> Iterator[_Entry]:
    for allow in policy.allows:
        yield "allow", allow.id, _pair(allow.master, allow.slave, allow.both_ways, allow.links), _names(allow.profiles)
    for deny in policy.denies:
        what = _names((*deny.sources, *deny.profiles)) or "everything"
        yield "deny", deny.id, _pair(deny.master, deny.slave, deny.both_ways, deny.links), f"{what}: {deny.reason}"


def _exceptions(policy: KeyPolicy, as_of: date) -> Iterator[_Entry]:
    for entry in policy.region_exceptions:
        state = "in force until" if as_of < entry.expires else "ended"
        says = f"{entry.profile} over {_names(entry.regions)}, {state} {entry.expires}: {entry.reason}"
        yield "region exception", entry.id, _names(entry.links) or "any link", f"{says} ({entry.owner})"


def _limits(policy: KeyPolicy) -> Iterator[_Entry]:
    for quota in policy.quotas:
        bits = f"{quota.burst_bits} bits, {quota.bits_per_s:g} each second" if quota.burst_bits else ""
        requests = (
            f"{quota.burst_requests} requests, {quota.requests_per_s:g} each second" if quota.burst_requests else ""
        )
        yield "quota", quota.id, quota.sae, "; ".join(filter(None, (bits, requests)))
    for transport in policy.transports:
        yield "transport", transport.id, transport.sae, f"a post-quantum group is {transport.post_quantum_group}"
    for rule in policy.rotations:
        age = f"after {rule.max_age_s:g} s" if rule.max_age_s else ""
        keys = f"after {rule.max_keys} keys" if rule.max_keys else ""
        says = " or ".join(filter(None, (age, keys)))
        yield "rotation", rule.id, _pair(rule.master, rule.slave, rule.both_ways, ()), f"a new key {says}"


def _pair(master: str, slave: str, both_ways: bool, links: Sequence[str]) -> str:  # noqa: FBT001 - private, read off an entry
    over = f" over {_names(links)}" if links else ""
    return f"{master} {'and' if both_ways else 'to'} {slave}{over}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
