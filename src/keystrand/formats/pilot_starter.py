"""A first `pilot.toml` for a pilot of the estate: commented, sound, and with consumers that its systems resemble."""

from collections.abc import Iterator, Sequence

from keystrand.formats.wording import joined, plain_number
from keystrand.model.estate import Continuity, Estate, Place, Segment, System
from keystrand.model.lapsing import FailurePolicy
from keystrand.model.pilot import ConsumerKind, Pilot

_KINDS = {
    ConsumerKind.TLS: (Place.REPLICATION, Place.API, Place.PARTNER_LINK, Place.APPLICATION, Place.DATABASE, Place.WEB,
                       Place.MAIL, Place.MONITORING),
    ConsumerKind.IPSEC: (Place.VPN, Place.REPLICATION),
    ConsumerKind.WIREGUARD: (Place.ADMIN_TUNNEL,),
    ConsumerKind.AGE: (Place.BACKUP_ARCHIVE, Place.STORAGE),
    ConsumerKind.HSM: (Place.CODE_SIGNING, Place.FIRMWARE, Place.IDENTITY),
}  # fmt: skip
"""Where each kind of consumer is at home. Replication is found in tunnels and over TLS: both are tried."""
_HEAD = """\
# How the pilot {pilot} of the estate is run with real consumers of keys: {name}.
# Segment {segment}: from {a} to {b}, {length} km.
#
#   keystrand pilot run {folder}      runs it; tunnels and the carrier between the sites need root
#   keystrand pilot score {folder}    judges what was recorded anew, after a change of the criteria below
#
# Every number is a proposal: set your own before the pilot runs, not after.

pilot = {pilot_id}
name = "first campaign"
packets_per_s = 1000 # through each tunnel, so that a gap of a millisecond is seen

# Where the keys come from: a twin of the link, or two KMEs of a vendor by ETSI GS QKD 014.
[source]
kind = "twin"
stock_keys = 40 # few, so that a cut is felt soon
# kind = "vendor"
# a = {{ url = "https://kme-a.example", sae = "sae-a", ca = "a/ca.pem", certificate = "a/sae.pem", key = "a/sae.key" }}
# b = {{ url = "https://kme-b.example", sae = "sae-b", ca = "b/ca.pem", certificate = "b/sae.pem", key = "b/sae.key" }}
# commands = {{ link-cut = "ssh lab ./cut", link-cut-end = "ssh lab ./mend" }} # events without a command are not run

# The classical way between the sites while it is impaired.
[carrier]
delay_ms = 5
loss_ratio = 0.01
"""
_EVENTS = """\
# What is done to the corridor. Each lasts `seconds`, `times` over; more repetitions say more.
[[event]]
kind = "normal"
seconds = 75 # a campaign needs 72 rotations: fewer bound no 95th percentile

[[event]]
kind = "rate-sag"

[[event]]
kind = "link-cut"
times = 3

[[event]]
kind = "kme-death"
times = 3
{agents}
[[event]]
kind = "eavesdropper"

[[event]]
kind = "maintenance"

[[event]]
kind = "clock-skew"

[[event]]
kind = "certificate-expiry"

[[event]]
kind = "impaired"

[[event]]
kind = "carrier-cut"

# What decides, for every consumer, beside [pilot.criteria] of the estate. Worse ends of intervals are judged.
[criteria]
rotation_p95_max_s = 1.0
rotation_lost_max_packets = 1.0 # on average, at packets_per_s
failover_max_s = 2.0 # until traffic stands on what its policy names, after its key has become too old
traffic_gap_max_s = 1.0 # while the policy lets traffic run
leaked_max_packets = 0
key_age_max_s = 5.0 # more only where a policy says so
throughput_min_ratio = 0.8 # of that without keys
audit_min_ratio = 1.0
detection_max_s = 5.0 # an alarm after a fault
recovery_max_s = {recovery}
"""
_AGENTS = """
[[event]]
kind = "agent-death"
times = 3
"""


def starter_plan(estate: Estate, pilot: Pilot, folder: str) -> str:
    """Return the text of a first plan for `pilot` of `estate`, whose `folder` it names in commands to type."""
    segment = next(one for one in estate.segment if one.id == pilot.segment)
    sites = {site.id: site.name for site in estate.site}
    users = [one for one in estate.system if segment.id in one.segments]
    kinds = _kinds(users)
    head = _HEAD.format(
        pilot=pilot.id, pilot_id=f'"{pilot.id}"', name=_line(pilot.name), segment=segment.id,
        a=_line(sites.get(segment.a, segment.a)), b=_line(sites.get(segment.b, segment.b)),
        length=plain_number(segment.length_km), folder=_line(folder),
    )  # fmt: skip
    with_agents = any(kind not in (ConsumerKind.TLS, ConsumerKind.AGE) for kind in kinds)
    events = _EVENTS.format(agents=_AGENTS if with_agents else "", recovery=plain_number(pilot.criteria.recovery_max_s))
    return "\n".join([head, *_consumers(segment, kinds), events])


def _line(text: str) -> str:
    """Return `text` on one line, without what TOML forbids in a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


def _kinds(users: Sequence[System]) -> dict[ConsumerKind, list[str]]:
    """Return the kinds that resemble the systems on the segment, and those systems; TLS where there are none."""
    found = {kind: [one.id for one in users if one.place in places] for kind, places in _KINDS.items()}
    return {kind: names for kind, names in found.items() if names} or {ConsumerKind.TLS: []}


def _consumers(segment: Segment, kinds: dict[ConsumerKind, list[str]]) -> Iterator[str]:
    for kind, names in kinds.items():
        stands_for = f"stands for {joined(names)}" if names else "no system is declared on this segment"
        yield f'# {stands_for}\n[[consumer]]\nid = "{kind}"\nkind = "{kind}"\n{_terms(segment, kind)}'


def _terms(segment: Segment, kind: ConsumerKind) -> str:
    if kind is ConsumerKind.TLS:
        return "per_s = 20 # handshakes, each with a key of its own\n"
    if kind is ConsumerKind.AGE:
        return "per_s = 1 # files, each with a key of its own\n"
    goes_on = segment.continuity is Continuity.MUST_CONTINUE
    policy, why = (
        (FailurePolicy.FALLBACK_PQC, "goes on, on a key agreed by ML-KEM, for a time")
        if goes_on else (FailurePolicy.FAIL_SECURE, "stops rather than use an old key")
    )  # fmt: skip
    most = "fallback_most_s = 60\n" if goes_on else ""
    return f'policy = "{policy}" # without a fresh key it {why}\nrotate_every_s = 1.5\nmax_age_s = 4\n{most}'
