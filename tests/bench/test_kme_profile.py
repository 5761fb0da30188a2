"""From sampled call stacks to shares of time."""

from bench.kme_profile import innermost_module, leaf, own_functions, parse, shares

_RAW = """\
thread (1);main (keystrand/edge/kme/run.py:10);answer (keystrand/edge/kme/entity.py:7);send (OpenSSL/SSL.py:2) 3
thread (1);main (keystrand/edge/kme/run.py:11);row (keystrand/edge/store/sqlite.py:5) 1
thread (2);_worker (concurrent/futures/thread.py:81) 96
thread (1);main (keystrand/edge/kme/run.py:11);EpollSelector.select (selectors.py:468) 40

"""


def test_threads_that_wait_for_work_are_left_out() -> None:
    """Shares are of what was busy; lines of one function are one frame."""
    assert [count for _, count in parse(_RAW)] == [3, 1]
    assert shares(parse(_RAW), leaf) == [
        ("send (OpenSSL/SSL.py)", 0.75),
        ("row (keystrand/edge/store/sqlite.py)", 0.25),
    ]


def test_time_in_a_library_is_that_of_our_module_which_called_it() -> None:
    """A module has what it does and what others do for it."""
    assert shares(parse(_RAW), innermost_module) == [("edge.kme.entity", 0.75), ("edge.store.sqlite", 0.25)]
    assert innermost_module(("thread (1)",)) == ("(none of ours: event loop, threads, interpreter)",)


def test_a_function_has_all_that_it_calls() -> None:
    """The outermost function has everything."""
    assert shares(parse(_RAW), own_functions)[0] == ("main (keystrand/edge/kme/run.py)", 1)
    assert shares([], leaf) == []
