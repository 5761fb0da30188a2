"""Attacks on a link as transforms of its response: what they do to each pulse, what they leave to see, what Eve learns.

Every attack is frozen data with `apply(link, response) -> Response`. `fraction` is the share of pulses it acts on, and
with 0 nothing changes. The table holds all that Alice and Bob can count. What Eve knows is not in it: `eve_share` says
that, as an estimate from above of the share of sifted key bits known to her before privacy amplification. `TELLS` names
the observables that move, `HIDES` those that do not.

Intercept-resend acts on what is sent, splitting on the photon number, time-shift on which detector clicks: they act on
different indices of the table, so they commute wherever both are linear in it. `combined` applies in the order given.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, ClassVar, Protocol

import msgspec
import numpy as np
from msgspec import Meta, Struct
from scipy.special import xlog1py, xlogy
from scipy.stats import binom

from keystrand.model.units import Ratio
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.response import DOUBLE, MOST_PHOTONS, Response, honest, photon_numbers

_Pair = tuple[Ratio, Ratio]


class Attack(Protocol):
    """What every attack offers."""

    TELLS: ClassVar[tuple[str, ...]]
    HIDES: ClassVar[tuple[str, ...]]
    SOURCE: ClassVar[str]

    def apply(self, link: Bb84Link, response: Response) -> Response:
        """Return what Bob's detectors say with Eve on the line."""

    def eve_share(self, link: Bb84Link) -> float:
        """Return the share of sifted key bits that Eve may know, at most."""


class InterceptResend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="intercept-resend"):
    """Eve measures a pulse and sends as many photons in the state she found.

    She measures in the basis of the key with `key_basis_ratio`: 1/2 is the textbook's attack, 1 and 0 the biased ones.
    """

    fraction: Ratio = 1.0
    key_basis_ratio: Ratio = 0.5

    TELLS: ClassVar[tuple[str, ...]] = (
        "QBER of the test basis: up by fraction x key_basis_ratio x (1 - 2e) / 2",
        "QBER of the key basis: up by fraction x (1 - key_basis_ratio) x (1 - 2e) / 2",
    )
    HIDES: ClassVar[tuple[str, ...]] = ("gains of all intensities, vacuum yield, rate, share of ones: unchanged",)
    SOURCE: ClassVar[str] = "C. H. Bennett, G. Brassard, Proc. IEEE Int. Conf. on Computers, Bangalore (1984)"

    def apply(self, link: Bb84Link, response: Response) -> Response:  # noqa: ARG002 - every attack is asked alike
        """Return the response with `fraction` of the pulses measured and sent anew."""
        table = response.table
        anew = np.zeros_like(table)
        for e, chosen in ((KEY, self.key_basis_ratio), (TEST, 1 - self.key_basis_ratio)):
            found = table[e]  # (b, z, y, n): what Bob sees when Eve sends z in basis e
            anew[e] += chosen * found
            anew[1 - e] += chosen * found.mean(axis=1, keepdims=True)
        return Response((1 - self.fraction) * table + self.fraction * anew)

    def eve_share(self, link: Bb84Link) -> float:  # noqa: ARG002 - every attack is asked alike
        """Return the share of bits she measured in the basis of the key; in the other she learns nothing."""
        return self.fraction * self.key_basis_ratio


class PhotonNumberSplitting(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="photon-number-splitting"
):
    """Eve counts photons without touching the bit, keeps one of each pulse of several, and blocks lone photons.

    What she forwards meets no loss but the receiver's. She forwards as many pulses of several photons as the signal's
    gain needs; where those are too few she lets lone photons through for the rest.
    """

    fraction: Ratio = 1.0

    TELLS: ClassVar[tuple[str, ...]] = (
        "ratio of the decoy's gain to the signal's: falls, since weak pulses are lone photons more often",
        "the lower bound of single photons, and with it the secret key",
    )
    HIDES: ClassVar[tuple[str, ...]] = (
        "QBER of both bases, gain of the signal, vacuum yield: unchanged",
        "without decoys nothing shows it",
    )
    SOURCE: ClassVar[str] = "G. Brassard et al., Phys. Rev. Lett. 85, 1330 (2000); W.-Y. Hwang, ibid. 91, 057901 (2003)"

    def apply(self, link: Bb84Link, response: Response) -> Response:
        """Return the response of `fraction` of the pulses split. Raises ValueError unless it is the link's own:
        the attack replaces the channel, so it is the first of several."""
        if not np.allclose(response.table, honest(link).table, rtol=1e-9, atol=1e-15):
            raise ValueError("photon-number splitting replaces the channel: it must be the first of combined attacks")
        return Response((1 - self.fraction) * response.table + self.fraction * self._split(link, response))

    def eve_share(self, link: Bb84Link) -> float:
        """Return the share of the signal's clicks that pulses of several photons make in the attacked pulses."""
        made = Response(self._split(link, honest(link)))
        weights = photon_numbers(link.transmitter.intensities[0])
        clicks = weights * made.table[KEY, KEY].mean(axis=0).sum(axis=0)
        return self.fraction * float(clicks[2:].sum() / clicks.sum()) if clicks.sum() > 0 else 0.0

    def _split(self, link: Bb84Link, response: Response) -> Values:
        """Return the table of attacked pulses, its pass ratios set for the gain of the signal in the key basis."""
        free = honest(msgspec.structs.replace(link, channel_loss_db=0.0)).table
        none = response.table[..., :1]
        several = np.concatenate([none, none, free[..., 1:-1]], axis=-1)
        lone = np.concatenate([none, free[..., 1:2], np.repeat(none, MOST_PHOTONS - 1, axis=-1)], axis=-1)
        weights = photon_numbers(link.transmitter.intensities[0])
        wanted, dark, by_several, by_lone = (
            float((part[KEY, KEY].mean(axis=0).sum(axis=0) * weights).sum())
            for part in (response.table, np.repeat(none, MOST_PHOTONS + 1, axis=-1), several, lone)
        )
        many = float(np.clip((wanted - dark) / (by_several - dark), 0, 1)) if by_several > dark else 0.0
        left = wanted - dark - many * (by_several - dark)
        single = float(np.clip(left / (by_lone - dark), 0, 1)) if by_lone > dark else 0.0
        return np.asarray(none + many * (several - none) + single * (lone - none))


class BeamSplitting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="beam-splitting"):
    """Eve takes light out with a beam splitter and keeps it until the bases are announced.

    With `replaces_channel` her fibre loses nothing and she takes exactly what the channel lost: the table is the same.
    Otherwise she takes `tapped_ratio` on top of the channel's loss.
    """

    replaces_channel: bool = True
    tapped_ratio: Ratio = 0.0

    TELLS: ClassVar[tuple[str, ...]] = ("without a channel of her own: gain down as by added loss; nothing else",)
    HIDES: ClassVar[tuple[str, ...]] = (
        "with a channel of less loss in place of the fibre: no observable changes, with or without decoys",
    )
    SOURCE: ClassVar[str] = (
        "C. H. Bennett et al., J. Cryptology 5, 3 (1992); its price is in every proof for weak pulses"
    )

    def apply(self, link: Bb84Link, response: Response) -> Response:  # noqa: ARG002 - every attack is asked alike
        """Return the response behind the splitter."""
        return response if self.replaces_channel else attenuated(response, 1 - self.tapped_ratio)

    def eve_share(self, link: Bb84Link) -> float:
        """Return how often her part of a signal pulse holds a photon; it is independent of what reaches Bob."""
        kept = 1 - 10 ** (-link.channel_loss_db / 10) if self.replaces_channel else self.tapped_ratio
        return float(-np.expm1(-link.transmitter.intensities[0] * kept))


class Blinding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="blinding"):
    """Eve blinds Bob's detectors with bright light and makes them click as she measured, when he chose her basis.

    She sends faked states as often as the honest link would click and imitates its errors: gains and QBER stay. She
    chooses her basis as often as Bob does his; more clicks than that share of the pulses she cannot make. Her states
    hit one detector, so double clicks vanish, unless she `imitates_doubles`. `light_w` reaches the receiver.
    """

    fraction: Ratio = 1.0
    imitates_doubles: bool = False
    light_w: Annotated[float, Meta(ge=0, le=1)] = 400e-6

    TELLS: ClassVar[tuple[str, ...]] = (
        "current of the detectors, where a monitor exists: up by orders of magnitude",
        "double clicks: vanish, unless Eve imitates them",
    )
    HIDES: ClassVar[tuple[str, ...]] = (
        "QBER, gains of all intensities, rate and secret key: unchanged, though Eve knows the key",
    )
    SOURCE: ClassVar[str] = "L. Lydersen et al., Nature Photonics 4, 686 (2010); 397 and 765 uW blinded a Clavis2"

    def apply(self, link: Bb84Link, response: Response) -> Response:
        """Return the response of blinded detectors that click as Eve says."""
        faked = response.table.copy()
        if not self.imitates_doubles:
            faked[..., :DOUBLE, :] += faked[..., DOUBLE:, :] / 2
            faked[..., DOUBLE, :] = 0
        ratio = link.receiver.key_basis_ratio
        most = np.array([ratio, 1 - ratio])[:, None, None, None]
        whole = faked.sum(axis=3, keepdims=True)
        faked *= np.minimum(1.0, most / np.where(whole > 0, whole, 1.0))
        return Response((1 - self.fraction) * response.table + self.fraction * faked)

    def eve_share(self, link: Bb84Link) -> float:  # noqa: ARG002 - every attack is asked alike
        """Return the share of clicks that are hers: all of the attacked ones."""
        return self.fraction


class TimeShift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="time-shift"):
    """Eve delays or advances pulses so that one detector hardly sees them: a click then tells her the bit.

    `early` and `late`: efficiency of detectors 0 and 1 at either shift, as a share of the usual one; `early_share` of
    the attacked pulses are shifted early. Clicks of light are thinned, not photons: the same where clicks are rare.
    Dark counts do not care about the shift.
    """

    early: _Pair
    late: _Pair
    early_share: Ratio = 0.5
    fraction: Ratio = 1.0

    TELLS: ClassVar[tuple[str, ...]] = (
        "share of ones: off 1/2 unless the shifts are mixed so that it is not (`equalising_share`)",
        "gain: down; QBER: up, since dark counts weigh more",
    )
    HIDES: ClassVar[tuple[str, ...]] = (
        "with an equalising mixture it looks like added loss: nothing in the counts tells it from that",
    )
    SOURCE: ClassVar[str] = "Y. Zhao, C.-H. F. Fung, B. Qi, C. Chen, H.-K. Lo, Phys. Rev. A 78, 042333 (2008)"

    def apply(self, link: Bb84Link, response: Response) -> Response:  # noqa: ARG002 - every attack is asked alike
        """Return the response with clicks thinned detector by detector."""
        table = response.table
        shifted = self.early_share * _thinned(table, self.early) + (1 - self.early_share) * _thinned(table, self.late)
        return Response((1 - self.fraction) * table + self.fraction * shifted)

    def eve_share(self, link: Bb84Link) -> float:  # noqa: ARG002 - every attack is asked alike
        """Return 1 - h(detector | shift), of clicks of light: what the shift tells of the bit on average."""
        shifts = ((self.early_share, self.early), (1 - self.early_share, self.late))
        clicks = sum(share * (r0 + r1) for share, (r0, r1) in shifts)
        known = 0.0
        for share, (r0, r1) in shifts:
            p = r0 / (r0 + r1) if r0 + r1 > 0 else 0.5
            known += share * (r0 + r1) * (1 + float(xlogy(p, p) + xlog1py(1 - p, -p)) / np.log(2))
        return self.fraction * float(known / clicks) if clicks > 0 else 0.0


class TrojanHorse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="trojan-horse"):
    """Eve sends light into the transmitter and reads Alice's modulator from what comes back.

    `photons_in` a pulse are `isolation_db` weaker when they leave, there and back together.
    """

    photons_in: Annotated[float, Meta(ge=0, le=1e20)]
    isolation_db: Annotated[float, Meta(ge=0, le=400)]

    TELLS: ClassVar[tuple[str, ...]] = ("a power monitor at the transmitter's entrance; nothing that is counted",)
    HIDES: ClassVar[tuple[str, ...]] = (
        "every count, ratio and rate: unchanged; only a bound on the light that comes back pays for it",
    )
    SOURCE: ClassVar[str] = "M. Lucamarini et al., Phys. Rev. X 5, 031030 (2015), arXiv:1506.01989, Eqs. (7) to (9)"

    @property
    def photons_out(self) -> float:
        """Return the mean photon number that leaves with each pulse."""
        return self.photons_in * 10 ** (-self.isolation_db / 10)

    def apply(self, link: Bb84Link, response: Response) -> Response:  # noqa: ARG002 - every attack is asked alike
        """Return the response as it is: nothing that Bob counts changes."""
        return response

    def eve_share(self, link: Bb84Link) -> float:  # noqa: ARG002 - every attack is asked alike
        """Return how often a photon comes back at all; without one she learns nothing."""
        return float(-np.expm1(-self.photons_out))


class SourceFlaw(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="source-flaw"):
    """Alice's intensities are not what she thinks, or her states are not: a fault, or a laser seeded by Eve.

    `intensity_factors` multiply the intensities, strongest first; `flipped_ratio` of the pulses carry the other bit of
    their basis. Fluctuations and correlations between pulses that keep the mean are not in it: to first order in the
    gain they change no mean count, and they are invisible here.
    """

    intensity_factors: Annotated[tuple[Annotated[float, Meta(ge=0, le=100)], ...], Meta(max_length=3)] = ()
    flipped_ratio: Annotated[float, Meta(ge=0, le=0.5)] = 0.0

    TELLS: ClassVar[tuple[str, ...]] = (
        "gains: up or down with the factor, their ratio where the factors differ",
        "QBER: up where bits flip",
    )
    HIDES: ClassVar[tuple[str, ...]] = (
        "equal factors look like a channel of another loss",
        "fluctuations with the same mean",
    )
    SOURCE: ClassVar[str] = (
        "X.-B. Wang et al., arXiv:0802.3177 (source errors); A. Huang et al. (laser seeding), unchecked"
    )

    def apply(self, link: Bb84Link, response: Response) -> Response:  # noqa: ARG002 - every attack is asked alike
        """Return the response to flipped states. The intensities are the link's: see `really_sent`."""
        table, flipped = response.table, self.flipped_ratio
        return Response((1 - flipped) * table + flipped * table[:, :, ::-1])

    def eve_share(self, link: Bb84Link) -> float:
        """Return the rise of pulses with several photons among the signal's: they are no longer accounted for."""
        factors = self.intensity_factors
        mu = link.transmitter.intensities[0]
        weights = photon_numbers([mu, mu * factors[0] if factors else mu])
        several = weights[:, 2:].sum(axis=1) / weights[:, 1:].sum(axis=1)
        return float(max(several[1] - several[0], 0.0))

    def really_sent(self, link: Bb84Link) -> Bb84Link:
        """Return the link with the intensities that are sent. Raises ValueError where they fit no transmitter."""
        if not self.intensity_factors:
            return link
        sent = link.transmitter
        if len(self.intensity_factors) != len(sent.intensities):
            raise ValueError("every intensity needs its factor")
        made = tuple(mu * by for mu, by in zip(sent.intensities, self.intensity_factors, strict=True))
        return msgspec.structs.replace(link, transmitter=msgspec.structs.replace(sent, intensities=made))


AnyAttack = InterceptResend | PhotonNumberSplitting | BeamSplitting | Blinding | TimeShift | TrojanHorse | SourceFlaw


def combined(attacks: Sequence[Attack], link: Bb84Link, response: Response | None = None) -> Response:
    """Return the response under all attacks, applied in the order given to the link's own or to `response`."""
    return reduce(lambda made, one: one.apply(link, made), attacks, honest(link) if response is None else response)


def attenuated(response: Response, transmittance: float) -> Response:
    """Return the response behind a loss that each photon survives with `transmittance`, alone: binomial in n."""
    n = np.arange(MOST_PHOTONS + 1)
    passed = binom.pmf(n[:, None], n[None, :], transmittance)  # (k survive, of n)
    return Response(np.asarray(response.table @ passed))


def equalising_share(early: _Pair, late: _Pair) -> float:
    """Return the share of early shifts at which both detectors click equally often, 0..1.

    Raises ValueError where no mixture does it: both shifts favour the same detector.
    """
    excess_early, excess_late = early[0] - early[1], late[1] - late[0]
    if excess_early * excess_late < 0 or excess_early + excess_late == 0:
        raise ValueError("the shifts must favour different detectors")
    return excess_late / (excess_early + excess_late)


def _thinned(table: Values, kept: _Pair) -> Values:
    """Return the table when each detector misses clicks of light; those of the dark stay."""
    r0, r1 = kept
    pass_ = np.array([[r0, 0, r0 * (1 - r1)], [0, r1, r1 * (1 - r0)], [0, 0, r0 * r1]])
    dark = table[..., :1]
    return np.asarray(np.maximum(dark + np.einsum("yz,abxzn->abxyn", pass_, table - dark), 0.0))
