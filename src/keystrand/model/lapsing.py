"""What a consumer does when no fresh key comes: the policies by name, with their times."""

import math
from enum import StrEnum

from msgspec import Struct

from keystrand.model.errors import InvalidInput


class FailurePolicy(StrEnum):
    """The policies. There is no default."""

    FAIL_SECURE = "fail-secure"
    HOLD_UNTIL_TTL = "hold-until-ttl"
    FALLBACK_PQC = "fallback-pqc"
    FAIL_OPEN = "fail-open"


class Terms(Struct, frozen=True, kw_only=True):
    """A consumer's failure policy with its times in seconds.

    `exception_ends_s`: when the exception that permits `fail-open` ends, in the clock of `now`. Raises `InvalidInput`.
    """

    policy: FailurePolicy
    max_age_s: float
    ttl_s: float | None = None
    fallback_most_s: float | None = None
    exception_ends_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.max_age_s < math.inf:
            raise InvalidInput("max_age_s must be above 0", hint="give the age at which a key must have been replaced")
        match self.policy:
            case FailurePolicy.HOLD_UNTIL_TTL if not (self.ttl_s and self.max_age_s < self.ttl_s < math.inf):
                raise InvalidInput(
                    "hold-until-ttl needs ttl_s above max_age_s", hint="say how long an old key may serve"
                )
            case FailurePolicy.FALLBACK_PQC if not (self.fallback_most_s and 0 < self.fallback_most_s < math.inf):
                raise InvalidInput("fallback-pqc needs fallback_most_s", hint="say how long a substitute may serve")
            case FailurePolicy.FAIL_OPEN if self.exception_ends_s is None or self.exception_ends_s == math.inf:
                raise InvalidInput("fail-open needs a signed exception that ends", hint="choose another failure policy")
