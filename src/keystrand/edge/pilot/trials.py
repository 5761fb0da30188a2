"""The consumers that a pilot can run, by their kinds."""

from keystrand.edge.pilot.age import AgeTrial
from keystrand.edge.pilot.base import Trial
from keystrand.edge.pilot.hsm import HsmTrial
from keystrand.edge.pilot.ipsec import IpsecTrial
from keystrand.edge.pilot.tls import TlsTrial
from keystrand.edge.pilot.wireguard import WireGuardTrial
from keystrand.model.pilot import ConsumerKind, PilotConsumer


def made(declared: PilotConsumer) -> Trial:
    """Return the trial of one declared consumer; nothing of it runs yet."""
    match declared.kind:
        case ConsumerKind.TLS:
            return TlsTrial(declared)
        case ConsumerKind.AGE:
            return AgeTrial(declared)
        case ConsumerKind.HSM:
            return HsmTrial(declared)
        case ConsumerKind.IPSEC:
            return IpsecTrial(declared)
        case ConsumerKind.WIREGUARD:
            return WireGuardTrial(declared)
