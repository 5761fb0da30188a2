"""`keystrand kme`: status, reload, and the change of policy, against running KMEs."""

from pathlib import Path

import pytest

from .conftest import Lab, Typed

pytestmark = pytest.mark.system

POLICY = """\
name = "simulated-only"
default = "allow"
default_profiles = ["simulated"]
[[profile]]
name = "simulated"
strands = [{ source = "qkd", strength = "simulated" }]
result = "simulated"
[[rotation]]
id = "often"
master = "sae-1"
slave = "sae-2"
max_keys = 1000
"""


def test_status_says_how_a_kme_stands(lab: Lab, typed: Typed) -> None:
    """Links with trust and stock in a table, everything in JSON, the rest in sentences on stderr."""
    told = typed("kme", "status", *lab.options(), "-o", "json")
    assert (told.code, told.json["kme_id"], told.json["links"][0]["trusted"]) == (0, "kme-1", True)
    assert "policy 'built-in'" in told.err
    table = typed("kme", "status", *lab.options(1))
    assert "link-1-2" in table.out
    assert "kme-2: keystrand" in table.err
    line = typed("kme", "status", *lab.options(1), "-o", "csv").out.splitlines()
    assert line[0] == "link,peer_kme,trusted,qkd_bits,pqc_bits,classical_bits,labels,trouble"


def test_the_options_come_from_the_environment_too(
    lab: Lab, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A flag left out is looked for as a variable; the message for one that is nowhere names both."""
    words = dict(zip(lab.options()[::2], lab.options()[1::2], strict=True))
    for flag, name in (("--kme", "URL"), ("--ca", "CA"), ("--cert", "CERT"), ("--key", "KEY")):
        monkeypatch.setenv(f"KEYSTRAND_KME_{name}", words[flag])
    assert typed("kme", "status", "-o", "jsonl").code == 0
    monkeypatch.delenv("KEYSTRAND_KME_CA")
    told = typed("kme", "status")
    assert (told.code, told.out) == (2, "")
    assert "--ca" in told.err
    assert "KEYSTRAND_KME_CA" in told.err


def test_only_operators_are_answered(lab: Lab, typed: Typed) -> None:
    """An SAE's certificate is denied with exit 12 and what to use instead; an address where nobody is, with exit 1."""
    told = typed("kme", "status", *lab.options(role="sae"))
    assert (told.code, told.out) == (12, "")
    assert "this is for operator certificates" in told.err
    assert "hint: use the certificate of an operator" in told.err
    away = lab.options()
    away[1] = "https://127.0.0.1:1"
    assert typed("kme", "status", *away).code == 1
    away[1] = "http://127.0.0.1:1"
    assert typed("kme", "status", *away).code == 2


def test_reload_is_done_and_audited(lab: Lab, typed: Typed) -> None:
    """The entity says that it has read its files again."""
    told = typed("kme", "reload", *lab.options(), "-o", "json")
    assert (told.code, told.json) == (0, [{"reloaded": True}])
    audit = typed("audit", "show", str(lab.folder / "kme-1.audit"), "--action", "reload", "-o", "json")
    assert audit.json[0]["actor"] == "urn:keystrand:operator:operator"


def test_a_policy_is_staged_activated_and_rolled_back(lab: Lab, typed: Typed, tmp_path: Path) -> None:
    """Each step says what is in force; a dry run says what would be; one with a fault never leaves this machine."""
    file = tmp_path / "simulated.toml"
    file.write_text(POLICY)
    words = lab.options()

    def states(*verb: str) -> list[tuple[str, str]]:
        told = typed("kme", "policy", *verb, *words, "-o", "jsonl")
        assert told.code == 0, told.err
        rows = [line.split('"') for line in told.out.splitlines()]
        return [(row[3], row[7]) for row in rows]

    assert states("show") == [("active", "built-in policy")]
    assert typed("kme", "policy", "activate", *words).code == 2
    assert typed("kme", "policy", "rollback", *words, "--dry-run").code == 2
    assert ("staged", "simulated.toml") in states("stage", str(file), "--dry-run")
    assert states("show") == [("active", "built-in policy")]
    assert ("staged", "simulated.toml") in states("stage", str(file))
    assert states("activate", "--dry-run")[0] == ("active", "simulated.toml")
    assert states("show")[0] == ("active", "built-in policy")
    assert states("activate")[0] == ("active", "simulated.toml")
    assert lab.keys()
    assert states("rollback", "--dry-run")[0] == ("active", "built-in policy")
    assert states("show") == [("active", "simulated.toml"), ("earlier", "built-in policy")]
    assert states("rollback") == [("active", "built-in policy")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (POLICY.replace("result =", "reslut ="), "did you mean 'result'?"),
        (POLICY + '[[test]]\nname = "t"\nmaster = "a"\nslave = "b"\nexpect = "deny"\n', "tests of the policy itself"),
    ],
)
def test_a_faulty_policy_is_not_sent(lab: Lab, typed: Typed, tmp_path: Path, text: str, said: str) -> None:
    """Its problems are told here, with their lines, before the entity hears of it."""
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    told = typed("kme", "policy", "stage", str(file), *lab.options())
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert "faulty.toml" not in typed("kme", "policy", "show", *lab.options(), "-o", "json").out


def test_lab_and_serve_say_what_is_wrong(typed: Typed, tmp_path: Path) -> None:
    """Mistakes end with exit code 2 and a hint, without anything being started."""
    assert typed("kme", "lab", "--dir", str(tmp_path / "lab"), "--nodes", "1").code == 2
    assert typed("kme", "lab", "--dir", str(tmp_path / "lab"), "--algorithm", "rsa").code == 2
    assert typed("kme", "lab").code == 2
    assert not (tmp_path / "lab").exists()
