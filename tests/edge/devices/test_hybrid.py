"""Sources together: combined keys, the fallback from one source to another, and policies changed while KMEs run."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystrand.edge.devices.twin_source import TwinSource
from keystrand.keys.lifecycle import KeyEvent
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PolicyDenied

from .conftest import Duo, until

pytestmark = pytest.mark.system

PQC = "[[pqc_source]]\nlink = 'corridor'\nbits_per_s = 4000000\n"
PROFILES = """\
default = "allow"
[[profile]]
name = "qkd"
strands = [{ source = "qkd", strength = "simulated" }]
result = "simulated"
[profile.exhaustion]
mode = "degrade"
degrade_to = "pqc"
max_duration_s = 8
recover_bits = 4096
[[profile]]
name = "hybrid"
strands = [{ source = "qkd", strength = "simulated" }, { source = "pqc", strength = "post-quantum" }]
result = "post-quantum"
[[profile]]
name = "pqc"
strands = [{ source = "pqc", strength = "post-quantum" }]
result = "post-quantum"
"""


def policy(*profiles: str, name: str = "test") -> str:
    """Return a policy by which every pair takes these profiles, in order."""
    return f"name = '{name}'\ndefault_profiles = {list(profiles)}\n{PROFILES}"


def both(duo: Duo, *profiles: str) -> None:
    """Give both KMEs a PQC source and a policy."""
    (duo.pair.folder / "policy.toml").write_text(policy(*profiles))
    for at in (0, 1):
        duo.configure(at, PQC, head="policy = 'policy.toml'")


def sha256_of(text: str) -> str:
    """Return what the audit says of a file with that text."""
    return hashlib.sha256(text.encode()).hexdigest()


def twin(duo: Duo) -> TwinSource:
    """Return a simulated quantum link."""
    return TwinSource(duo.pair.link, duo.pair.source_ends, bits_per_s=400_000, qber=0.02, block_bits=8192)


def audited(duo: Duo, at: int, action: str) -> list[dict[str, Any]]:
    """Return the audit's lines of one action at a KME."""
    folder = Path(f"{duo.pair.folder / ('kme-a', 'kme-b')[at]}.audit")
    lines = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [line for line in lines if line.get("action") == action]


def drained(duo: Duo) -> Callable[[], bool]:
    """Return what takes the keys of the quantum link until the KME gives others in their place."""

    def drain() -> bool:
        return bool(duo.deliver(number=8)[0]["keystrand_sources"] == ["pqc"])

    return drain


def test_a_key_of_two_sources_is_the_same_at_both_ends(duo: Duo) -> None:
    """The combined key needs both pools, is labelled by its strongest strand, and names what it was made from."""
    both(duo, "hybrid")
    until(lambda: duo.bits(0, "pqc"))
    with pytest.raises(NoKeyAvailable):
        duo.deliver()
    with twin(duo):
        until(lambda: all(duo.bits(at, source) for at in (0, 1) for source in ("qkd", "pqc")))
        for at, size in ((0, 256), (1, 512)):
            for told in duo.deliver(at, number=8, size=size):
                assert (told["keystrand_label"], told["keystrand_profile"]) == ("post-quantum", "hybrid")
                assert told["keystrand_sources"] == ["qkd", "pqc"]
                assert told["keystrand_qber_max"] == 0.02


def test_when_the_quantum_link_is_cut_the_policy_says_what_takes_its_place(duo: Duo) -> None:
    """The substitute says what it stands for, is audited, ends by itself, and goes when the link is back."""
    both(duo, "qkd", "pqc")
    until(lambda: duo.bits(0, "pqc") and duo.bits(1, "pqc"))
    with twin(duo) as source:
        until(lambda: duo.bits(0, "qkd") >= 8192)
        usual = duo.deliver()[0]
        assert (usual["keystrand_label"], usual.get("keystrand_instead_of")) == ("simulated", None)
        source.cut()
        until(drained(duo))
        instead = duo.deliver()[0]
        assert (instead["keystrand_label"], instead["keystrand_instead_of"]) == ("post-quantum", ["qkd"])
        assert [line["detail"]["state"] for line in audited(duo, 0, "supply")] == ["degraded"]
        with duo.operator(0) as operator:
            assert operator.status()["supply"] == [{"link": "corridor", "profile": "qkd", "state": "degraded"}]
        until(lambda: refused(duo))
        until(lambda: [line["detail"]["state"] for line in audited(duo, 0, "supply")] == ["degraded", "closed"])
        source.restore()
        until(lambda: not refused(duo))
        assert duo.deliver()[0]["keystrand_label"] == "simulated"
    assert [line["detail"]["state"] for line in audited(duo, 0, "supply")] == ["degraded", "closed", "normal"]


def refused(duo: Duo) -> bool:
    """Return whether no key can be had."""
    time.sleep(0.1)
    try:
        duo.deliver(number=1)
    except NoKeyAvailable:
        return True
    return False


def test_a_policy_is_staged_activated_and_rolled_back_while_keys_flow(duo: Duo) -> None:
    """Nothing changes before it is activated; then the next request obeys; rolling back brings the old one back."""
    both(duo, "pqc")
    until(lambda: duo.bits(0, "pqc"))
    denying = policy("pqc", name="denying") + "[[deny]]\nid = 'closed'\nreason = 'under investigation'\n"
    with duo.operator(0) as operator:
        before = operator.status()["up_s"]
        with pytest.raises(InvalidInput):
            operator.stage_policy("name = 'broken'", "broken.toml")
        with pytest.raises(InvalidInput):
            operator.activate_policy()
        assert operator.stage_policy(denying, "denying.toml")["staged"]["file"] == "denying.toml"
        duo.deliver()
        assert operator.activate_policy()["active"]["file"] == "denying.toml"
        with pytest.raises(PolicyDenied, match="under investigation"):
            duo.deliver()
        assert operator.roll_back_policy()["active"]["file"] != "denying.toml"
        duo.deliver()
        assert operator.status()["up_s"] >= before
    for action in ("policy_staged", "policy_activated", "policy_rolled_back"):
        assert [line["actor"] for line in audited(duo, 0, action)] == ["urn:keystrand:operator:operator"]
    first = {"file": "policy.toml", "digest": sha256_of(policy("pqc")), "revision": 1}
    second = {"file": "denying.toml", "digest": sha256_of(denying), "revision": 2}
    (activated,) = audited(duo, 0, "policy_activated")
    (back,) = audited(duo, 0, "policy_rolled_back")
    assert (activated["detail"]["active"], back["detail"]["active"]) == (second, first)
    # at each start, the first of them without a file
    in_force = [line["detail"]["active"] for line in audited(duo, 0, "policy")]
    assert in_force == [{"file": "built-in policy", "digest": "", "revision": 0}, first]


def test_a_limit_that_is_none_is_refused(duo: Duo) -> None:
    """Out of range, no number, or more digits than Python reads: 400."""
    with duo.operator(0) as operator:
        for limit in ("0", "1001", "x", "9" * 5000):
            with pytest.raises(InvalidInput, match="answered 400"):
                operator._get("keys", limit=limit)


@pytest.mark.parametrize("event", [KeyEvent.REVOKE, KeyEvent.COMPROMISE])
def test_what_an_operator_revokes_at_one_end_is_gone_at_the_other(duo: Duo, event: KeyEvent) -> None:
    """The slave's KME destroys the key before its SAE has fetched it, and both audits say why."""
    both(duo, "pqc")
    until(lambda: duo.bits(0, "pqc"))
    mine, theirs = duo.pair.saes
    with duo.pair.client(mine) as master, duo.operator(0) as here, duo.operator(1) as there:
        keys = master.enc_keys(theirs, number=2)
        key_ids = [key.key_id for key in keys]
        assert [row["state"] for row in there.keys_of(key_ids[0])] == ["active", "active"]
        assert here.happen(key_ids[1], event, "the laptop was lost")
        until(lambda: {row["state"] for row in there.keys_of(key_ids[0])}.isdisjoint({"active"}))
    with duo.pair.client(theirs) as slave, pytest.raises(InvalidInput):
        slave.dec_keys(mine, key_ids)
    assert audited(duo, 0, f"key_{event.value}")[0]["detail"]["why"] == "the laptop was lost"
    assert audited(duo, 1, "notice")[0]["detail"]["event"] == event.value


def test_a_rotation_reaches_the_kmes_of_both(duo: Duo) -> None:
    """Asked at either KME, what waits at the slave's is void and the master's counts anew; a KME away is told of."""
    rotating = policy("pqc") + "[[rotation]]\nid = 'r'\nmaster = 'sae-a'\nslave = 'sae-b'\nmax_keys = 1000\n"
    (duo.pair.folder / "policy.toml").write_text(rotating)
    for at in (0, 1):
        duo.configure(at, PQC, head="policy = 'policy.toml'")
    until(lambda: duo.bits(0, "pqc"))
    for at in (0, 1):
        with duo.pair.client("sae-a") as client:
            key_ids = [key.key_id for key in client.enc_keys("sae-b", number=2)]
        with duo.operator(0) as counting, duo.operator(at) as asked, duo.operator(1) as holding:
            assert not counting.rotation("sae-a", "sae-b")["due"]
            assert asked.rotate("sae-a", "sae-b") == {
                "master": "sae-a", "slave": "sae-b", "orders_voided": 1, "trouble": "",
            }  # fmt: skip
            assert counting.rotation("sae-a", "sae-b")["due"]
            assert [row["state"] for row in holding.keys_of(key_ids[0])] == ["destroyed", "destroyed"]
        duo.deliver()
    duo.pair.kill("kme-b")
    with duo.operator(0) as asked:
        assert asked.rotate("sae-a", "sae-b")["trouble"]
        with pytest.raises(InvalidInput):
            asked.rotate("sae-x", "sae-y")
    duo.pair.restart("kme-b")
