"""The agent's file: every mistake with its line, field and next step, and what only a signature permits."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystrand.cli.main import run
from keystrand.edge.agent.config import AgentConfig, exception_ends_s, load_agent
from keystrand.edge.consumers.base import Role
from keystrand.edge.store.audit_signer import open_signer
from keystrand.keys.lapse import FailurePolicy
from keystrand.model.errors import InvalidInput, MissingInput

FILE = """[agent]
name = "agent-a"
listen = "127.0.0.1:4590"
peer = "agent-b"
peer_address = "127.0.0.1:4591"
ca = "ca.pem"
certificate = "a.pem"
key = "a.key"
journal = "journal"
audit = "audit"
installer = "installer.sock"

[kme]
url = "https://127.0.0.1:8443"
ca = "ca.pem"
certificate = "sae.pem"
key = "sae.key"

[[consumer]]
id = "door"
kind = "json.tool"
role = "initiator"
peer_sae = "sae-b"
policy = "fail-secure"
rotate_every_s = 60
max_age_s = 120

[consumer.settings]
device = "wg0"
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes an agent's file."""

    def write(text: str) -> Path:
        file = tmp_path / "agent.toml"
        file.write_text(text)
        return file

    return write


def test_a_file_is_read_with_its_paths_made_absolute(write: Write, tmp_path: Path) -> None:
    """Everything has its default but the failure policy."""
    config = load_agent(write(FILE))
    assert isinstance(config, AgentConfig)
    assert config.agent.journal == str(tmp_path / "journal")
    assert config.agent.signing_key == str(tmp_path / "journal" / "audit.key")
    (one,) = config.consumers
    assert (one.role, one.policy, one.wait_s) == (Role.INITIATOR, FailurePolicy.FAIL_SECURE, 10)
    assert config.devices == {"wg0": "door"}
    assert one.serves_most_s() == 120


MISTAKES = [
    ('policy = "fail-secure"\n', "", 19, "policy", "missing key", "hold-until-ttl"),
    ('"fail-secure"', '"fail-open"', 24, "policy", "needs a signed exception", "agent except"),
    ('"fail-secure"', '"fail-secur"', 24, "policy", "", "did you mean 'fail-secure'"),
    ('"json.tool"', '"wiregard"', 21, "kind", "there is no kind of consumer 'wiregard'", "known here"),
    ('"json.tool"', '"json.no_such"', 21, "kind", "there is no kind of consumer", "known here"),
    ("max_age_s = 120", "max_age_s = 70", 26, "max_age_s", "too old before one slow answer", "more than 70"),
    ("max_age_s = 120", "max_age_s = 0", 26, "max_age_s", "", "write"),
    ("max_age_s = 120", "max_age_s = 120\nttl_s = 600", 27, "ttl_s", "means nothing under fail-secure", "leave it out"),
    ('"fail-secure"', '"hold-until-ttl"', 24, "policy", "needs ttl_s", "how long an old key may serve"),
    ('"fail-secure"', '"fallback-pqc"', 24, "policy", "needs fallback_most_s", "how long a substitute may serve"),
    ('peer = "agent-b"', 'peer = "agent-a"', 4, "agent.peer", "this agent itself", "name the agent"),
    ('"https://127', '"http://127', 14, "kme.url", "not an https URL", "https://host:port"),
    ('"127.0.0.1:4590"', '"127.0.0.1"', 3, "agent.listen", "", "HOST:PORT"),
    ('"127.0.0.1:4590"', '"127.0.0.1:99999"', 3, "agent.listen", "no such port", "HOST:PORT"),
    ("rotate_every_s", "rotate_every", 25, "rotate_every", "unknown key", "rotate_every_s"),
    ('role = "initiator"', 'role = "boss"', 22, "role", "", "initiator"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "message", "hint"), MISTAKES)
def test_each_mistake_is_told_with_its_place(
    write: Write, old: str, new: str, line: int, field: str, message: str, hint: str
) -> None:
    """File, line, field, what is wrong and what to do."""
    assert old in FILE
    with pytest.raises(InvalidInput) as caught:
        load_agent(write(FILE.replace(old, new, 1)))
    told = [(one.line, one.field, one.message, one.hint) for one in caught.value.problems]
    assert any(
        at == line and where.endswith(field) and message in what and hint in next_step
        for at, where, what, next_step in told
    ), told


def test_two_consumers_need_two_names(write: Write) -> None:
    """The name is what the two agents call it by."""
    with pytest.raises(InvalidInput, match="a problem") as caught:
        load_agent(write(FILE + FILE[FILE.index("[[consumer]]") :]))
    assert caught.value.problems[0].field == "consumer[1].id"


def test_no_file_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with the command that writes one; that one is read as far as its files go, and never replaced."""
    with pytest.raises(MissingInput):
        load_agent(tmp_path / "none.toml")
    assert run(["agent", "run", "--config", str(tmp_path / "none.toml")]) == 2
    assert "keystrand agent init" in capsys.readouterr().err
    file = tmp_path / "new.toml"
    assert run(["agent", "init", str(file)]) == 0
    assert run(["agent", "init", str(file)]) == 2
    assert "never replaced" in capsys.readouterr().err
    text = file.read_text().replace('kind = "wireguard"', 'kind = "json.tool"')
    file.write_text(text)
    assert load_agent(file).agent.user == "keystrand"


def _officer(folder: Path) -> tuple[Path, Path]:
    signer = open_signer(folder / "officer.key", make=True)
    public = folder / "officer.pub.pem"
    public.write_bytes(signer.public_pem)
    return folder / "officer.key", public


def _open(write: Write, extra: str = 'exception = "open.toml"') -> Path:
    text = FILE.replace('"fail-secure"', f'"fail-open"\n{extra}')
    return write(text.replace("[kme]", 'exception_key = "officer.pub.pem"\n[kme]'))


def _sign(key: Path, file: Path, *, consumer: str = "door", expires: str = "") -> int:
    when = expires or (datetime.now(UTC) + timedelta(days=1)).isoformat()
    words = [
        "--key",
        str(key),
        "--consumer",
        consumer,
        "--by",
        'the "officer"',
        "--reason",
        "a drill",
        "--expires",
        when,
    ]
    return run(["agent", "except", str(file), *words])


def test_a_signed_exception_permits_fail_open_until_it_ends(write: Write, tmp_path: Path) -> None:
    """Signed by the key that the file names, for this consumer, with an end."""
    key, _ = _officer(tmp_path)
    assert _sign(key, tmp_path / "open.toml") == 0
    config = load_agent(_open(write))
    ends_s = exception_ends_s(config.consumers[0], config.agent)
    assert ends_s is not None
    assert abs(ends_s - (datetime.now(UTC) + timedelta(days=1)).timestamp()) < 60
    assert config.consumers[0].serves_most_s(500) == 500
    assert config.consumers[0].serves_most_s(-5) == 120


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "open.toml").unlink(), "does not exist"),
        (lambda folder: (folder / "open.toml.sig").unlink(), "does not exist"),
        (lambda folder: (folder / "open.toml").write_text((folder / "open.toml").read_text() + "\n"), "is not signed"),
        (lambda folder: (folder / "open.toml.sig").write_bytes(b"x" * 3309), "is not signed"),
        (lambda folder: _sign(folder / "officer.key", folder / "open.toml", consumer="other"), "is for the consumer"),
    ],
)
def test_an_exception_that_is_not_one_is_refused(
    write: Write, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """Missing, unsigned, changed, or another consumer's: the file is refused as a whole."""
    key, _ = _officer(tmp_path)
    _sign(key, tmp_path / "open.toml")
    spoil(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        load_agent(_open(write))
    assert message in caught.value.problems[0].message


def test_an_exception_needs_an_end_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is over, or whose end is no time, is not signed."""
    key, _ = _officer(tmp_path)
    assert _sign(key, tmp_path / "open.toml", expires="2020-01-01T00:00:00Z") == 2
    assert _sign(key, tmp_path / "open.toml", expires="never") == 2
    assert "is no date or time" in capsys.readouterr().err
    assert not (tmp_path / "open.toml").exists()
