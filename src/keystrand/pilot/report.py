"""The pilot report from what a campaign measured. Pure; everything that can be derived is derived, not claimed."""

from datetime import date, datetime

from msgspec import Struct

from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.link import LinkRate
from keystrand.model.observation import Outcome
from keystrand.model.pilot import Pilot
from keystrand.model.stages import CriterionResult, CriterionState, CutEvidence, PilotEvent, PilotReport
from keystrand.pilot.scorecard import Samples, estimate, score

LINK_LIMITS = (
    "the quantum link is simulated: no photon was sent, so optics, alignment, temperature and attacks on hardware are "
    "not tested",
    "the key rate comes from an asymptotic model: finite blocks give less key, and none where a block is too short",
    "the key itself comes from the operating system's random source, released at the modelled rate",
    "after a cut the simulated link makes key again at once: a real one first has to realign, which can take minutes",
)
"""What no pilot on a simulated link shows."""
LIMITS = (
    *LINK_LIMITS,
    "everything ran on one machine over the loopback interface: delay and loss between sites are not in the times",
    "one consumer and one link: behaviour under the load of many consumers is not shown",
)
"""What a pilot of this kind does not show, whatever it measured."""


class Campaign(Struct, frozen=True, kw_only=True):
    """What the edge brings back from a campaign. `key_ids`: the key_ID of each successful handshake, in order."""

    consumer: str
    key_management_entities: int
    key_exchange: tuple[str, ...]
    samples: Samples
    key_ids: tuple[str, ...]
    cut: CutEvidence
    events: tuple[PilotEvent, ...] = ()
    further_limits: tuple[str, ...] = ()


def fresh_key_each(campaign: Campaign) -> bool:
    """Return whether every successful handshake had a key of its own; without a handshake nothing is shown."""
    succeeded = campaign.samples.handshakes - campaign.samples.failed_handshakes
    return succeeded > 0 and len(campaign.key_ids) == succeeded == len(set(campaign.key_ids))


def pilot_report(
    pilot: Pilot,
    rate: LinkRate,
    campaign: Campaign,
    *,
    as_of: date,
    made_from: tuple[InputRef, ...],
    created_at: datetime,
    tool_version: str,
    seed: int | None,
) -> PilotReport:
    """Return the report of one campaign on `pilot`. `seed` is that of the twin's scatter, None where it had none."""
    samples = campaign.samples
    scorecard = score(pilot.criteria, samples)
    return PilotReport(
        format_version=FORMAT_VERSION,
        tool_version=tool_version,
        as_of=as_of,
        created_at=created_at,
        made_from=made_from,
        seed=seed,
        coverage=coverage_of(scorecard),
        pilot=pilot.id,
        segment=pilot.segment,
        rate=rate,
        consumer=campaign.consumer,
        key_management_entities=campaign.key_management_entities,
        key_exchange=campaign.key_exchange,
        secret_key_rate=estimate(samples.secret_key_rates_bits_per_s, "bit/s", simulated=True),
        enc_keys=estimate(samples.enc_keys_ms, "ms", simulated=False),
        dec_keys=estimate(samples.dec_keys_ms, "ms", simulated=False),
        handshake=estimate(samples.handshakes_ms, "ms", simulated=False),
        handshakes=samples.handshakes,
        failed_handshakes=samples.failed_handshakes,
        fresh_key_each=fresh_key_each(campaign),
        cut=campaign.cut,
        events=campaign.events,
        scorecard=scorecard,
        limits=(*LIMITS, *campaign.further_limits),
    )


def coverage_of(scorecard: tuple[CriterionResult, ...]) -> Coverage:
    """Return how many of the criteria were measured, with every gap."""
    missing = [c for c in scorecard if c.state is CriterionState.NOT_MEASURED]
    gaps = tuple(Gap(what=c.name, outcome=Outcome.NONE, reason=c.reason) for c in missing)
    return Coverage(unit="criterion", looked_at=len(scorecard), answered=len(scorecard) - len(missing), gaps=gaps)
