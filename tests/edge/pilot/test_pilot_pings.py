"""Pings at a steady pace: read while they run, however many, whatever answers."""

import struct
import time
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.consumers.corridor import needs

from keystrand.edge.daemons import Daemons, Space
from keystrand.edge.pilot.pinger import RECORD
from keystrand.edge.pilot.pings import Pings

HOST = "10.9.9.9"


class _Nowhere(Space):
    """A namespace that was never made: nothing is started here."""

    @property
    def prefix(self) -> tuple[str, ...]:
        return ()


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.data())
def test_answers_find_their_packets_however_they_are_read(answered: list[bool], data: st.DataObject) -> None:
    """In any order, twice or in pieces of any size, as by a reader that keeps a table of its own."""
    records, expected = [], []
    for number, came in enumerate(answered, 1):
        records.append((number, float(number)))
        expected.append(number + 0.25 if came else None)
    answers = [(-number, at) for number, at in enumerate(expected, 1) if at is not None]
    answers = data.draw(st.permutations(answers)) + [(number, at + 9) for number, at in answers]
    octets = b"".join(struct.pack(RECORD, *one) for one in [*records, *answers])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=5)))
    with TemporaryDirectory() as folder:
        pings = Pings(_Nowhere("nowhere", Path(folder)), HOST, 10, Path(folder))
        for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            with (Path(folder) / f"pings-{HOST}.records").open("ab") as file:
                file.write(octets[begin:end])
            packets = pings.packets()
    assert list(packets.sent_s) == [float(number) for number in range(1, len(answered) + 1)]
    assert [None if isnan(at) else at for at in packets.answered_s] == expected


def test_more_than_the_numbers_of_icmp(tmp_path: Path) -> None:
    """Beyond 65,536 they have numbers of their own; at most 1,000 ways are given, from all of the time."""
    pings = Pings(_Nowhere("nowhere", tmp_path), HOST, 1000, tmp_path)
    count = 200_000
    with (tmp_path / f"pings-{HOST}.records").open("wb") as file:
        for number in range(1, count + 1):
            file.write(struct.pack(RECORD, number, number / 1000))
            if number != 100_000:
                file.write(struct.pack(RECORD, -number, number / 1000 + 0.0005))
    seen = pings.traffic(0, count)
    assert (seen.tried, seen.failed) == (count, 1)
    assert 900 < len(seen.operation_s) <= 1000
    within = pings.traffic(99, 101)
    assert (within.tried, within.failed) == (2000, 1)
    assert within.longest_gap_s == pytest.approx(0.002)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A namespace with an address that answers."""
    with Daemons() as care:
        made = Space("alone", tmp_path)
        care.add(made)
        made.start()
        made.run("ip", "address", "add", f"{HOST}/24", "dev", "lo")
        made.run("ip", "address", "add", "10.9.8.1/24", "dev", "lo")
        yield made


@pytest.mark.system
@needs()
def test_what_a_guard_refuses_was_tried(space: Space, tmp_path: Path) -> None:
    """Every one is answered; then none, and they go on being sent, at the same pace; then every one again."""
    pings = Pings(space, HOST, 500, tmp_path, source="10.9.8.1")
    with Daemons() as care:
        care.add(pings)
        pings.start()
        rule = f"ip saddr 10.9.8.1 ip daddr {HOST} drop"
        guard = f"table inet guard {{ chain out {{ type filter hook output priority 0; {rule}; }}; }}"
        seen = []
        for change in ("list tables", guard, "delete table inet guard"):
            space.run("nft", change)
            began_s = time.time()
            time.sleep(0.3)
            seen.append(pings.traffic(began_s, began_s + 0.3))
    quiet, guarded, after = seen
    assert quiet.failed == after.failed == 0
    assert guarded.failed == guarded.tried
    assert guarded.longest_gap_s == pytest.approx(0.3)
    assert min(one.tried for one in seen) > 30
