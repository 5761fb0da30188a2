"""The example estate: sound, and with all that the tutorial, the demonstration and the brief of the example need."""

import os
import re
import runpy
import subprocess
import sysconfig
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest
import uv_build
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from keystrand.edge.catalogue import positions
from keystrand.edge.demo_endpoints import STAND_INS, Posture
from keystrand.edge.estate_folder import estate_doubts, load_estate
from keystrand.model.algorithm import Function
from keystrand.model.estate import (
    Continuity,
    Estate,
    Layer,
    Place,
    ProbeKind,
    Purpose,
    Segment,
    SegmentReach,
    Sensitivity,
    SiteKind,
)
from keystrand.model.stages import Approach
from keystrand.model.units import Answer
from keystrand.plan.approach import decide

ROOT = Path(__file__).parents[2]
BANK = ROOT / "examples" / "regional-bank"
FORGOTTEN = {
    Place.REPLICATION, Place.ADMIN_TUNNEL, Place.API, Place.PARTNER_LINK, Place.BACKUP_ARCHIVE, Place.CODE_SIGNING,
    Place.FIRMWARE, Place.IDENTITY,
}  # fmt: skip
"""The places of mission row M2."""
SPAN_MOST_KM = 80.0
"""What the example keeps each span below, so that fielded hardware gives a useful key rate."""


@pytest.fixture(scope="module")
def bank() -> Estate:
    """The example estate as users get it."""
    return load_estate(BANK).estate


def test_the_example_is_sound_and_raises_no_doubt() -> None:
    """What new users start from has nothing to question."""
    assert estate_doubts(BANK) == ()


def test_it_has_the_sites_it_promises(bank: Estate) -> None:
    """Two data centres, a recovery site, two hubs and one partner, in two jurisdictions and three trust zones."""
    kinds = Counter(site.kind for site in bank.site)
    assert kinds == {SiteKind.DATA_CENTRE: 2, SiteKind.RECOVERY: 1, SiteKind.HUB: 2, SiteKind.PARTNER: 1}
    assert {region.jurisdiction for region in bank.region} == {"DE", "AT", "CH"}
    assert len({site.trust_zone for site in bank.site}) == 3
    assert {site.controlled for site in bank.site} == {Answer.YES, Answer.NO}


def test_every_forgotten_place_is_there_twice(bank: Estate) -> None:
    """At least 30 systems; each place of M2 has two or more, and every other place at least one."""
    places = Counter(system.place for system in bank.system)
    assert places.total() >= 30
    assert all(places[place] >= 2 for place in FORGOTTEN)
    assert set(places) == set(Place)
    assert {function for system in bank.system for function in system.functions} == {
        Function.KEY_ESTABLISHMENT,
        Function.SIGNATURE,
    }


def test_some_layers_have_no_owner_and_one_system_none_at_all(bank: Estate) -> None:
    """Ownership gaps are on purpose: each layer is owned somewhere and missing somewhere."""
    for layer in Layer:
        owned = [system.owners.of(layer) is not None for system in bank.system]
        assert any(owned)
        assert not all(owned)
    assert any(all(system.owners.of(layer) is None for layer in Layer) for system in bank.system)


def test_the_obligations_are_policies_that_exist(bank: Estate) -> None:
    """Each obligation is a policy file that comes with the product."""
    known = {path.stem for path in (ROOT / "src/keystrand/assess/policies").glob("*.toml")}
    assert bank.organisation.obligations
    assert set(bank.organisation.obligations) <= known


def _carries_lasting_secrets(bank: Estate, segment: Segment) -> bool:
    lasting = {
        each.id
        for each in bank.data_class
        if each.retention_years >= 10 and each.sensitivity.weight >= Sensitivity.HIGH.weight
    }
    return any(segment.id in system.segments and lasting & set(system.data_classes) for system in bank.system)


def _own_optics(segment: Segment) -> bool:
    case = segment.quantum
    return segment.dark_fibre is case.dedicated_optics is case.specialised_operation is Answer.YES


def test_each_of_the_five_approaches_is_right_somewhere(bank: Estate) -> None:
    """The facts that decide for each approach stand on some segment, metro and long-haul."""
    facts = {
        segment.id: SimpleNamespace(
            own=_own_optics(segment) and _carries_lasting_secrets(bank, segment),
            single=segment.spans == 1,
            waits=segment.continuity is Continuity.MAY_WAIT,
            nodes=segment.quantum.trusted_nodes is Answer.YES and segment.quantum.accepted_by is not None,
            research=segment.purpose is Purpose.RESEARCH and segment.programme is not None,
        )
        for segment in bank.segment
    }
    assert len(facts) >= 6
    assert {segment.reach for segment in bank.segment} == set(SegmentReach)
    assert [n for n, f in facts.items() if f.own and f.single and f.waits] == ["archive-vault"]
    assert [n for n, f in facts.items() if f.own and f.single and not f.waits] == ["dc-metro"]
    assert [n for n, f in facts.items() if f.own and not f.single and f.nodes] == ["recovery-route"]
    assert [n for n, f in facts.items() if f.research] == ["testbed"]
    assert sum(not _own_optics(segment) for segment in bank.segment) >= 2


def test_the_planner_chooses_all_five_approaches(bank: Estate) -> None:
    """What the README expects of each segment is what the plan decides, and what is unknown becomes questions."""
    decisions = {one.segment: one for one in decide(bank, positions(), date(2026, 11, 26))}
    assert {name: decision.chosen for name, decision in decisions.items()} == {
        "dc-metro": Approach.HYBRID,
        "archive-vault": Approach.QKD_FIBRE,
        "recovery-route": Approach.QKD_TRUSTED_NODE,
        "clearing-route": Approach.PQC_ONLY,
        "clearing-backup": Approach.PQC_ONLY,
        "hub-service": Approach.PQC_ONLY,
        "testbed": Approach.QUANTUM_INTERNET_TESTBED,
    }
    assert [name for name, decision in decisions.items() if decision.questions] == ["hub-service"]


def test_the_quantum_segments_have_spans_that_hardware_reaches(bank: Estate) -> None:
    """Each span of a segment with optics of the bank's own is short enough, and its loss was measured."""
    for segment in bank.segment:
        if _own_optics(segment):
            assert segment.length_km / segment.spans <= SPAN_MOST_KM
            assert segment.total_loss_db / segment.spans <= 16
            assert segment.loss_basis == "measured"


def test_the_corridor_pilot_is_on_the_hybrid_segment(bank: Estate) -> None:
    """The pilot `corridor` asks for at least the keys that its segment's traffic needs."""
    (pilot,) = bank.pilot
    assert (pilot.id, pilot.segment) == ("corridor", "dc-metro")
    segment = next(segment for segment in bank.segment if segment.id == pilot.segment)
    assert pilot.criteria.secret_key_rate_min_bits_per_s >= segment.key_demand_bits_per_s > 0


def test_dates_drive_a_roadmap(bank: Estate) -> None:
    """Refresh and contract dates are spread over years, and some systems have none."""
    days = [day for system in bank.system for day in (system.refresh, system.contract_ends) if day is not None]
    assert len({day.year for day in days}) >= 4
    assert min(days) > date(2026, 12, 31)
    assert any(system.refresh is system.contract_ends is None for system in bank.system)


def test_every_network_target_has_a_stand_in_and_no_name_can_resolve(bank: Estate) -> None:
    """The demonstration answers for exactly the targets that the estate names, all under the reserved domain."""
    network = [target for target in bank.target if not target.probe.reads_files]
    assert sorted((str(target.host), target.port) for target in network) == sorted(STAND_INS)
    assert all(str(target.host).endswith(".example") for target in network)
    assert set(STAND_INS.values()) == set(Posture) - {Posture.LEFT_OUT}


def test_every_certificate_file_is_named_and_is_what_its_name_says(bank: Estate) -> None:
    """The files in `certs/` and the x509 targets are one set; one is expired, one is ML-DSA; no key is in there."""
    paths = {target.path for target in bank.target if target.probe is ProbeKind.X509}
    files = {path.name: path.read_bytes() for path in (BANK / "certs").iterdir()}
    assert paths == {f"certs/{name}" for name in files}
    assert not any(b"PRIVATE KEY" in content for content in files.values())
    expired = x509.load_pem_x509_certificate(files["clearing-expired-rsa-2048.pem"])
    assert expired.not_valid_after_utc < datetime.now(UTC)
    firmware = x509.load_pem_x509_certificate(files["network-firmware-ml-dsa-65.pem"])
    assert firmware.signature_algorithm_oid.dotted_string == "2.16.840.1.101.3.4.3.18"
    assert len(x509.load_pem_x509_certificates(files["build-signing-rsa-2048.pem"])) == 2
    assert x509.load_der_x509_certificate(files["mobile-app-signing-ecdsa-p256.der"])
    store = pkcs12.load_pkcs12(files["partner-trust-store.p12"], None)
    assert store.key is None
    assert len(store.additional_certs) == 2


def _facts(content: bytes) -> list[tuple[str, str, int, datetime, datetime, str]]:
    certificates = (
        x509.load_pem_x509_certificates(content)
        if content.startswith(b"-----")
        else [each.certificate for each in pkcs12.load_pkcs12(content, None).additional_certs]
        if b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" in content  # the content type that a PKCS#12 file opens with
        else [x509.load_der_x509_certificate(content)]
    )
    return [
        (
            each.subject.rfc4514_string(),
            each.issuer.rfc4514_string(),
            each.serial_number,
            each.not_valid_before_utc,
            each.not_valid_after_utc,
            each.public_key_algorithm_oid.dotted_string,
        )
        for each in certificates
    ]


def test_the_generator_makes_the_files_that_are_committed() -> None:
    """Run again, the script gives the same files: names, dates, serials and kinds of key, with other keys."""
    made = runpy.run_path(str(ROOT / "examples" / "make_certificates.py"))["make"]()
    kept = {path.name: path.read_bytes() for path in (BANK / "certs").iterdir()}
    assert {name: _facts(content) for name, content in made.items()} == {n: _facts(c) for n, c in kept.items()}
    assert all(made[name] != kept[name] for name in kept)


def test_the_readme_counts_what_is_there(bank: Estate) -> None:
    """The figures in the example's README are those of the estate, and it explains every segment."""
    readme = (BANK / "README.md").read_text()
    probes = Counter(target.probe for target in bank.target)
    assert f"| systems | {len(bank.system)}," in readme
    assert f"| segments | {len(bank.segment)}," in readme
    assert f"| owners | {len(bank.owner)} " in readme
    assert f"| data classes | {len(bank.data_class)}," in readme
    assert (
        f"{probes[ProbeKind.TLS]} TLS, {probes[ProbeKind.SSH]} SSH, {probes[ProbeKind.X509]} certificate files"
        in readme
    )
    assert all(f"`{segment.id}`" in readme for segment in bank.segment)


def test_the_example_is_a_link_into_the_package() -> None:
    """There is one copy: `examples/` points at the folder that the wheel carries (uv_build refuses a linked folder)."""
    assert BANK.is_symlink()
    assert BANK.resolve() == ROOT / "src/keystrand/edge/example/regional-bank"


@pytest.mark.system
@pytest.mark.parametrize("page", [BANK / "README.md", ROOT / "docs/tutorial/first-run.md"], ids=["readme", "tutorial"])
def test_the_copy_that_the_pages_tell_of_is_the_whole_estate(page: Path, tmp_path: Path) -> None:
    """The command for copying, as it is printed, gives a sound estate with its certificates anywhere."""
    (name,) = re.findall(r"cp -rL examples/regional-bank ([a-z-]+)", page.read_text())
    subprocess.run(["cp", "-rL", "examples/regional-bank", str(tmp_path / name)], cwd=ROOT, check=True)
    assert load_estate(tmp_path / name) == load_estate(BANK)
    assert not any(path.is_symlink() for path in [tmp_path / name, *(tmp_path / name).rglob("*")])
    assert {path.name for path in (tmp_path / name / "certs").iterdir()} == {p.name for p in (BANK / "certs").iterdir()}


@pytest.mark.system
def test_the_wheel_carries_the_example_and_the_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package can run the demonstration: every file of the example is in the wheel."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", sysconfig.get_path("scripts"), prepend=os.pathsep)
    with ZipFile(tmp_path / uv_build.build_wheel(str(tmp_path))) as wheel:
        held = set(wheel.namelist())
    for path in (ROOT / "src/keystrand/edge").glob("example/**/*"):
        if path.is_file():
            assert str(path.relative_to(ROOT / "src")) in held
    assert "keystrand/edge/starter/estate.toml" in held
