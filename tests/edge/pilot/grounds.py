"""What a trial stands on in a test: two KMEs, a folder, and no carrier unless one is given."""

from pathlib import Path

from keystrand.edge.daemons import Daemons
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.pilot.base import Carrier, Ground, KmeEnd
from keystrand.edge.pki import Kind
from keystrand.model.pilot import ConsumerKind, PilotConsumer


def ground_of(folder: Path, pair: Pair, care: Daemons, carrier: Carrier | None = None) -> Ground:
    """Return it."""
    one, two = (
        KmeEnd(url=pair.urls[at], sae=sae, files=pair.credentials(Kind.SAE, sae), kme_id=KME_IDS[at])
        for at, sae in enumerate(pair.saes)
    )
    folder.mkdir(exist_ok=True, mode=0o700)
    return Ground(folder=folder, care=care, kmes=(one, two), carrier=carrier, packets_per_s=100)


def declared(kind: ConsumerKind, per_s: float, policy: str = "") -> PilotConsumer:
    """Return the table of a consumer."""
    return PilotConsumer(id=f"the-{kind.value}", kind=kind, per_s=per_s, policy=policy, rotate_every_s=0.5)
