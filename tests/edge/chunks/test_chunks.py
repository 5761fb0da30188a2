"""One function over many chunks: the same results whatever computes them, in the order of the chunks."""

import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keystrand.edge.chunks.pool import ProcessPool
from keystrand.edge.chunks.ray_cluster import RayCluster
from keystrand.edge.chunks.sweep import Part, engine_named, map_chunks
from keystrand.edge.chunks.task import ChunkFailed, Engine, Function, Inline, Outcome, Task, WorkerLost, compute
from keystrand.edge.chunks.values import decode, encode
from keystrand.model.errors import InvalidInput, MissingInput

SEED = 20_260_501


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An argument of a sweep."""

    length_km: float
    pulses: int = 50


class Clicks(NamedTuple):
    """A result of a sweep."""

    clicks: int
    mean: float
    drawn: NDArray[np.int64]
    worker: tuple[str, ...] = ()


def clicks(link: Link, seed: np.random.SeedSequence) -> Clicks:
    """Draw clicks; the number 13 is bad luck, 666 a broken machine."""
    if link.pulses == 13:
        raise ValueError(f"no luck at {link.length_km} km")
    if link.pulses == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    if link.pulses == 0:
        sys.exit(3)
    drawn = np.random.default_rng(seed).poisson(10 ** (-link.length_km / 50), link.pulses)
    return Clicks(drawn.sum(), drawn.mean(), drawn)


def where(number: int, _seed: np.random.SeedSequence) -> int:
    """Return the process that computes."""
    return os.getpid() + 0 * number


def wrong(_number: int, _seed: np.random.SeedSequence) -> int:
    """Return what was not promised."""
    return "seven"  # type: ignore[return-value]  # the point of it


def secretive(_number: int, _seed: np.random.SeedSequence) -> object:
    """Return what is not data."""
    return object()


def untyped(number, seed):  # type: ignore[no-untyped-def]  # the point of it
    """Declare nothing."""
    return number + seed.entropy


def lonely(number: int) -> int:
    """Take no seed."""
    return number


def opaque(_number: Exception, _seed: np.random.SeedSequence) -> int:
    """Take what is not data."""
    return 0


LINKS = [Link(length_km=10.0 * number) for number in range(7)]


class Shuffled:
    """Engine: inline, but answers come in any order and in batches of any size."""

    def __init__(self, order: Sequence[int], batch: int) -> None:
        self._order, self._batch = order, batch

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield outcomes in the order given."""
        outcomes = [compute(function, tasks[index]) for index in self._order if index < len(tasks)]
        for begin in range(0, len(outcomes), self._batch):
            yield outcomes[begin : begin + self._batch]


def same(one: Sequence[Clicks], other: Sequence[Clicks]) -> bool:
    """Return whether two lists of results agree to the bit, types included."""
    return len(one) == len(other) and all(
        a[:2] == b[:2]
        and [*map(type, a)] == [*map(type, b)]
        and a.drawn.dtype == b.drawn.dtype
        and np.array_equal(a.drawn, b.drawn)
        for a, b in zip(one, other, strict=True)
    )


def test_a_chunk_draws_from_the_seed_and_its_index_alone() -> None:
    """Results are those of a plain loop over the spawned seed sequences; another seed draws others."""
    expected = [
        clicks(link, seed) for link, seed in zip(LINKS, np.random.SeedSequence(SEED).spawn(len(LINKS)), strict=True)
    ]
    results = map_chunks(clicks, LINKS, engine=Inline(), seed=SEED)
    assert [one.drawn.tolist() for one in results] == [one.drawn.tolist() for one in expected]
    assert [one.clicks for one in results] == [int(one.clicks) for one in expected]
    assert type(results[0].clicks) is int
    assert not same(results, map_chunks(clicks, LINKS, engine=Inline(), seed=SEED + 1))


@given(order=st.permutations(range(7)), batch=st.integers(1, 7))
@settings(max_examples=30)
def test_the_order_of_answers_leaves_no_mark(order: list[int], batch: int) -> None:
    """However the answers come, results stand in the order of the chunks."""
    assert same(
        map_chunks(clicks, LINKS, engine=Shuffled(order, batch), seed=SEED),
        map_chunks(clicks, LINKS, engine=Inline(), seed=SEED),
    )


@given(parts=st.integers(1, 9), chunks=st.integers(0, 7))
@settings(max_examples=30)
def test_parts_are_the_whole(parts: int, chunks: int) -> None:
    """The parts of a sweep share its chunks out: each is done by one part, with the result of the whole sweep."""
    links = LINKS[:chunks]
    whole = map_chunks(clicks, links, engine=Inline(), seed=SEED)
    shares = [
        map_chunks(clicks, links, engine=Inline(), seed=SEED, part=Part(number, parts))
        for number in range(1, parts + 1)
    ]
    assert all(same(share, whole[number::parts]) for number, share in enumerate(shares))
    assert sum(map(len, shares)) == chunks


@pytest.mark.system
@pytest.mark.parametrize("workers", [1, 3])
def test_a_pool_of_any_size_gives_the_same(workers: int) -> None:
    """Spawned processes compute what one process does."""
    inline = map_chunks(clicks, LINKS, engine=Inline(), seed=SEED)
    assert same(map_chunks(clicks, LINKS, engine=ProcessPool(workers), seed=SEED), inline)


@pytest.mark.system
def test_a_pool_computes_in_other_processes_that_end() -> None:
    """Work is not done by the parent, and no worker outlives the sweep."""
    pids = set(map_chunks(where, range(6), engine=ProcessPool(2), seed=SEED))
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_progress_is_told_from_none_to_all() -> None:
    """The callback hears how many are done, of how many."""
    told: list[tuple[int, int]] = []
    map_chunks(clicks, LINKS, engine=Inline(), seed=SEED, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(8)]


def test_no_chunks_give_no_results() -> None:
    """An empty sweep is done at once."""
    assert map_chunks(clicks, [], engine=Inline(), seed=SEED) == []


BAD_LUCK = [*LINKS[:4], Link(length_km=4.5, pulses=13)]


def engines() -> list[Any]:
    """Return the engines that need nothing installed."""
    return [pytest.param(Inline(), id="inline"), pytest.param(ProcessPool(2), id="pool", marks=pytest.mark.system)]


@pytest.mark.parametrize("engine", engines())
def test_a_failure_names_its_chunk_and_argument(engine: Engine) -> None:
    """What is raised says which chunk, of what argument, and why, with the trace as a note."""
    with pytest.raises(ChunkFailed) as caught:
        map_chunks(clicks, BAD_LUCK, engine=engine, seed=SEED)
    assert caught.value.message == (
        "chunk 4 of 5, Link(length_km=4.5, pulses=13), failed: ValueError: no luck at 4.5 km"
    )
    assert "in clicks" in caught.value.__notes__[0]


@pytest.mark.parametrize("engine", engines())
def test_an_exit_is_a_failure_like_others(engine: Engine) -> None:
    """A function that ends its process ends no process, but its chunk."""
    with pytest.raises(ChunkFailed, match="SystemExit: 3"):
        map_chunks(clicks, [Link(length_km=1, pulses=0)], engine=engine, seed=SEED)


@pytest.mark.system
def test_a_killed_worker_is_told_and_not_waited_for() -> None:
    """A worker that dies by SIGKILL ends the sweep with the chunk and the signal."""
    with pytest.raises(WorkerLost, match="worker of chunk 2 was killed by SIGKILL"):
        map_chunks(clicks, [*LINKS[:2], Link(length_km=1, pulses=666)], engine=ProcessPool(1), seed=SEED)


def test_a_long_argument_is_cut_in_the_message() -> None:
    """An error stays readable."""
    with pytest.raises(ChunkFailed) as caught:
        map_chunks(total, [np.full(5000, -1.0).tolist()], engine=Inline(), seed=SEED)
    assert len(caught.value.message) < 300


def total(numbers: list[float], _seed: np.random.SeedSequence) -> float:
    """Refuse."""
    raise ValueError(f"{len(numbers)} numbers")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda number, _seed: number, "'<lambda>' is not a function at the top level"),
        (untyped, "must take a typed argument"),
        (lonely, "must take a typed argument"),
        (Link.__init__, "not a function at the top level"),
    ],
)
def test_a_function_that_other_processes_cannot_call_is_refused(function: Callable[..., Any], said: str) -> None:
    """Before anything runs it is said what the function must be."""
    with pytest.raises(InvalidInput, match=said):
        map_chunks(function, [1], engine=Inline(), seed=SEED)


@pytest.mark.parametrize(
    ("function", "chunk", "said"),
    [
        (where, "seven", "chunk 0, 'seven', is not data of type"),
        (where, object(), "a value of type object is not data"),
        (where, 2**70, "is not data of type"),
        (opaque, 1, "data cannot be of type"),
        (clicks, {"length_km": 1.0, "lenght": 2}, "unknown field"),
        (where, np.array([object()]), "a value of type ndarray is not data"),
    ],
)
def test_an_argument_that_is_not_of_its_type_is_refused(function: Any, chunk: object, said: str) -> None:
    """Before anything runs it is said which chunk is wrong."""
    with pytest.raises(InvalidInput, match=said):
        map_chunks(function, [chunk], engine=Inline(), seed=SEED)


@pytest.mark.parametrize(
    ("function", "said"), [(wrong, "Expected `int`, got `str`"), (secretive, "type object is not data")]
)
def test_a_result_that_is_not_of_its_type_is_a_failure(function: Any, said: str) -> None:
    """What could not be read again is not accepted, checkpoint or not."""
    with pytest.raises(ChunkFailed, match=said):
        map_chunks(function, [1], engine=Inline(), seed=SEED)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, None])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    """A seed is an integer of 64 bits."""
    with pytest.raises(InvalidInput, match="the seed"):
        map_chunks(clicks, LINKS, engine=Inline(), seed=seed)


@pytest.mark.parametrize("part", [Part(0, 2), Part(3, 2), Part(1, 0)])
def test_a_part_that_is_none_is_refused(part: Part) -> None:
    """Parts are counted from 1 to their number."""
    with pytest.raises(InvalidInput, match="there is no part"):
        map_chunks(clicks, LINKS, engine=Inline(), seed=SEED, part=part)


def test_engines_have_names() -> None:
    """The words of the command line, and a clear error for any other."""
    assert [type(engine_named(name)) for name in ("inline", "pool", "ray")] == [Inline, ProcessPool, RayCluster]
    with pytest.raises(InvalidInput, match="no engine 'dask'"):
        engine_named("dask")
    for name in ("pool", "ray"):
        with pytest.raises(InvalidInput, match="-1 workers"):
            engine_named(name, workers=-1)


def test_a_missing_ray_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingInput, match="not installed") as caught:
        map_chunks(clicks, LINKS, engine=RayCluster(), seed=SEED)
    assert "keystrand[ray]" in caught.value.hint


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.floats(allow_nan=True) | st.integers(-(2**40), 2**40), max_size=5),
    st.sampled_from(["<f8", "<i4", ">u2", "?", "<c16"]),
)
def test_arrays_come_back_as_they_were(numbers: list[float], dtype: str) -> None:
    """Kind, byte order, shape and bits of an array survive the way through bytes."""
    with np.errstate(all="ignore"):
        array = np.array(numbers, np.float64).astype(dtype).reshape(1, -1)
    again = decode(encode(array), NDArray[Any])
    assert (again.dtype.str, again.shape, again.tobytes()) == (array.dtype.str, array.shape, array.tobytes())
    assert again.flags.writeable


def test_an_array_of_objects_is_never_read() -> None:
    """Bytes that ask for Python objects are refused."""
    with pytest.raises(ValueError, match="not one of numbers"):
        decode(msgspec.msgpack.encode(("|O", (1,), bytes(8))), np.ndarray)
