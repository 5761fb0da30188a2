"""Peers built from their published sources at one commit, anew in every benchmark; nothing of them is kept with us.

The source is the folder that a variable of the environment names, or else a clone in the cache folder of `packages`.
"""

import os
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from bench.measure import Missing
from bench.peers.packages import cache, last_line

_CLONE_S, _BUILD_S = 300.0, 300.0
_HERE = Path(__file__).parent


class Source(Struct, frozen=True, kw_only=True):
    """Where a peer is published, and how our `driver` is built around it: `include` and `sources` lie inside of it."""

    name: str
    address: str
    commit: str
    variable: str
    driver: str
    include: str
    sources: str = ""


CASCADE_CPP = Source(
    name="cascade-cpp",
    address="https://github.com/brunorijsman/cascade-cpp",
    commit="8240cab83831408ae7092c0aed96a76c5d641578",
    variable="KEYSTRAND_BENCH_CASCADE_CPP",
    driver="cascade_cpp.cpp",
    include="include",
    sources="cascade/*.cpp",
)
LDPC4QKD = Source(
    name="LDPC4QKD",
    address="https://github.com/XQP-Munich/LDPC4QKD",
    commit="fbbc6f5dcbf7f662b5544cebfa080ae37e349b3d",
    variable="KEYSTRAND_BENCH_LDPC4QKD",
    driver="ldpc4qkd.cpp",
    include="src/LDPC4QKD",
)


def folder(source: Source) -> Path:
    """Return where the source lies, cloned if need be. Raises `Missing`."""
    if named := os.environ.get(source.variable):
        if not (Path(named) / source.include).is_dir():
            raise Missing(f"{source.variable} names no folder that has {source.include}")
        return Path(named)
    kept = cache() / f"{source.name}-{source.commit[:10]}"
    if not (kept / source.include).is_dir():
        git = shutil.which("git")
        if git is None:
            raise Missing(f"no git to clone {source.address}; {source.variable} may name a folder")
        shutil.rmtree(kept, ignore_errors=True)
        advice = f"{source.variable} may name a folder"
        _run([git, "clone", "-q", source.address, str(kept)], _CLONE_S, f"does not clone ({advice})")
        _run([git, "-C", str(kept), "checkout", "-q", source.commit], _CLONE_S, f"has no {source.commit} ({advice})")
    return kept


def program(source: Source, into: Path) -> Path:
    """Return our driver built around the source, in the folder `into`. Raises `Missing`."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise Missing("no C++ compiler (on Debian: apt-get install g++)")
    place, made = folder(source), into / source.name
    files = [_HERE / source.driver, *(sorted(place.glob(source.sources)) if source.sources else ())]
    flags = ["-O3", "-march=native", "-std=c++20", "-w", "-pthread", "-include", "cmath", "-include", "cstdint"]
    _run(
        [compiler, *flags, f"-I{place / source.include}", *map(str, files), "-o", str(made)], _BUILD_S, "does not build"
    )
    return made


def _run(command: list[str], limit_s: float, what: str) -> None:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=limit_s, env=environment)  # noqa: S603  # ours
    except subprocess.CalledProcessError as error:
        raise Missing(f"{what}: {last_line(error.stderr)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{what}: {error}") from error
