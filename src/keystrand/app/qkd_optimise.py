"""The best setting of a BB84 link in a file, what it is planned to make, and what limits it."""

from pathlib import Path
from typing import Any

import msgspec

from keystrand.edge.toml_files import read_text
from keystrand.formats.charts_bars import Bar, bar_chart
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import repeaterless_bound
from keystrand.qkd.optimised_setting import Optimised, optimise
from keystrand.qkd.planned_key import MODEL, SOURCE, Planned, PlannedLink
from keystrand.qkd.planned_limits import limited_by, limits

Row = dict[str, Any]
MOST_LOSS_DB = 200.0


def open_link(path: Path, loss_db: float | None = None) -> PlannedLink:
    """Return the link in `path`, at `loss_db` where one is given. Raises `InvalidInput` and `MissingInput`."""
    file = read_text(path, what="the link", hint="examples/quantum/planned-link.toml is a complete one")
    link = read_toml(file.text, PlannedLink, file=file.name, what=f"the link {file.name}")
    if loss_db is None:
        return link
    if not 0 <= loss_db <= MOST_LOSS_DB:
        raise InvalidInput(f"a loss of {loss_db:g} dB cannot be", hint=f"give 0 to {MOST_LOSS_DB:g} dB")
    return msgspec.structs.replace(link, channel_loss_db=loss_db)


def best(link: PlannedLink) -> Optimised:
    """Return the link with the setting that makes most key of its blocks."""
    return optimise(link, link.block)


def rows(link: PlannedLink, found: Optimised) -> list[Row]:
    """Return one row a choice and a figure: as it is, and at the best setting."""
    before, after = _told(link, found.before), _told(found.link, found.after)
    return [{"what": name, "as_it_is": before[name], "best": after[name]} for name in before]


def value(link: PlannedLink, found: Optimised) -> Row:
    """Return both settings with their figures, the sums their keys come from, and what limits the best one."""
    return {
        "simulated": True,
        "model": MODEL,
        "source": SOURCE[len(link.transmitter.intensities)],
        "block": link.block,
        "as_it_is": _told(link, found.before) | {"sum": _sum(found.before)},
        "best": _told(found.link, found.after) | {"sum": _sum(found.after)},
        "link": found.link,
        "limited_by": limited_by(found.link, link.block),
        "limits": [one._asdict() for one in limits(found.link, link.block)],
    }


def waterfall(found: Optimised) -> str:
    """Return as an SVG file where the bits of a block go at the best setting, from single photons to secret key."""
    made, left = found.after.sum, 0.0
    bars: list[Bar] = []
    for name, gain in (("vacuum clicks", made.vacuum_bits), ("single photons", made.single_photon_bits)):
        bars.append(Bar(name, left, left + float(gain), f"+{float(gain):,.0f}"))
        left += float(gain)
    costs = (
        ("phase errors", made.phase_error_bits),
        ("error correction", made.leak_bits),
        ("verification", made.verification_bits),
        ("security parameter", made.privacy_bits),
        ("authentication", max(float(made.length_bits) - float(found.after.secret_bits), 0.0)),
    )
    for name, cost in costs:
        bits = float(cost)
        taken = min(bits, left)
        bars.append(Bar(name, left - taken, left, f"-{bits:,.0f}", "taken"))
        left -= taken
    bars.append(Bar("secret key", 0.0, float(found.after.secret_bits), f"{float(found.after.secret_bits):,.0f}"))
    seconds = float(found.after.block_s)
    return bar_chart(
        bars,
        title="Where the bits of a block go, at the best setting",
        axis="Bits of the key's basis",
        notes=(f"A plan with expected counts, not a measurement; a block takes {seconds:.3g} s.",),
    )


def _told(link: Bb84Link, made: Planned) -> Row:
    loss, hz = link.channel_loss_db, link.transmitter.pulse_rate_hz
    bound = float(repeaterless_bound(loss)) * hz if loss > 0 else None
    return {
        "intensities": list(link.transmitter.intensities),
        "probabilities": list(link.transmitter.probabilities),
        "alice_key_basis_ratio": link.transmitter.key_basis_ratio,
        "bob_key_basis_ratio": link.receiver.key_basis_ratio,
        "secret_key_rate_bits_per_s": float(made.rate_bits_per_s),
        "limit_bits_per_s": bound,
        "bits_per_pulse": float(made.bits_per_pulse),
        "sifted_rate_bits_per_s": float(made.sifted_bits_per_s),
        "block_s": float(made.block_s),
        "key_qber": float(made.key_qber),
        "test_qber": float(made.test_qber),
        "phase_error": float(made.phase_error),
    }


def _sum(made: Planned) -> Row:
    return {name: float(bits) for name, bits in made.sum._asdict().items() if name != "phase_error"} | {
        "secret_bits": float(made.secret_bits)
    }
