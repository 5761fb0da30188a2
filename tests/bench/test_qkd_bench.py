"""Parts of the quantum layer's benchmark that need no peer: they measure what they say, and say what is missing."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bench.measure import Failed, Missing
from bench.peers import packages, sources

from bench import qkd, qkd_ldpc, qkd_line, qkd_models, qkd_toeplitz
from keystrand.qkd.ldpc import code_of, plan_for
from keystrand.qkd.ldpc_kernel import syndrome
from keystrand.qkd.toeplitz import amplify


def test_parts_are_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All by default; a name that is none is told."""
    monkeypatch.delenv("KEYSTRAND_BENCH_QKD", raising=False)
    assert qkd.chosen() == list(qkd.PARTS)
    monkeypatch.setenv("KEYSTRAND_BENCH_QKD", "twin,cascade")
    assert qkd.chosen() == ["cascade", "twin"]
    monkeypatch.setenv("KEYSTRAND_BENCH_QKD", "cascades")
    with pytest.raises(Missing, match="no parts named cascades"):
        qkd.chosen()


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_repeats_are_checked(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A median of nothing is none."""
    monkeypatch.setenv("KEYSTRAND_BENCH_QKD_REPEATS", text)
    with pytest.raises(Missing, match="from 1 on"):
        qkd.repeats()


@pytest.mark.parametrize("source", [sources.CASCADE_CPP, sources.LDPC4QKD])
def test_a_folder_without_the_peer_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: sources.Source
) -> None:
    """The variable that named it is told."""
    monkeypatch.setenv(source.variable, str(tmp_path))
    with pytest.raises(Missing, match=source.variable):
        sources.folder(source)


def test_without_git_or_compiler_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What to install, or to set."""
    monkeypatch.delenv(sources.LDPC4QKD.variable, raising=False)
    monkeypatch.setenv("KEYSTRAND_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(Missing, match="no git"):
        sources.folder(sources.LDPC4QKD)
    with pytest.raises(Missing, match=r"no C\+\+ compiler"):
        sources.program(sources.LDPC4QKD, tmp_path)


def test_a_clone_that_fails_gives_the_last_word_of_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address that is not reached is a peer not available, not an end of the benchmark."""
    monkeypatch.delenv(sources.LDPC4QKD.variable, raising=False)
    monkeypatch.setenv("KEYSTRAND_BENCH_CACHE", str(tmp_path))

    def failing(command: Sequence[str], **_: object) -> None:
        raise subprocess.CalledProcessError(128, command, stderr=b"Cloning\nfatal: could not resolve host\n")

    monkeypatch.setattr(subprocess, "run", failing)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(Missing, match=r"does not clone .*: fatal: could not resolve host"):
        sources.folder(sources.LDPC4QKD)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.exit('no such module')", "ended with status 1: no such module"),
        ("print('hello')", "gave no figures"),
        ("pass", "gave no figures"),
    ],
)
def test_a_peer_that_fails_is_told_with_its_last_word(script: str, why: str) -> None:
    """Whatever goes wrong in a peer is its row, never a figure."""
    with pytest.raises(Failed, match=why):
        packages.asked([sys.executable, "-c", script])


def test_the_figures_of_a_peer_are_its_last_line() -> None:
    """What it says before is not for us."""
    assert packages.asked([sys.executable, "-c", "print('hello'); print('{\"seconds\": 2}')"]) == {"seconds": 2.0}


@pytest.mark.parametrize(("bits", "output"), [(64, 32), (257, 100), (1000, 999)])
def test_the_reference_of_big_integers_is_the_matrix(bits: int, output: int) -> None:
    """Against the matrix written out, T[i, j] = seed[i - j + s - 1]; and ours is the same."""
    rng = np.random.default_rng(bits)
    key, public = rng.integers(0, 2, bits, dtype=np.uint8), rng.integers(0, 2, bits - 1, dtype=np.uint8)
    split = bits - output
    matrix = np.array([[public[i - j + split - 1] for j in range(split)] for i in range(output)])
    expected = (matrix @ key[:split].astype(int) + key[split:]) % 2
    assert np.array_equal(qkd_toeplitz.hashed_by_integers(key, public, output), expected)
    assert np.array_equal(amplify(key, public, output), expected)


def test_the_matrix_that_peers_are_given_is_that_of_our_code() -> None:
    """By columns it gives the syndromes that ours gives."""
    code = code_of(plan_for(0.05, 51_200))
    starts, rows = qkd_ldpc.columns_of(code)
    word = np.random.default_rng(1).integers(0, 2, starts.size - 1, dtype=np.uint8)
    summed = np.zeros(code.checks, dtype=np.int64)
    columns = np.searchsorted(starts, np.arange(rows.size), side="right") - 1
    np.add.at(summed, rows, word[columns])
    assert np.array_equal(summed % 2, syndrome(code, word))


def test_two_processes_correct_over_a_line_with_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delay is felt in every round trip, and the frames are Alice's in the end."""
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root / 'src'}:{root}")
    shown = qkd_line.corrected(0.03, frames=2, seed=1, round_trip_s=0.01)
    assert (shown.wrong, shown.quickest_s >= 0.01) == (0, True)
    assert 10 < shown.rounds < 300


def test_the_models_meet_their_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows, with fewer points below the bounds."""
    monkeypatch.setattr(qkd_models, "POINTS", 200)
    assert [r.name for r in qkd_models.rows(1) if r.met is not True] == []
