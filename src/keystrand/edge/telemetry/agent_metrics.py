"""How an agent's consumers stand, for Prometheus: written to a file, so that a dead agent is seen too.

The file is for the textfile collector of Prometheus's node exporter. No key ID is ever a label.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from keystrand.edge.agent.certificates import CertificateEnd
from keystrand.edge.agent.standing import Standing
from keystrand.keys.lapse import Footing

_GAUGES: tuple[tuple[str, str, Callable[[Standing], float | None]], ...] = (
    ("key_age_seconds", "Age of the key in use; absent where there is none", lambda one: one.age_s),
    ("footing_left_seconds", "How long the footing lasts if nothing changes", lambda one: one.left_s),
    ("last_changeover_seconds", "Time since the latest key was proven", lambda one: one.last_changeover_s),
    ("keys", "Keys that the consumer may hold", lambda one: len(one.keys)),
    ("keys_to_retire", "Keys that it must not hold any more", lambda one: sum(key.must_go for key in one.keys)),
    ("kme_keys", "Keys that the KME had left when last asked", lambda one: one.stock),
    ("alarms", "Alarms in words that `keystrand agent status` shows", lambda one: len(one.alarms)),
)
_COUNTERS: tuple[tuple[str, str, Callable[[Standing], float]], ...] = (
    ("changeovers", "Changeovers that came to their end", lambda one: one.changeovers),
    ("changeover_failures", "Changeovers that did not", lambda one: one.failures),
)


class _Told:
    def __init__(self, told: Sequence[Standing], ends: Sequence[CertificateEnd], *, runs: bool) -> None:
        self._told, self._ends, self._runs = told, ends, runs

    def collect(self) -> Iterator[Metric]:
        """Yield everything, as a registry asks for it."""
        yield GaugeMetricFamily("keystrand_agent_up", "1 where the agent runs", value=float(self._runs))
        yield self._certificates()
        yield self._footings()
        for name, about, value in _GAUGES:
            gauge = GaugeMetricFamily(f"keystrand_consumer_{name}", about, labels=["consumer"])
            for one in self._told:
                if (found := value(one)) is not None:
                    gauge.add_metric([one.consumer], found)
            yield gauge
        for name, about, count in _COUNTERS:
            counter = CounterMetricFamily(f"keystrand_consumer_{name}", about, labels=["consumer"])
            for one in self._told:
                counter.add_metric([one.consumer], count(one))
            yield counter

    def _certificates(self) -> Metric:
        about = "When a certificate ends; absent where it cannot be read"
        gauge = GaugeMetricFamily("keystrand_agent_certificate_end_timestamp_seconds", about, labels=["certificate"])
        for one in self._ends:
            if one.ends_s is not None:
                gauge.add_metric([one.whose], one.ends_s)
        return gauge

    def _footings(self) -> Metric:
        about = "1 for what the consumer's traffic stands on, with the label of its key"
        gauge = GaugeMetricFamily("keystrand_consumer_footing", about, labels=["consumer", "footing", "source"])
        for one in self._told:
            for footing in Footing:
                stands = footing is one.footing
                gauge.add_metric([one.consumer, footing.value, one.label if stands else ""], float(stands))
        return gauge


def agent_metrics(told: Sequence[Standing], ends: Sequence[CertificateEnd], *, runs: bool) -> bytes:
    """Return everything in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(told, ends, runs=runs))
    return generate_latest(registry)
