"""When an agent's certificates end: its own, that of its SAE, and those of the authorities that it trusts."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from keystrand.edge.agent.config import AgentConfig
from keystrand.edge.files import read_bytes
from keystrand.model.errors import KeystrandError

_DAY_S = 86_400.0
_LAST_PART = 0.2
"""The alarm comes in the last fifth of a life at the earliest: a certificate of one day would else never be well."""


class CertificateEnd(Struct, frozen=True, kw_only=True):
    """When what is in `file` ends, in seconds since the epoch, and from when that is worth an alarm.

    `whose`: `agent`, `sae`, `agent-ca` or `kme-ca`. None for both where the file cannot be read: `why` says it.
    """

    whose: str
    file: str
    ends_s: float | None = None
    alarm_s: float | None = None
    why: str = ""


def certificate_ends(config: AgentConfig) -> tuple[CertificateEnd, ...]:
    """Return when each certificate ends. A chain ends with its first; several authorities, with the last of them."""
    early_s = config.agent.certificate_alarm_days * _DAY_S
    files = (
        ("agent", config.agent.certificate), ("sae", config.kme.certificate),
        ("agent-ca", config.agent.ca), ("kme-ca", config.kme.ca),
    )  # fmt: skip
    return tuple(_end(whose, file, early_s) for whose, file in files)


def _end(whose: str, file: str, early_s: float) -> CertificateEnd:
    try:
        found = x509.load_pem_x509_certificates(read_bytes(Path(file)))
    except (KeystrandError, ValueError) as error:
        why = error.message if isinstance(error, KeystrandError) else "holds no certificate"
        return CertificateEnd(whose=whose, file=file, why=why)
    lives = [(one.not_valid_after_utc.timestamp(), one.not_valid_before_utc.timestamp()) for one in found]
    ends_s, began_s = max(lives) if whose.endswith("-ca") else min(lives)
    early_s = min(early_s, _LAST_PART * (ends_s - began_s))
    return CertificateEnd(whose=whose, file=file, ends_s=ends_s, alarm_s=ends_s - early_s)


def certificate_alarms(config: AgentConfig, now_s: float) -> tuple[str, ...]:
    """Return what to say of them at `now_s`, seconds since the epoch; nothing where all is well.

    The words stay the same while nothing changes, so that an alarm is told once.
    """
    return tuple(dict.fromkeys(text for one in certificate_ends(config) if (text := _alarm(one, now_s))))


def _alarm(one: CertificateEnd, now_s: float) -> str:
    if one.ends_s is None or one.alarm_s is None:
        return f"a certificate cannot be read: {one.why}"
    if now_s < one.alarm_s:
        return ""
    when = datetime.fromtimestamp(one.ends_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"the certificate {one.file} {'has ended' if now_s >= one.ends_s else 'ends soon: renew it before'} {when}"
