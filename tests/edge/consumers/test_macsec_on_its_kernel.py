"""MACsec under keys of ours on Debian's kernel, which has the module, in a virtual machine."""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.edge.consumers import macsec_guest
from tests.edge.consumers.macsec_guest import ROTATIONS
from tests.edge.consumers.other_kernel import needs_other_kernel, other_kernel

import keystrand

_MODULES = ("veth", "macsec", "gcm", "ctr", "ghash_generic", "nf_tables")
"""Loaded beforehand: what the kernel loads at the first key takes long there, and no verb should wait for it."""
_GUEST = ("ip", "nft", "ping", "nsenter", "unshare")
pytestmark = [pytest.mark.slow, pytest.mark.system]
_needs_vm = needs_other_kernel(*_GUEST)
_needs_mka = needs_other_kernel(*_GUEST, "wpa_supplicant")


def _seen(mode: str, folder: Path) -> dict[str, Any]:
    """Return what two sites saw whose consumers ran in the machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keystrand-tests"
    source = Path(keystrand.__file__).parents[1]
    kernel = other_kernel(cache)
    python = f"PYTHONPATH={shlex.quote(str(source))} {shlex.quote(sys.executable)} -B {macsec_guest.__file__} {mode}"
    script = f"modprobe -d {shlex.quote(str(kernel.folder))} -a {' '.join(_MODULES)}\n{python}"
    said = kernel.run(script, folder, within_s=900.0)
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two sites saw that are keyed by SAKs."""
    return _seen("saks", tmp_path_factory.mktemp("guest"))


@_needs_vm
def test_before_the_first_key_nothing_passes_not_even_under_a_strangers(seen: dict[str, Any]) -> None:
    """A static key of somebody else carried traffic; `prepare` removes it."""
    assert seen["strange"] == 5
    assert seen["prepared"] == [None, None]
    assert seen["before"] == 0


@_needs_vm
def test_an_idle_link_proves_its_keys_at_both_ends(seen: dict[str, Any]) -> None:
    """The kernel's counters show it; nobody else sends anything."""
    for which in ("first", "idle", "responder"):
        in_use, why = seen[which]
        assert in_use, why
        assert re.search(r"in place [0-3] and took [1-9]\d* frames", why)
    assert seen["answered"] == 20


@_needs_vm
def test_a_dozen_changes_lose_no_packet_and_use_all_four_places(seen: dict[str, Any]) -> None:
    """Under pings all the while; the only key in the device is then the one of this key_ID, in the kernel's words."""
    changes = seen["rotations"]
    assert changes["sent"] > 100
    assert changes["received"] == changes["sent"]
    assert len(changes["places"]) == ROTATIONS
    assert set(changes["places"]) == {0, 1, 2, 3}
    assert changes["named"] == [[True]] * ROTATIONS


@_needs_vm
def test_different_keys_are_not_proven_and_the_next_change_puts_it_right(seen: dict[str, Any]) -> None:
    """So it does after one that only the responder heard of; retiring what failed then loses nothing."""
    assert not seen["wrong"][0]
    assert re.match(r"[1-9]\d* frames under it failed their check", seen["wrong at the responder"][1])
    assert seen["wrong answered"] == 0
    assert seen["healed"][0], seen["healed"]
    assert seen["healed answered"] == 20
    assert seen["still answered"] == 20
    assert seen["again"] == [None, None, 20]
    assert "takes keys of 256 bits, not 128" in seen["short"]


@_needs_vm
def test_with_the_last_key_gone_nothing_passes_and_nothing_leaks(seen: dict[str, Any]) -> None:
    """Of a thousand packets none leaves in clear with the device down and another route there; without the guard they
    do.
    """
    assert seen["retired last"] == [None, None]
    assert seen["after"] == 0
    assert "numbered anew" in seen["set again"]
    assert not seen["proof after"][0]
    assert seen["tried"] == 1000
    assert seen["leaked"] == 0
    assert seen["leaked without guard"] == 10


@_needs_mka
def test_by_mka_ends_agree_under_the_key_of_that_name_and_under_no_other(tmp_path: Path) -> None:
    """Real wpa_supplicants: two changes, both proven at both ends; another key at one end is not, the next one is; with
    the last one gone nothing leaks.
    """
    seen = _seen("mka", tmp_path)
    assert seen["prepared"] == [None, None]
    for name in ("first", "second"):
        assert seen[name] == [True, "MKA under this CKN has made the link secure"]
        assert seen[f"{name} at the responder"] == seen[name], seen
        assert seen[f"{name} answered"] >= 19
    assert seen["again"] == [None, seen["second"]]
    assert "128 or 256 bits" in seen["short"]
    assert not seen["wrong"][0]
    assert seen["healed"][0]
    assert seen["retired"] == [None, None]
    assert seen["after"] == [False, "the agreement is under another CKN"]
    assert (seen["tried"], seen["leaked"], seen["leaked without guard"]) == (1000, 0, 10)
