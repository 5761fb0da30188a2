"""`keystrand keys`: states by ID, events that reach both ends, rotation; and never a key."""

import base64
import time
from pathlib import Path
from uuid import uuid4

import pytest

from keystrand.model.errors import InvalidInput

from .conftest import Lab, Typed
from .test_kme_commands import POLICY

pytestmark = pytest.mark.system


def state_at(lab: Lab, typed: Typed, at: int, key_id: str) -> str:
    """Return a key's state at a KME."""
    told = typed("keys", "show", key_id, *lab.options(at), "-o", "json")
    return str(told.json[0]["state"])


def until(lab: Lab, typed: Typed, key_id: str, state: str) -> None:
    """Wait until the slave's KME has a key in `state`."""
    for _ in range(200):
        if state_at(lab, typed, 1, key_id) == state:
            return
        time.sleep(0.05)
    raise AssertionError(f"{key_id} did not become {state}")


def test_keys_are_listed_by_sae_and_state(lab: Lab, typed: Typed) -> None:
    """The slave's KME lists what waits for its SAE; a limit says that there is more."""
    key_ids = lab.keys(4)
    told = typed("keys", "list", *lab.options(1), "--sae", "sae-2", "--state", "active", "-o", "json")
    listed = {row["key_ID"]: row for row in told.json}
    assert set(key_ids) <= set(listed)
    row = listed[key_ids[0]]
    assert (row["role"], row["partner"], row["fetched"], row["label"]) == ("slave", "sae-1", False, "simulated")
    few = typed("keys", "list", *lab.options(1), "--limit", "2", "-o", "csv")
    assert len(few.out.splitlines()) == 3
    assert "there are more than these 2" in few.err
    wrong = typed("keys", "list", *lab.options(1), "--state", "asleep")
    assert wrong.code == 2
    assert "pre-activation, active" in wrong.err


def test_no_form_of_any_answer_holds_a_key(lab: Lab, typed: Typed) -> None:
    """Neither base64 nor hexadecimal of a key is in what the commands print."""
    with lab.client(0) as client:
        (key,) = client.enc_keys("sae-2")
    content = key.key.reveal()
    forms = (content.hex(), base64.b64encode(content).decode().rstrip("="))
    for words in (("keys", "list"), ("keys", "show", key.key_id), ("kme", "status")):
        for output in ("table", "json", "jsonl", "csv"):
            told = typed(*words, *lab.options(1), "-o", output)
            assert told.code == 0
            assert not any(form in told.out + told.err for form in forms)


def test_one_key_is_shown_and_an_unknown_one_is_not(lab: Lab, typed: Typed) -> None:
    """A key of a request of several is shown alone, times as text; an unknown ID, and text that is none, are errors."""
    key_ids = lab.keys(3)
    told = typed("keys", "show", key_ids[1].upper(), *lab.options(1), "-o", "jsonl")
    assert told.out.count("\n") == 1
    assert key_ids[1] in told.out
    assert "+00:00" in told.out
    for unknown in (str(uuid4()), "nonsense", "%"):
        told = typed("keys", "show", unknown, *lab.options(1))
        assert (told.code, told.out) == (2, "")
        assert "is known at this key management entity" in told.err


def test_a_dry_run_changes_nothing_and_the_real_one_reaches_both_ends(lab: Lab, typed: Typed) -> None:
    """Suspended keys wait, resumed ones can be fetched, revoked ones never again; each says which keys it touched."""
    key_ids, why = lab.keys(2), ("--why", "ticket 7")
    dry = typed("keys", "suspend", key_ids[0], *lab.options(1), *why, "--dry-run", "-o", "json")
    assert [(row["key_ID"], row["state"], row["becomes"]) for row in dry.json] == [
        (key_id, "active", "suspended") for key_id in key_ids
    ]
    assert "2 keys would change" in dry.err
    assert state_at(lab, typed, 1, key_ids[0]) == "active"
    # asked at the master's KME, it reaches the slave's
    assert typed("keys", "suspend", key_ids[0], *lab.options(0), *why).code == 0
    until(lab, typed, key_ids[1], "suspended")
    with lab.client(1) as client:
        with pytest.raises(InvalidInput):
            client.dec_keys("sae-1", key_ids)
        assert typed("keys", "resume", key_ids[1], *lab.options(1), *why).code == 0
        assert len(client.dec_keys("sae-1", key_ids[:1])) == 1
        done = typed("keys", "revoke", key_ids[0], *lab.options(1), *why, "-o", "json")
        assert {row["becomes"] for row in done.json} == {"deactivated"} or done.json
        with pytest.raises(InvalidInput):
            client.dec_keys("sae-1", key_ids[1:])


def test_a_compromised_key_says_so_at_both_ends(lab: Lab, typed: Typed) -> None:
    """The state compromised is told by both KMEs; what cannot happen to a key any more changes nothing."""
    (key_id,) = lab.keys()
    assert typed("keys", "compromise", key_id, *lab.options(0), "--why", "seen in a log").code == 0
    until(lab, typed, key_id, "compromised")
    assert state_at(lab, typed, 0, key_id) == "compromised"
    told = typed("keys", "resume", key_id, *lab.options(1), "--why", "a mistake", "-o", "json")
    assert (told.code, told.json) == (0, [])
    assert "0 keys changed" in told.err


def test_a_reason_is_demanded(lab: Lab, typed: Typed) -> None:
    """No event without a reason, none for an unknown key."""
    (key_id,) = lab.keys()
    assert typed("keys", "revoke", key_id, *lab.options()).code == 2
    assert typed("keys", "revoke", key_id, *lab.options(), "--why", " ").code == 2
    assert typed("keys", "revoke", str(uuid4()), *lab.options(), "--why", "x").code == 2


def test_rotation_is_asked_for_and_answered_by_exit_codes(lab: Lab, typed: Typed, tmp_path: Path) -> None:
    """0 is yes, 1 is no, and no answer is neither; rotate voids what waits and makes a new key due."""
    file = tmp_path / "rotating.toml"
    file.write_text(POLICY)
    pair = ("sae-1", "sae-2")
    assert typed("kme", "policy", "stage", str(file), *lab.options()).code == 0
    assert typed("kme", "policy", "activate", *lab.options()).code == 0
    try:
        key_ids = lab.keys(2)
        no = typed("keys", "needs-rotation", *pair, *lab.options(), "-o", "json")
        assert (no.code, no.json["due"], no.json["entry"]) == (1, False, "often")
        dry = typed("keys", "rotate", *pair, *lab.options(1), "--dry-run", "-o", "json").json[0]["orders_voided"]
        assert dry >= 1
        assert state_at(lab, typed, 1, key_ids[0]) == "active"
        done = typed("keys", "rotate", *pair, *lab.options(), "-o", "json")
        assert done.json[0]["orders_voided"] >= 1
        yes = typed("keys", "needs-rotation", *pair, *lab.options(), "-o", "json")
        assert (yes.code, yes.json["reason"]) == (0, "an operator asked for it")
        with lab.client(1) as client, pytest.raises(InvalidInput):
            client.dec_keys("sae-1", key_ids)
        lab.keys()
        assert typed("keys", "needs-rotation", *pair, *lab.options()).code == 1
    finally:
        assert typed("kme", "policy", "rollback", *lab.options()).code == 0


def test_no_answer_about_rotation_is_neither_yes_nor_no(lab: Lab, typed: Typed) -> None:
    """A KME that is away is exit 3, a wrong certificate 12, a mistake 2."""
    away = lab.options()
    away[1] = "https://127.0.0.1:1"
    assert typed("keys", "needs-rotation", "sae-1", "sae-2", *away).code == 3
    assert typed("keys", "needs-rotation", "sae-1", "sae-2", *lab.options(role="sae")).code == 12
    assert typed("keys", "needs-rotation", "sae-1", *lab.options()).code == 2
