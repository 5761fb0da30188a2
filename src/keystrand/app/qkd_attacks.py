"""What attacks do to a link and what shows them; and what a link's own reports say has happened to it."""

from pathlib import Path
from typing import Any

from keystrand.app.qkd_optimise import open_link
from keystrand.edge.toml_files import read_text
from keystrand.formats.telemetry_text import read_telemetry
from keystrand.model.errors import InvalidInput
from keystrand.operate.link_signs import Verdict, classify, unseen
from keystrand.qkd.attacks import (
    AnyAttack,
    BeamSplitting,
    Blinding,
    InterceptResend,
    PhotonNumberSplitting,
    SourceFlaw,
    TimeShift,
    TrojanHorse,
)
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.effects import effect
from keystrand.qkd.planned_key import PlannedLink

Row = dict[str, Any]


def attacks_on(link: PlannedLink) -> tuple[AnyAttack, ...]:
    """Return one of every attack, of a size that an attacker would choose: small ones hide, whole ones gain most."""
    return (
        InterceptResend(fraction=0.1),
        InterceptResend(fraction=0.1, key_basis_ratio=1.0),
        PhotonNumberSplitting(),
        BeamSplitting(),
        Blinding(),
        TimeShift(early=(1.0, 0.2), late=(0.2, 1.0)),
        TrojanHorse(photons_in=1e11, isolation_db=170.0),
        SourceFlaw(intensity_factors=tuple(1.1 for _ in link.transmitter.intensities)),
    )


def attack_rows(path: Path, block_s: float = 600.0) -> list[Row]:
    """Return one row an attack on the link in `path`: its figures before and after, what shows it, what does not."""
    link = open_link(path)
    distillation = Distillation(
        block_s=block_s,
        correction_efficiency=link.block.correction_efficiency,
        authentication_bits=link.block.authentication_bits,
        security=link.block.security,
    )
    return [_attack_row(link, one, distillation) for one in attacks_on(link)]


def _attack_row(link: PlannedLink, attack: AnyAttack, distillation: Distillation) -> Row:
    made = effect(link, attack, distillation)
    ratios = made.after.gains / made.before.gains
    return {
        "attack": str(attack.__struct_config__.tag),
        "parameters": {name: getattr(attack, name) for name in attack.__struct_fields__},
        "key_qber": made.after.key_qber,
        "test_qber": made.after.test_qber,
        "gain_ratios": [float(one) for one in ratios],
        "secret_rate_before_bits_per_s": made.before.secret_rate_bits_per_s,
        "secret_rate_after_bits_per_s": made.after.secret_rate_bits_per_s,
        "eve_share": made.eve_share,
        "shows": list(attack.TELLS),
        "hides": list(attack.HIDES),
        "source": attack.SOURCE,
        "simulated": True,
    }


def signs(telemetry: Path, baseline_reports: int) -> Row:
    """Return what the reports after the first `baseline_reports` say happened, link by link, and what cannot be seen.

    Raises `InvalidInput` for a file that is no telemetry, and for series that cannot be judged.
    """
    file = read_text(telemetry, what="the telemetry", hint="JSON lines or CSV: docs/howto/calibrate-a-link.md")
    reports = read_telemetry(file.text, file=file.name)
    names = list(dict.fromkeys(one.link for one in reports))
    rows = []
    for name in names:
        some = [one for one in reports if one.link == name]
        try:
            verdict = classify(some[:baseline_reports], some[baseline_reports:])
        except ValueError as error:
            raise InvalidInput(
                f"link {name!r} cannot be judged: {error}", hint="give --baseline: reports known to be good"
            ) from error
        rows.append(_sign_row(name, verdict))
    return {"verdicts": rows, "unseen": [one._asdict() for one in unseen(reports)]}


def _sign_row(link: str, verdict: Verdict) -> Row:
    return {
        "link": link,
        "kind": verdict.kind.value,
        "why": verdict.why,
        "also": list(verdict.also),
        "charts": list(verdict.charts),
        "since_s": verdict.since_s,
        "alarm_at_s": verdict.alarm_at_s,
    }
