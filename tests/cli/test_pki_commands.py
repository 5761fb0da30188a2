"""`keystrand pki`: what it issues names its party, what it takes back is listed, and mistakes come with a way out."""

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from keystrand.app.pki import issued_certificates, revoke_certificates
from keystrand.cli.main import run
from keystrand.cli.pki import PartyKind, Signature
from keystrand.edge.pki import Algorithm, Identity, Kind, Pki, party_of, read_revocations
from keystrand.edge.tls import covers_host, read_certificate


@pytest.fixture(autouse=True)
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run `keystrand pki` with `words` and return its JSON."""
    assert run(["pki", *words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_words_of_the_command_line_are_those_of_the_certificates() -> None:
    """The options offer every kind and every algorithm there is."""
    assert list(map(str, PartyKind)) == list(map(str, Kind))
    assert list(map(str, Signature)) == list(map(str, Algorithm))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_from_nothing_to_a_revoked_certificate(capsys: pytest.CaptureFixture[str], algorithm: Algorithm) -> None:
    """init, issue for each kind, show, revoke, show: what is issued names its party, and its state is told."""
    made = answer(capsys, "init", "pki", "--algorithm", algorithm)
    assert made == [{"authority": "pki/ca.pem", "revocation_list": "pki/ca.crl", "algorithm": algorithm}]
    for kind in Kind:
        hosts = ["--host", "kme.example.org", "--host", "2001:db8::1"] if kind is Kind.KME else []
        (issued,) = answer(capsys, "issue", "pki", "--kind", kind, "--id", f"{kind} ä", *hosts)
        leaf = read_certificate(Path(issued["certificate"]))
        assert party_of(leaf) == Identity(kind=kind, id=f"{kind} ä")
        assert f"{leaf.serial_number:x}" == issued["serial"]
        leaf.verify_directly_issued_by(read_certificate(Path("pki/ca.pem")))
        assert stat.S_IMODE(Path(issued["key"]).stat().st_mode) == 0o600
        if kind is Kind.KME:
            assert covers_host(leaf, "KME.example.org")
            assert covers_host(leaf, "2001:db8::1")
            assert not covers_host(leaf, "localhost")
    (revoked,) = answer(capsys, "revoke", "pki", "--kind", "sae", "--id", "sae ä")
    assert answer(capsys, "revoke", "pki", "--kind", "sae", "--id", "sae ä") == []
    shown = answer(capsys, "show", "pki")
    assert {(row["kind"], row["state"]) for row in shown} == {
        ("kme", "valid"), ("sae", "revoked"), ("module", "valid"), ("operator", "valid"),
        ("agent", "valid"),
    }  # fmt: skip
    assert revoked["serial"] in {row["serial"] for row in shown}
    # a revoked one makes room for another; the record of both stays
    answer(capsys, "issue", "pki", "--kind", "sae", "--id", "sae ä")
    assert sorted(row["state"] for row in answer(capsys, "show", "pki") if row["kind"] == "sae") == ["revoked", "valid"]
    assert stat.S_IMODE(Path("pki").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("pki/ca.key").stat().st_mode) == 0o600


def test_a_certificate_is_renewed_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A valid one is not replaced by accident; with --renew there is a new key, and revoking takes both back."""
    answer(capsys, "init", "pki")
    answer(capsys, "issue", "pki", "--kind", "kme", "--id", "a")
    before = Path("pki/kme-a.key").read_bytes()
    assert run(["pki", "issue", "pki", "--kind", "kme", "--id", "a"]) == 2
    assert "--renew" in capsys.readouterr().err
    assert Path("pki/kme-a.key").read_bytes() == before
    (new,) = answer(capsys, "issue", "pki", "--kind", "kme", "--id", "a", "--renew", "--days", "7")
    assert Path("pki/kme-a.key").read_bytes() != before
    assert {row["serial"] for row in answer(capsys, "revoke", "pki", "--kind", "kme", "--id", "a")} > {new["serial"]}


def test_the_list_is_made_from_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    """A list that was lost or broken comes back whole; `crl` says when it ends."""
    answer(capsys, "init", "pki")
    answer(capsys, "issue", "pki", "--kind", "sae", "--id", "a")
    (revoked,) = answer(capsys, "revoke", "pki", "--kind", "sae", "--id", "a")
    for broken in (b"nonsense", None):
        Path("pki/ca.crl").unlink()
        if broken:
            Path("pki/ca.crl").write_bytes(broken)
        (made,) = answer(capsys, "crl", "pki", "--days", "7")
        assert made["revocation_list"] == "pki/ca.crl"
        (crl,) = read_revocations(Path("pki/ca.crl"))[0]
        assert [f"{entry.serial_number:x}" for entry in crl] == [revoked["serial"]]
        assert f"{crl.next_update_utc:%Y-%m-%dT%H:%M:%SZ}" == made["not_after"]
    Path("pki/ca.crl").unlink()
    assert run(["pki", "show", "pki"]) == 0
    assert "keystrand pki crl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", "pki"], "holds an authority already"),
        (["init", "new", "--algorithm", "rsa"], "rsa"),
        (["init", "new", "--days", "0"], "at least a day"),
        (["init", "new", "--days", "99999999"], "so long"),
        (["issue", "absent", "--kind", "kme", "--id", "a"], "keystrand pki init absent"),
        (["issue", "empty", "--kind", "kme", "--id", "a"], "keystrand pki init empty"),
        (["issue", "pki", "--kind", "root", "--id", "a"], "root"),
        (["issue", "pki", "--kind", "kme"], "--id"),
        (["issue", "pki", "--kind", "kme", "--id", ""], "1 to 128"),
        (["issue", "pki", "--kind", "kme", "--id", "x" * 129], "1 to 128"),
        (["issue", "pki", "--kind", "kme", "--id", "\N{SNOWMAN}" * 60], "at most 200"),
        (["issue", "pki", "--kind", "kme", "--id", "a\nb"], "printable"),
        (["issue", "pki", "--kind", "sae", "--id", "a", "--host", "h"], "leave --host out"),
        (["issue", "pki", "--kind", "kme", "--id", "a", "--host", "*.example.org"], "no wildcards"),
        (["issue", "pki", "--kind", "kme", "--id", "a", "--host", "a b"], "'a b'"),
        (["issue", "pki", "--kind", "kme", "--id", "a", "--host", ""], "''"),
        (["issue", "pki", "--kind", "kme", "--id", "a", "--days", "-1"], "at least a day"),
        (["issue", "pki", "--kind", "kme", "--id", "a", "--days", "4000"], "at most 36"),
        (["revoke", "pki", "--kind", "kme", "--id", "nobody"], "keystrand pki show pki"),
        (["revoke", "absent", "--kind", "kme", "--id", "a"], "keystrand pki init absent"),
        (["crl", "absent"], "keystrand pki init absent"),
        (["crl", "pki", "--days", "0"], "at least a day"),
        (["show", "absent"], "keystrand pki init absent"),
    ],
)
def test_a_mistake_is_told_with_the_next_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
) -> None:
    """Exit code 2, a sentence and a hint on stderr, nothing on stdout, nothing issued."""
    assert run(["pki", "init", "pki"]) == 0
    Path("empty").mkdir()
    capsys.readouterr()
    assert run(["pki", *words]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert not out
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*/issued/*"))
    assert not list(tmp_path.glob("*/kme-*"))


def test_a_damaged_folder_is_told_by_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A key others can read, another's key, a record that is none, files of unknown origin: refused by name."""
    answer(capsys, "init", "pki")
    answer(capsys, "init", "other")
    answer(capsys, "issue", "pki", "--kind", "sae", "--id", "a")
    issue = ["pki", "issue", "pki", "--kind", "sae", "--id", "b"]
    key = Path("pki/ca.key")
    kept = key.read_bytes()
    key.chmod(0o640)
    assert run(issue) == 2
    assert "chmod 600 pki/ca.key" in capsys.readouterr().err
    key.chmod(0o600)
    for wrong in (Path("other/ca.key").read_bytes(), b"nonsense"):
        key.write_bytes(wrong)
        assert run(issue) == 2
        assert "pki/ca.key and pki/ca.pem are no usable authority" in capsys.readouterr().err
    key.write_bytes(kept)
    Path("pki/sae-b.pem").write_text("mine")
    assert run(issue) == 2
    assert "was not issued here" in capsys.readouterr().err
    Path("pki/sae-b.pem").unlink()
    record = Path("pki/issued/ff.pem")
    record.write_text("nonsense")
    assert run(issue) == 2
    assert "pki/issued/ff.pem" in capsys.readouterr().err
    record.unlink()
    Path("pki/revoked").mkdir()
    Path("pki/revoked/ff").write_text("last Tuesday")
    assert run(["pki", "crl", "pki"]) == 2
    assert "pki/revoked/ff" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 with the place."""
    Path("file").touch()
    assert run(["pki", "init", "file/pki"]) == 1
    assert "file/pki" in capsys.readouterr().err


def test_writers_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    """Several that revoke at once lose no revocation."""
    answer(capsys, "init", "pki")
    names = [f"sae-{n}" for n in range(8)]
    for name in names:
        answer(capsys, "issue", "pki", "--kind", "sae", "--id", name)
    folder = Path("pki").absolute()
    threads = [threading.Thread(target=revoke_certificates, args=(folder, "sae", name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_revocations(Pki(folder=folder).crl)[1].serials) == len(names)
    assert {one.state.value for one in issued_certificates(folder)[0]} == {"revoked"}
