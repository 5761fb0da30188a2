"""A whole scan over UDP: QUIC, DTLS, IKE and DNS targets at once, through the scheduler, into one inventory."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from threading import Thread

import msgspec
import pytest
from tests.edge.probes.datagram_ends import HOST, Respond, free_port, hello_retry, responding
from tests.edge.probes.ike_gateway import HYBRID, Gateway
from tests.edge.probes.test_dns_probe import SIGNED, Zone
from tests.edge.probes.test_dtls_probe import record, retry
from tests.edge.probes.test_quic_probe import answered, replying

from keystrand.edge.estate_folder import load_estate
from keystrand.edge.probes.base import place_of
from keystrand.edge.probes.scheduler import planned, scan
from keystrand.formats.quic_frames import crypto_frame
from keystrand.model.estate import ProbeKind, Scan, ScanMode, Target
from keystrand.model.observation import Attempt, Endpoint, Observation, Outcome

EXAMPLE = Path(__file__).parents[3] / "examples" / "regional-bank"

pytestmark = pytest.mark.system


def quick(name: str, kind: ProbeKind, port: int, **more: str) -> Target:
    """Return a target for quick mode."""
    return Target(id=name, probe=kind, system="core-banking", host=HOST, port=port, mode=ScanMode.QUICK, **more)  # type: ignore[arg-type]


def test_four_protocols_in_one_scan(tmp_path: Path) -> None:
    """Each target ends in one attempt; what is post-quantum is seen; a port without a service stays unreachable."""
    with ExitStack() as stack:
        quic, dtls, ike, dns = (
            stack.enter_context(responding(respond))
            for respond in (
                replying(lambda asked: [answered(asked, crypto_frame(0, hello_retry(0x11EC)))]),
                lambda datagram: [retry(0x11EC) if len(datagram) < 800 else record(21, bytes((2, 40)))],
                Gateway(HYBRID),
                Zone(SIGNED),
            )
        )
        targets = (
            quick("web", ProbeKind.QUIC, quic),
            quick("phone", ProbeKind.DTLS, dtls),
            quick("gateway", ProbeKind.IKE, ike),
            quick("zone", ProbeKind.DNS, dns, zone="bank.example"),
            quick("gone", ProbeKind.QUIC, free_port()),
        )
        estate = msgspec.structs.replace(load_estate(EXAMPLE).estate, target=targets, scan=Scan())
        assert [contact.place for contact in planned(estate)] == [place_of(target) for target in targets]
        records = asyncio.run(scan(estate, tmp_path, sink=lambda _: None))
    ended = {one.target: one.outcome for one in records if isinstance(one, Attempt)}
    assert ended == dict.fromkeys(("web", "phone", "gateway", "zone"), Outcome.SEEN) | {"gone": Outcome.UNREACHABLE}
    seen = [one for one in records if isinstance(one, Observation)]
    endpoints = {one.target: one.fact for one in seen if isinstance(one.fact, Endpoint)}
    assert {name: fact.supports_post_quantum for name, fact in endpoints.items()} == dict.fromkeys(
        ("web", "phone", "gateway"), True
    )
    assert all(one.place.startswith(f"{one.probe}://{HOST}:") for one in seen)


@pytest.mark.parametrize("kind", [ProbeKind.DNS, ProbeKind.IKE])
def test_an_answer_from_another_port_is_not_heard(tmp_path: Path, kind: ProbeKind) -> None:
    """However right it is otherwise: a spoofed source."""
    right: Respond = Zone(SIGNED) if kind is ProbeKind.DNS else Gateway(HYBRID)
    with socket(AF_INET, SOCK_DGRAM) as asked, socket(AF_INET, SOCK_DGRAM) as elsewhere:
        asked.bind((HOST, 0))

        def attend() -> None:
            while (came := asked.recvfrom(65535))[0] != b"stop":
                for reply in right(came[0]):
                    elsewhere.sendto(reply, came[1])

        thread = Thread(target=attend, daemon=True)
        thread.start()
        zone = {"zone": "bank.example"} if kind is ProbeKind.DNS else {}
        target = quick("spoofed", kind, asked.getsockname()[1], **zone)
        estate = msgspec.structs.replace(load_estate(EXAMPLE).estate, target=(target,), scan=Scan(timeout_s=0.5))
        records = asyncio.run(scan(estate, tmp_path, sink=lambda _: None))
        elsewhere.sendto(b"stop", asked.getsockname())
        thread.join(10)
    (ended,) = records
    assert isinstance(ended, Attempt)
    assert ended.outcome is Outcome.TIMED_OUT
