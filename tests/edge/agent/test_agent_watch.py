"""What an operator's monitoring sees of an agent: metrics, counts, certificates that end, a KME that runs low."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from keystrand.cli.main import run
from keystrand.edge.agent.certificates import CertificateEnd, certificate_alarms, certificate_ends
from keystrand.edge.agent.config import AgentConfig, load_agent
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.edge.agent.standing import KeyAge, Standing, standings
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.telemetry.agent_metrics import agent_metrics
from keystrand.keys.agent_memory import Memory, Note
from keystrand.keys.lapse import Footing
from keystrand.model.errors import NoKeyAvailable

from .site import HERE, TERMS, Site, running_pair, wait_until
from .test_agent_config import FILE

DAY_S = 86_400.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(ends: datetime, *, days: float = 365) -> bytes:
    """Return a certificate with a life of `days`, as PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=KEY.public_key())
        .serial_number(7)
        .not_valid_before(ends - timedelta(days=days))
        .not_valid_after(ends)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """An agent's file, all of whose certificates end in a year."""
    file = tmp_path / "agent.toml"
    file.write_text(FILE)
    made = load_agent(file)
    for path in {made.agent.ca, made.agent.certificate, made.kme.ca, made.kme.certificate}:
        Path(path).write_bytes(certificate(NOW + timedelta(days=365)))
    return made


# Certificates


@pytest.mark.parametrize("whose", ["agent", "sae"])
def test_a_certificate_that_ends_soon_is_an_alarm(config: AgentConfig, whose: str) -> None:
    """Two weeks before, no earlier; then that it has ended; the words stay while nothing changes."""
    file = Path(config.agent.certificate if whose == "agent" else config.kme.certificate)
    ends = NOW + timedelta(days=100)
    file.write_bytes(certificate(ends))
    at = ends.timestamp() - 14 * DAY_S
    assert certificate_alarms(config, at - 1) == ()
    (told,) = certificate_alarms(config, at + 1)
    assert told == f"the certificate {file} ends soon: renew it before 2026-09-09 00:00:00Z"
    assert certificate_alarms(config, ends.timestamp() - 1) == (told,)
    assert certificate_alarms(config, ends.timestamp() + 1) == (
        f"the certificate {file} has ended 2026-09-09 00:00:00Z",
    )


def test_a_certificate_of_a_day_is_well_for_most_of_it(config: AgentConfig) -> None:
    """Where certificates live shortly the last fifth of their life is soon enough."""
    Path(config.agent.certificate).write_bytes(certificate(NOW, days=1))
    assert certificate_alarms(config, (NOW - timedelta(hours=4.9)).timestamp()) == ()
    assert len(certificate_alarms(config, (NOW - timedelta(hours=4.7)).timestamp())) == 1


def test_a_chain_ends_with_its_first_and_a_bundle_of_authorities_with_its_last(config: AgentConfig) -> None:
    """An authority on its way out is no alarm while the next one is trusted already."""
    early, late = (certificate(NOW + timedelta(days=days)) for days in (1, 300))
    Path(config.agent.certificate).write_bytes(late + early)
    Path(config.kme.ca).write_bytes(early + late)
    ends = {one.whose: one.ends_s for one in certificate_ends(config)}
    assert ends["agent"] == (NOW + timedelta(days=1)).timestamp()
    assert ends["kme-ca"] == (NOW + timedelta(days=300)).timestamp()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_certificate_that_cannot_be_read_is_an_alarm(config: AgentConfig, content: bytes | None) -> None:
    """A file that is gone, or holds something else, is told by its name."""
    file = Path(config.kme.certificate)
    file.unlink() if content is None else file.write_bytes(content)
    (told,) = certificate_alarms(config, NOW.timestamp())
    assert told.startswith("a certificate cannot be read: ")
    found = next(one for one in certificate_ends(config) if one.whose == "sae")
    assert (found.ends_s, found.file) == (None, str(file))


@pytest.mark.parametrize("days", ["0", "-1", '"soon"'])
def test_a_time_that_is_none_is_refused_by_its_field(
    tmp_path: Path, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With file, line and field."""
    file = tmp_path / "agent.toml"
    file.write_text(FILE.replace("[kme]", f"certificate_alarm_days = {days}\n[kme]"))
    assert run(["agent", "status", "--config", str(file)]) == 2
    assert "certificate_alarm_days" in capsys.readouterr().err


# Metrics


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Return what Prometheus's own parser reads: a value for each name with its labels."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


seconds = st.floats(min_value=0, max_value=1e9, allow_nan=False)
names = st.from_regex(re.compile(r"[a-z][a-z0-9-]{0,10}\Z"))
ages = st.builds(
    KeyAge, key_ID=st.uuids().map(str), label=st.sampled_from(["qkd", "pqc", "qkd+pqc"]), age_s=seconds,
    in_use=st.booleans(), must_go=st.booleans(),
)  # fmt: skip
standing = st.builds(
    Standing, consumer=names, kind=st.just("file"), role=st.just("initiator"), policy=st.just("fail-secure"),
    footing=st.sampled_from(Footing), label=st.sampled_from(["", "qkd", "pqc"]), age_s=st.none() | seconds,
    left_s=st.none() | seconds, state=st.just("settled"), last_changeover_s=st.none() | seconds,
    changeovers=st.integers(0, 10**9), failures=st.integers(0, 10**9), stock=st.none() | st.integers(0, 10**6),
    keys=st.lists(ages, max_size=3).map(tuple), alarms=st.lists(st.text(), max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(standing, max_size=3, unique_by=lambda one: one.consumer), st.booleans())
def test_what_is_told_is_what_prometheus_reads(told: list[Standing], runs: bool) -> None:  # noqa: FBT001  # hypothesis gives it
    """Each value arrives whole, what is not known is left out, and no key ID and no alarm's words are in it."""
    ends = (CertificateEnd(whose="agent", file="x", ends_s=5.0, alarm_s=1.0), CertificateEnd(whose="sae", file="y"))
    text = agent_metrics(told, ends, runs=runs)
    found = samples(text)
    assert found["keystrand_agent_up",] == runs
    assert [name for name in found if "certificate" in name[0]] == [
        ("keystrand_agent_certificate_end_timestamp_seconds", "certificate=agent")
    ]
    for one in told:
        who = f"consumer={one.consumer}"
        for name, value in (("key_age_seconds", one.age_s), ("footing_left_seconds", one.left_s),
                            ("last_changeover_seconds", one.last_changeover_s), ("kme_keys", one.stock)):  # fmt: skip
            assert found.get((f"keystrand_consumer_{name}", who)) == value
        assert found["keystrand_consumer_changeovers_total", who] == one.changeovers
        assert found["keystrand_consumer_changeover_failures_total", who] == one.failures
        assert found["keystrand_consumer_alarms", who] == len(one.alarms)
        assert found["keystrand_consumer_keys_to_retire", who] == sum(key.must_go for key in one.keys)
        stands = {
            name[2:] for name, value in found.items() if name[:2] == ("keystrand_consumer_footing", who) and value
        }
        assert stands == {(f"footing={one.footing.value}", f"source={one.label}")}
        assert not any(key.key_ID.encode() in text for key in one.keys)


def test_a_dead_agent_is_seen_and_the_file_is_everybodys_to_read(config: AgentConfig, tmp_path: Path) -> None:
    """From the journal alone: the collector is another user, and a half-written file is never there."""
    journal, now = Journal(Path(config.agent.journal)), steady_s()
    journal.open()
    key = Note(key_id="k-1", label="qkd", born_s=now - 30)
    memory = Memory(held=(key,), proven=key, proved_s=now - 29, changeovers=12, failures=3, stock=4)
    journal.write("door", "initiator", memory)
    journal.close()
    out = tmp_path / "collector" / "agent.prom"
    assert run(["agent", "status", "--config", str(tmp_path / "agent.toml"), "--metrics", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in out.parent.iterdir()] == ["agent.prom"]
    found = samples(out.read_bytes())
    door = "consumer=door"
    assert found["keystrand_agent_up",] == 0
    assert 30 <= found["keystrand_consumer_key_age_seconds", door] < 60
    assert found["keystrand_consumer_changeovers_total", door] == 12
    assert found["keystrand_consumer_changeover_failures_total", door] == 3
    assert found["keystrand_consumer_kme_keys", door] == 4
    assert found["keystrand_consumer_footing", door, "footing=fresh", "source=qkd"] == 1


def test_a_file_that_the_collector_passes_over_is_refused(
    config: AgentConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the name that it takes; a folder that cannot be is told too."""
    del config
    words = ["agent", "status", "--config", str(tmp_path / "agent.toml"), "--metrics"]
    assert run([*words, str(tmp_path / "agent.txt")]) == 2
    assert f"name it {tmp_path / 'agent.prom'}" in capsys.readouterr().err
    assert run([*words, str(tmp_path / "agent.toml" / "a.prom")]) == 1
    told = capsys.readouterr().err
    assert "could not be written" in told
    assert "Traceback" not in told


# Real agents


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with few keys."""
    with running_pair(tmp_path_factory.mktemp("watch")) as running:
        yield running


def _watched(site: Site, at: int) -> tuple[dict[str, object], dict[tuple[str, ...], float]]:
    """Return what status says of the consumer, and the metrics beside it."""
    out = site.folder / f"{at}.prom"
    command = [sys.executable, "-m", "keystrand.cli.main", "agent", "status", "--config", str(site.config(at))]
    env = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [*command, "-o", "json", "--metrics", str(out)], capture_output=True, text=True, check=True, env=env
    )
    return json.loads(done.stdout)[0], samples(out.read_bytes())


@pytest.mark.system
def test_counts_and_stock_of_agents_that_run(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changeovers are counted as the audit has them; the stock is the KME's own figure; run dry, it is an alarm before
    the key is too old, and the failures count.
    """
    monkeypatch.syspath_prepend(HERE)
    site = Site(tmp_path, pair, TERMS.replace("max_age_s = 20", "max_age_s = 300\nstock_alarm_keys = 5"))
    low = "the KME has fewer than 5 keys left for sae-b"
    try:
        site.start()
        wait_until(lambda: site.settled(2), 30, lambda: site.log(0))
        status, found = _watched(site, 0)
        proven = [line for line in site.audit(0) if line["action"] == "agent.proven"]
        assert found["keystrand_agent_up",] == 1
        assert 2 <= found["keystrand_consumer_changeovers_total", "consumer=door"] <= len(proven)
        assert isinstance(status["stock"], int)
        assert low not in str(status["alarms"])
        with pair.client("sae-a") as client:
            assert 0 < client.status("sae-b").stored_key_count <= status["stock"]
            _drain(client)
        wait_until(lambda: low in _stands(site, 0).alarms, 15, lambda: site.log(0))
        wait_until(lambda: _stands(site, 0).stock == 0 and _stands(site, 0).failures > 0, 15, lambda: site.log(0))
        assert _stands(site, 0).footing is Footing.FRESH
        assert _stands(site, 1).stock is None
        pair.kill(KME_IDS[0])
        assert low in _stands(site, 0).alarms, "the last figure stays"
    finally:
        site.close()


def _stands(site: Site, at: int) -> Standing:
    return standings(load_agent(site.config(at)))[0]


def _drain(client: Client014) -> None:
    while count := client.status("sae-b").stored_key_count:
        try:
            for key in client.enc_keys("sae-b", number=min(count, 100)):
                key.key.zeroise()
        except NoKeyAvailable:
            continue
