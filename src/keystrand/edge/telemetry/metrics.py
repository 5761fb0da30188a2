"""What a KME counts, for Prometheus: no key, no key ID and no SAE ID is ever a label."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "keystrand"}
        self.requests = Counter("kme_requests", "Requests answered", ("method", "status"), **made)
        self.seconds = Histogram("kme_request_seconds", "From request to answer", ("method",), buckets=_SECONDS, **made)
        self.keys = Counter("kme_keys_delivered", "Keys delivered to SAEs", ("role", "label"), **made)
        self.bits = Counter("kme_bits_delivered", "Bits of key delivered to SAEs", ("role", "label"), **made)
        self.repeats = Counter("kme_repeated_answers", "Answers given again within the replay window", **made)
        self.connections = Counter(
            "kme_connections", "TLS connections by what was negotiated", ("kind", "group", "post_quantum"), **made
        )
        self.blocks = Counter("link_blocks", "Blocks of raw key that came", ("link", "source", "outcome"), **made)
        self.secret_bits = Counter("link_secret_bits", "Bits of raw key accepted", ("link", "source"), **made)
        self.expired = Counter("kme_keys_expired_orders", "Orders that no slave SAE fetched in time", **made)
        self.fallbacks = Counter(
            "fallback", "Changes between a profile and what takes its place", ("link", "profile", "to"), **made
        )
        self.audit_lost = Counter(
            "audit_sink_lost", "Audit records that a network sink did not take", ("sink",), **made
        )
        self.audit_free = Gauge("audit_free_bytes", "What the audit's file system can still take", **made)
        self.stored_bits = Gauge("kme_stored_bits", "Bits that this KME may still cut", ("link", "source"), **made)
        self.peer_trusted = Gauge("kme_peer_trusted", "1 where the peer's store has been checked", ("kme",), **made)
        self.qber = Gauge("link_qber_ratio", "Error rate that the latest block came with", ("link",), **made)
        self._methods: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        counter = self._methods.get((method, status))
        if counter is None:
            counter = self._methods[method, status] = self.requests.labels(method, str(status))
        counter.inc()
        timer = self._timers.get(method)
        if timer is None:
            timer = self._timers[method] = self.seconds.labels(method)
        timer.observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)
