"""The table of conversations: no octet is lost or counted twice, however many conversations there are room for."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.capture_wire import ACK, FIN, SYN, Ends, ethernet, ip, tcp, udp

from keystrand.formats.capture_flows import Flow, FlowTable
from keystrand.formats.capture_session import Session

octets = st.binary(max_size=40)
flags = st.sampled_from([ACK, ACK, ACK, SYN, FIN | ACK])
steps = st.lists(st.tuples(st.integers(0, 9), st.booleans(), octets, flags, st.booleans()), max_size=80)


@settings(max_examples=200, deadline=None)
@given(steps, st.integers(1, 4))
def test_every_octet_is_in_one_conversation(said: list[tuple[int, bool, bytes, int, bool]], limit: int) -> None:
    """Evicted, begun anew, half seen: the volumes of all that is concluded are those of all packets."""
    concluded: list[tuple[int, int]] = []

    def conclude(flow: Flow) -> None:
        concluded.append((sum(way.octets for way in flow.ways), sum(way.packets for way in flow.ways)))

    table = FlowTable(lambda _flow, _session: None, conclude, limit=limit)
    for port, client, payload, signals, over_udp in said:
        ends = Ends(client_port=1000 + port)
        packet = udp(ends, payload, client=client) if over_udp else tcp(ends, 7, payload, client=client, flags=signals)
        frame = ethernet(packet)
        table.take((1, 1, frame, len(frame)))
    table.end()
    assert sum(volume for volume, _ in concluded) == sum(len(payload) for _, _, payload, _, _ in said)
    assert sum(packets for _, packets in concluded) == len(said)


def test_what_is_held_of_heads_is_given_back() -> None:
    """After the end of all conversations nothing is held, whatever became of them."""
    table = FlowTable(lambda _flow, _session: None, lambda _flow: None)
    draw = random.Random(1)
    for n in range(300):
        frame = ethernet(
            tcp(Ends(client_port=2000 + n % 40), draw.randrange(5000), draw.randbytes(90), client=n % 3 > 0)
        )
        table.take((1, n, frame, len(frame)))
    table.end()
    assert table._held == 0


def test_unfinished_heads_turn_the_table_before_they_fill_the_memory() -> None:
    """Hellos that never end are given up once they hold too much, and that is told."""
    seen: list[Session] = []
    table = FlowTable(lambda _flow, session: seen.append(session), lambda _flow: None)
    beginning = b"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03" + bytes(1389)
    for port in range(1, 12_000):
        for number in range(0, 14_000, 1400):
            segment = beginning if number == 0 else bytes(1400)
            frame = ethernet(tcp(Ends(client_port=port), number, segment, client=True))
            table.take((1, 1, frame, len(frame)))
        if table.told.evicted:
            break
    assert table.told.evicted > 0


def test_esp_and_tunnels_have_no_ports() -> None:
    """Two addresses make a conversation of ESP, in both directions one."""
    concluded: list[Flow] = []
    table = FlowTable(lambda _flow, _session: None, concluded.append)
    for source, destination in (("192.0.2.1", "192.0.2.2"), ("192.0.2.2", "192.0.2.1")):
        frame = ethernet(ip(source, destination, 50, bytes(50)))
        table.take((1, 1, frame, len(frame)))
    table.end()
    assert [(flow.transport, flow.protocol) for flow in concluded] == [("other", "esp")]
