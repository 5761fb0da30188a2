"""The best setting of a BB84 link in a file, what it is planned to make, and what limits it."""

from pathlib import Path
from typing import Any

import msgspec

from keystrand.edge.toml_files import read_text
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
