"""What a quantum link reports of itself: the same shape whether a device, a file or the twin says it.

A vendor's interface gives rate and error ratio (ETSI GS QKD 015 names them so), a laboratory also its counts.
What was not reported is None, never 0.
"""

from typing import Annotated

from msgspec import Meta, Struct

from keystrand.model.units import Decibels, Ratio

_Count = Annotated[int, Meta(ge=0)]
_Rate = Annotated[float, Meta(ge=0, le=1e15)]


class IntensityCounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts of one intensity after sifting: pulses sent, and detections and errors in the key and the test basis."""

    intensity: Annotated[float, Meta(ge=0, lt=2)]
    sent: _Count
    key: _Count
    key_errors: _Count
    test: _Count
    test_errors: _Count

    def __post_init__(self) -> None:
        if self.key_errors > self.key or self.test_errors > self.test:
            raise ValueError("there cannot be more errors than detections")
        if self.key + self.test > self.sent:
            raise ValueError("there cannot be more detections than pulses")


class LinkTelemetry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One report on a link, of the `interval_s` that ends at `at_s` (seconds from the start of the series).

    `up` is what the device says of itself. `sifted_rate_bits_per_s` is of the basis of the key, as `qber` is.
    `double_click_ratio` is of all clicks, `ones_ratio` the share of 1 among Bob's sifted bits; `receiver_current_a` the
    mean current of the detectors.
    """

    link: Annotated[str, Meta(min_length=1, max_length=200)]
    at_s: Annotated[float, Meta(ge=0, le=1e12)]
    interval_s: Annotated[float, Meta(gt=0, le=1e9)]
    up: bool = True
    secret_key_rate_bits_per_s: _Rate | None = None
    sifted_rate_bits_per_s: _Rate | None = None
    qber: Ratio | None = None
    test_qber: Ratio | None = None
    channel_loss_db: Decibels | None = None
    counts: tuple[IntensityCounts, ...] = ()
    double_click_ratio: Ratio | None = None
    ones_ratio: Ratio | None = None
    receiver_current_a: Annotated[float, Meta(ge=0, le=1)] | None = None
    temperature_c: Annotated[float, Meta(ge=-100, le=200)] | None = None
