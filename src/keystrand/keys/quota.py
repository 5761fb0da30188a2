"""Quotas: token buckets in bits and in requests, one of each per SAE. Sans-I/O: the time is an argument.

Bits are those of the pools, whatever they become: they are what runs out. Whoever issues keys takes what he is about to
cut, and settles by what was cut: a bucket from which more was cut stands below zero and refills from there.
A bucket begins full and refills with time, never beyond its size. A clock that is set back costs nobody anything: the
bucket goes on from there; one that is set forward fills it at most. A restart begins with full buckets. Only SAEs that
were authenticated and that a quota names have buckets, so their number is bounded by the configuration.
"""

from msgspec import Struct

from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key_policy import Quota


class QuotaExceeded(NoKeyAvailable):
    """An SAE has used up its quota. `retry_after_s` is None where it asked for more than that ever holds."""

    def __init__(self, message: str, *, hint: str, retry_after_s: float | None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Bucket(Struct, kw_only=True):
    """`level` tokens of `size`, refilled by `per_s` each second; `seen_s` is when it was last looked at."""

    size: float
    per_s: float
    level: float
    seen_s: float

    def refill(self, now: float) -> None:
        """Add what the time since the last look gives."""
        if now > self.seen_s:
            self.level = min(self.size, self.level + (now - self.seen_s) * self.per_s)
        self.seen_s = now

    def wait_s(self, tokens: float) -> float:
        """Return how long until it holds `tokens`, 0 where it does; it must be one that can."""
        return max(0.0, (tokens - self.level) / self.per_s)


class _Account(Struct, kw_only=True):
    quota: Quota
    bits: Bucket | None
    requests: Bucket | None


class Quotas:
    """The buckets of all SAEs under the policy in force."""

    def __init__(self, rules: PolicyRules) -> None:
        self._rules = rules
        self._accounts: dict[str, _Account] = {}

    def take(self, sae: str, bits: int, now: float, *, requests: int = 1) -> None:
        """Count `requests` and `bits` of `sae`. Raises `QuotaExceeded`, and counts nothing, beyond its quota."""
        account = self._account(sae, now)
        if account is None:
            return
        asked = ((account.requests, requests, "requests"), (account.bits, bits, "bits"))
        for bucket, tokens, unit in asked:
            if bucket is not None:
                bucket.refill(now)
                if tokens > max(0.0, bucket.level):
                    raise self._exceeded(sae, account.quota, bucket, tokens, unit)
        for bucket, tokens, _ in asked:
            if bucket is not None:
                bucket.level -= tokens

    def settle(self, sae: str, *, taken: int, cut: int, now: float) -> None:
        """Count the bits that were `cut` where `taken` were counted. Requests stay counted: they were work as well."""
        account = self._accounts.get(sae)
        if account is not None and account.bits is not None:
            account.bits.refill(now)
            account.bits.level = min(account.bits.size, account.bits.level + taken - cut)

    def adopt(self, rules: PolicyRules) -> None:
        """Go on under another policy. What an SAE has used stays used, as far as its new bucket is large enough."""
        self._rules = rules
        for sae, account in list(self._accounts.items()):
            quota = rules.quota(sae)
            if quota is None:
                del self._accounts[sae]
            elif quota != account.quota:
                self._accounts[sae] = _Account(
                    quota=quota,
                    bits=_resized(account.bits, quota.burst_bits, quota.bits_per_s),
                    requests=_resized(account.requests, quota.burst_requests, quota.requests_per_s),
                )

    def _account(self, sae: str, now: float) -> _Account | None:
        account = self._accounts.get(sae)
        if account is None and (quota := self._rules.quota(sae)) is not None:
            account = self._accounts[sae] = _Account(
                quota=quota,
                bits=_full(quota.burst_bits, quota.bits_per_s, now),
                requests=_full(quota.burst_requests, quota.requests_per_s, now),
            )
        return account

    def _exceeded(self, sae: str, quota: Quota, bucket: Bucket, tokens: int, unit: str) -> QuotaExceeded:
        place = f"{self._rules.file}, entry {quota.id!r}: {sae}"
        if tokens > bucket.size:
            message = f"{place} asks for {tokens} {unit}, and its quota holds {bucket.size:.0f} at most"
            return QuotaExceeded(message, hint="ask for fewer or shorter keys at once", retry_after_s=None)
        wait_s = bucket.wait_s(tokens)
        message = f"{place} has {max(0.0, bucket.level):.0f} {unit} left of its quota and asks for {tokens}"
        return QuotaExceeded(message, hint=f"try again in {wait_s:.1f} s", retry_after_s=wait_s)


def _full(size: int | None, per_s: float | None, now: float) -> Bucket | None:
    if size is None or per_s is None:
        return None
    return Bucket(size=size, per_s=per_s, level=size, seen_s=now)


def _resized(old: Bucket | None, size: int | None, per_s: float | None) -> Bucket | None:
    """Return the new bucket: what is left of the old one in tokens, or full where there was none."""
    if size is None or per_s is None:
        return None
    level, seen_s = (min(size, old.level), old.seen_s) if old is not None else (size, 0.0)
    return Bucket(size=size, per_s=per_s, level=level, seen_s=seen_s)
