"""MACsec under keys of ours: what ip(8) is told, and what follows on two devices, which are modelled here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from tests.edge.consumers.macsec_model import ADDRESSES, HISTORIES, Modelled, exchange, lived, name_of, send

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.macsec import make
from keystrand.edge.consumers.macsec_device import Device
from keystrand.model.errors import InvalidInput


@given(HISTORIES)
def test_whatever_failed_before_a_change_is_proven_at_the_second_try_at_the_latest(
    history: list[tuple[str, int, int, bool]],
) -> None:
    """The ends need not keep step, and nothing that is left over stands in the way."""
    a, b, n = lived(history)
    for name in (name_of(n + 1), name_of(n + 2)):
        b.install(name, name)
        a.install(name, name)
        exchange(a, b)
        if a.proves(name) and b.proves(name):
            break
    assert a.proves(name)
    assert b.proves(name)


@given(HISTORIES)
def test_a_key_that_is_there_is_not_set_again(history: list[tuple[str, int, int, bool]]) -> None:
    """Its frames would be numbered anew, and two under one number give the key away."""
    for end in lived(history)[:2]:
        for key, _ in end.sending.values():
            for at_once in (False, True):
                assert not any("add" in line for line in end.ends().installing(key, at_once=at_once))


@given(HISTORIES)
def test_between_two_proven_keys_no_frame_is_lost_at_any_line(history: list[tuple[str, int, int, bool]]) -> None:
    """Frames go both ways after every single line at either end, from any settled state, and each of them is taken."""
    a, b, n = lived(history)
    old = ""
    for name in (name_of(n + 1), name_of(n + 2), name_of(n + 3)):
        lossless = old and a.proves(old) and b.proves(old)

        def frames(*, must: bool = bool(lossless)) -> None:
            b.follow()
            taken = (send(a, b), send(b, a))
            assert taken == (True, True) or not must

        b.install(name, name, between=frames)
        a.install(name, name, between=frames)
        frames()
        frames()
        if lossless:
            assert a.proves(name)
            assert b.proves(name)
            a.retire(old, frames)
            b.retire(old, frames)
        old = name
    assert a.proves(old)


def _settled() -> tuple[Modelled, Modelled]:
    a, b, _ = lived([("change", 0, 0, True)])
    assert a.proves(name_of(1))
    return a, b


def test_while_a_change_fails_the_key_before_it_still_serves_who_sends_under_it() -> None:
    """The responder, which never heard the initiator's other key, is heard at every line of the change after it."""
    a, b = _settled()
    b.install(name_of(2), "one")
    a.install(name_of(2), "another")
    exchange(a, b)
    assert not a.proves(name_of(2))

    def frame() -> None:
        assert send(b, a)

    b.install(name_of(3), "three", between=frame)
    a.install(name_of(3), "three", between=frame)
    exchange(a, b)
    assert a.proves(name_of(3))


@pytest.mark.parametrize("at", [0, 1], ids=["initiator", "responder"])
def test_who_loses_the_key_it_sends_under_sends_under_the_other(at: int) -> None:
    """The initiator goes back to the key before it; the responder, which has heard nothing yet, goes on to the new."""
    a, b = _settled()
    b.install(name_of(2), "two")
    a.install(name_of(2), "two")
    end, lost, left = ((a, name_of(2), name_of(1)), (b, name_of(1), name_of(2)))[at]
    assert end.ends().sent_under == lost
    end.retire(lost)
    assert end.ends().sent_under == left
    assert send(end, (b, a)[at])


@given(HISTORIES)
def test_with_the_last_key_gone_nothing_is_sent_or_taken(history: list[tuple[str, int, int, bool]]) -> None:
    """Retiring every key leaves an empty device."""
    for end in lived([*history, ("forget all", 0, 0, False)])[:2]:
        assert (end.sending, end.receiving) == ({}, {})


def test_a_key_goes_to_ip_by_standard_input_and_no_other_way(tmp_path: Path) -> None:
    """Arguments and environment of the command hold no key; its standard input does, where the word KEY stood."""
    recorder = tmp_path / "ip"
    recorder.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words; env >> {tmp_path}/words; cat > {tmp_path}/given\n')
    recorder.chmod(0o755)
    line = "macsec add sec0 tx sa 1 pn 1 on key 00 KEY"
    asked = (
        "import sys; from keystrand.crypto.secret import Secret\n"
        "from keystrand.edge.consumers.macsec_device import Device\n"
        f"Device('sec0').change(['link set dev sec0 up', {line!r}], Secret(bytes(range(32))))"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-c", asked], env=env, check=True)
    key = bytes(range(32)).hex()
    assert (tmp_path / "given").read_text() == f"link set dev sec0 up\n{line.replace('KEY', key)}\n"
    words = (tmp_path / "words").read_text()
    assert words.startswith("-batch -\n")
    assert key not in words


@pytest.mark.parametrize(
    "line",
    ["macsec add none0 tx sa 1 pn 1 on key KEY 00", "macsec add none0 tx sa 1 KEY", "link set dev none0 mtu KEY"],
)
def test_no_complaint_of_ip_shows_a_key(line: str) -> None:
    """ip(8) repeats the argument that it dislikes, and may end there without a word on the line; we do not."""
    with pytest.raises(ConsumerFailure) as failure:
        Device("none0").change([line], Secret(bytes(range(32))))
    assert f"ip {line}" in failure.value.message
    assert bytes(range(4)).hex() not in str(failure.value) + repr(failure.value)


def test_a_device_that_is_not_there_is_named() -> None:
    """So is what it needs."""
    with pytest.raises(ConsumerFailure, match="none0") as failure:
        Device("none0").shown()
    assert "root" in failure.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [("peer", "02:00:00:00:00"), ("peer", "01:00:5e:00:00:01"), ("far", "10.2.0.0/33"), ("far", ""),
     ("device", "a name"), ("port", 0)],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named(field: str, value: str | int) -> None:
    """With its field, before anything is touched."""
    settings = {"device": "sec0", "peer": ADDRESSES[0], "far": "10.2.0.0/24", field: value}
    with pytest.raises(InvalidInput) as refusal:
        make(settings, Role.INITIATOR)
    assert refusal.value.problems[0].field == field


def test_a_key_that_has_no_name_of_sixteen_octets_is_not_installed() -> None:
    """The kernel could not say which key is in use."""
    made = make({"device": "sec0", "peer": ADDRESSES[0], "far": "10.2.0.0/24"}, Role.INITIATOR)
    with pytest.raises(ConsumerFailure, match="UUID"):
        made.install(NewKey("one", "qkd", Secret(bytes(32))))
