"""age itself with our plug-in: one key one file, opened by the reader's SAE alone; nothing without a key."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from keystrand.edge.consumers.age import addressed, identity_of, recipient_of, sae_of, unwrapped, wrapped
from keystrand.edge.consumers.age_plugin import Pipe, identity_v1, recipient_v1
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import KME_IDS, Pair, start_pair
from keystrand.edge.pki import Kind
from keystrand.formats.age_stanza import Stanza, read, to_base64, written
from keystrand.model.errors import InvalidInput, PolicyDenied

pytestmark = pytest.mark.system

FILE_KEY = bytes(range(16))


class Site(NamedTuple):
    """Where one SAE uses age: its configuration, and a PATH on which age finds the plug-in."""

    folder: Path
    sae: str

    def age(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run age."""
        return subprocess.run(
            ["age", *map(str, words)], capture_output=True, text=True, timeout=60, check=False, env=self.env
        )

    @property
    def env(self) -> dict[str, str]:
        """What age runs with."""
        path = f"{self.folder}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KEYSTRAND_AGE": str(self.folder / "age.toml")}

    @property
    def identity(self) -> Path:
        """Return a file with the identity, as the plug-in prints it."""
        file = self.folder / "identity"
        file.write_text(self.plugin("--identity", self.sae).stdout)
        return file

    def plugin(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the plug-in by hand."""
        return subprocess.run(
            [self.folder / "age-plugin-keystrand", *words], capture_output=True, text=True, timeout=60, check=False,
            env=self.env, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def made_site(folder: Path, pair: Pair, sae: str) -> Site:
    """Make what an operator makes at one site."""
    if shutil.which("age") is None:
        pytest.skip("needs age: apt-get install age")
    folder.mkdir()
    files, at = pair.credentials(Kind.SAE, sae), pair.saes.index(sae)
    (folder / "age.toml").write_text(
        f"sae = '{sae}'\n[kme]\nurl = '{pair.urls[at]}'\nkme_id = '{KME_IDS[at]}'\nca = '{files.ca}'\n"
        f"certificate = '{files.certificate}'\nkey = '{files.key}'\n"
    )
    plugin = folder / "age-plugin-keystrand"
    plugin.write_text(f"#!{sys.executable}\nfrom keystrand.cli.age_plugin import main\nmain()\n")
    plugin.chmod(0o755)
    return Site(folder, sae)


@pytest.fixture
def sites(stocked: Pair, tmp_path: Path) -> tuple[Site, Site]:
    """Site A, which writes, and site B, which reads."""
    return made_site(tmp_path / "a", stocked, "sae-a"), made_site(tmp_path / "b", stocked, "sae-b")


def test_a_backup_is_opened_at_the_other_site(sites: tuple[Site, Site], sae_a: Client014, tmp_path: Path) -> None:
    """Three megabytes through the real program: one key, its ID in the header, and no way in for its writer."""
    a, b = sites
    content, backup, out = os.urandom(3_000_000), tmp_path / "backup.age", tmp_path / "out"
    (tmp_path / "backup").write_bytes(content)
    before = sae_a.status("sae-b").stored_key_count
    recipient = a.plugin("--recipient", "sae-b").stdout.strip()
    done = a.age("-r", recipient, "-o", backup, tmp_path / "backup")
    assert (done.returncode, done.stderr) == (0, "")
    assert before - sae_a.status("sae-b").stored_key_count == 1
    assert backup.read_bytes().splitlines()[1].startswith(b"-> keystrand ")
    # A cannot open what it wrote for B, and does not use the key up by trying
    assert a.age("-d", "-i", a.identity, "-o", out, backup).returncode == 1
    done = b.age("-d", "-i", b.identity, "-o", out, backup)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == content


def test_a_header_that_was_altered_opens_nothing(sites: tuple[Site, Site], tmp_path: Path) -> None:
    """Another key ID, or another body, in the header: refused, and no file is written."""
    a, b = sites
    backup = tmp_path / "backup.age"
    assert a.age("-r", recipient_of("sae-b"), "-o", backup, a.folder / "age.toml").returncode == 0
    lines = backup.read_bytes().split(b"\n", 3)
    lines[2] = lines[2][:-1] + (b"E" if lines[2].endswith(b"A") else b"A")
    backup.write_bytes(b"\n".join(lines))
    done = b.age("-d", "-i", b.identity, "-o", tmp_path / "out", backup)
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()


def test_without_a_key_there_is_no_file(tmp_path: Path) -> None:
    """With empty KMEs age says so and writes nothing."""
    with start_pair(tmp_path / "run") as empty:
        a = made_site(tmp_path / "a", empty, "sae-a")
        out = tmp_path / "backup.age"
        done = a.age("-r", recipient_of("sae-b"), "-o", out, a.folder / "age.toml")
        assert done.returncode == 1
        assert "503" in done.stderr
        assert not out.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "sae"),
        ("sae = 'sae-a'\n[kme]\nurl = 'https://x'\n", "ca"),
        ("sae = 'sae-a'\nsea = 1\n", "sea"),
        ("sae = ", "not valid TOML"),
        (None, "does not exist"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_told(sites: tuple[Site, Site], text: str | None, told: str) -> None:
    """Exit 2 with file, field and next step; nothing is said to age."""
    a, _ = sites
    (a.folder / "age.toml").unlink()
    if text is not None:
        (a.folder / "age.toml").write_text(text)
    done = a.plugin("--age-plugin=recipient-v1")
    assert done.returncode == 2
    assert told in done.stderr
    assert "age.toml" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_words_that_the_plugin_does_not_know(sites: tuple[Site, Site]) -> None:
    """Another state machine and other options are refused; help is given."""
    a, _ = sites
    assert "recipient-v1 and identity-v1" in a.plugin("--age-plugin=recipient-v9").stderr
    for words in ((), ("--recipient",), ("--identity", ""), ("--other", "x")):
        done = a.plugin(*words)
        assert done.returncode == 2
        assert "--recipient SAE" in done.stderr
    assert "--recipient SAE" in a.plugin("--help").stdout


@pytest.mark.parametrize("sae", ["sae-a", "x" * 128, "SAE über 7"])
def test_recipients_and_identities_name_an_sae(sae: str) -> None:
    """Both come back, and a typing error does not name another."""
    assert sae_of(recipient_of(sae)) == sae_of(identity_of(sae)) == sae
    with pytest.raises(InvalidInput, match="mistyped"):
        sae_of(recipient_of(sae)[:-1] + ("q" if recipient_of(sae)[-1] != "q" else "p"))


def test_a_key_opens_the_file_of_its_own_parties_alone(sae_a: Client014, sae_b: Client014) -> None:
    """The wrapping key is bound to both SAEs and the key's ID: under other names the right key opens nothing.

    And it is given once.
    """
    stanza = wrapped(sae_a, "sae-a", "sae-b", FILE_KEY)
    assert FILE_KEY not in stanza.body
    assert unwrapped(sae_b, addressed(stanza), stanza.body) == FILE_KEY
    with pytest.raises(InvalidInput, match="not found on KME"):
        unwrapped(sae_b, addressed(stanza), stanza.body)
    moved = wrapped(sae_a, "another", "sae-b", FILE_KEY)
    with pytest.raises(PolicyDenied, match="header was altered"):
        unwrapped(sae_b, addressed(moved)._replace(master_sae="sae-a"), moved.body)


def answers(come: list[Stanza], machine: object, kme: Client014, ours: str) -> list[Stanza]:
    """Return what a state machine says to one who tells `come` and takes everything."""
    go = io.BytesIO()
    taken = b"".join(map(written, [*come, Stanza("done"), *[Stanza("ok")] * 9]))
    machine(Pipe(io.BytesIO(taken), go), kme, ours)  # type: ignore[operator]  # one of two functions
    told = io.BytesIO(go.getvalue())
    said = []
    while (stanza := read(told.readline)) is not None:
        said.append(stanza)
    return said


def test_random_stanzas_are_passed_over_and_labels_told(sae_a: Client014, sae_b: Client014) -> None:
    """Two files for one reader, among grease: two keys; who knows labels is told ours, before the stanzas."""
    told = [
        Stanza("grease-1", ("7",), b"x" * 48), Stanza("add-recipient", (recipient_of("sae-b"),)), Stanza("recipient"),
        Stanza("wrap-file-key", (), FILE_KEY), Stanza("wrap-file-key", (), FILE_KEY[::-1]), Stanza("extension-labels"),
    ]  # fmt: skip
    labels, one, two, done = answers(told, recipient_v1, sae_a, "sae-a")
    assert labels == Stanza("labels", ("postquantum",))
    assert done == Stanza("done")
    assert one.arguments[-1] != two.arguments[-1]
    come = [Stanza("add-identity", (identity_of("sae-b"),)), Stanza("recipient-stanza", ("0", "X25519", "AAAA"), b"x")]
    come += [Stanza(one.tag, one.arguments, one.body), Stanza(two.tag, two.arguments, two.body), Stanza("grease-2")]
    first, second, done = answers(come, identity_v1, sae_b, "sae-b")
    assert first == Stanza("file-key", ("0",), FILE_KEY)
    assert second == Stanza("file-key", ("1",), FILE_KEY[::-1])


def test_one_wrong_recipient_wraps_nothing_and_takes_no_key(sae_a: Client014) -> None:
    """A mistyped one is told by its place; a reader the KME does not know is the KME's to refuse."""
    before = sae_a.status("sae-b").stored_key_count
    told = [Stanza("add-recipient", (recipient_of("sae-b"),)), Stanza("add-recipient", ("age1keystrand1q",))]
    error, done = answers([*told, Stanza("wrap-file-key", (), FILE_KEY)], recipient_v1, sae_a, "sae-a")
    assert (error.tag, error.arguments) == ("error", ("recipient", "1"))
    assert b"mistyped" in error.body
    assert sae_a.status("sae-b").stored_key_count == before
    told = [Stanza("add-identity", (identity_of("sae-zz"),)), Stanza("wrap-file-key", (), FILE_KEY)]
    error, done = answers(told, recipient_v1, sae_a, "sae-a")
    assert (error.tag, error.arguments, done.tag) == ("error", ("identity", "0"), "done")


def test_stanzas_that_are_not_ours_to_open(sae_b: Client014) -> None:
    """A malformed one stands against its file; one for another SAE is passed over; another's identity is refused."""
    ours = Stanza("add-identity", (identity_of("sae-b"),))
    bad = Stanza("recipient-stanza", ("0", "keystrand", "x"), bytes(32))
    error, _ = answers([ours, bad], identity_v1, sae_b, "sae-b")
    assert (error.tag, error.arguments) == ("error", ("stanza", "0", "0"))
    names = [to_base64(name) for name in (b"sae-a", b"sae-c")]
    other = Stanza("recipient-stanza", ("0", "keystrand", *names, "an-id"), bytes(32))
    assert answers([ours, other], identity_v1, sae_b, "sae-b") == [Stanza("done")]
    error, _ = answers([Stanza("add-identity", (identity_of("sae-c"),))], identity_v1, sae_b, "sae-b")
    assert (error.tag, error.arguments) == ("error", ("identity", "0"))
    assert b"sae-c" in error.body


def test_a_pipe_that_breaks_off_is_told(sae_a: Client014) -> None:
    """An end in the middle, or an answer that is no yes, ends the conversation."""
    with pytest.raises(InvalidInput, match="closed the pipe"):
        recipient_v1(Pipe(io.BytesIO(b"-> add-recipient x\n\n"), io.BytesIO()), sae_a, "sae-a")
    come = b"".join(map(written, (Stanza("add-recipient", ("x",)), Stanza("done"), Stanza("fail"))))
    with pytest.raises(InvalidInput, match="did not take"):
        recipient_v1(Pipe(io.BytesIO(come), io.BytesIO()), sae_a, "sae-a")
