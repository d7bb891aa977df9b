"""Making system calls fail: see ``faults.c``."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterator

import pytest

library = ctypes.CDLL(None)
#: Names of system calls that :func:`fail_calls` was used for.
failing: set[str] = set()
#: Those that fail by chance.
TRANSFERS = "accept accept4 connect epoll_ctl recv recvfrom recvmsg recvmmsg send sendto sendmsg"


def fail(names: str, number: int, times: int) -> None:
    for name in names.split():
        failing.add(name)
        if library.fail_calls(name.encode(), number, times):
            raise ValueError(f"faults.c does not know {name!r}")


@pytest.fixture
def fail_calls() -> Iterator[Callable[[str, int, int], None]]:
    """Make the next calls fail: ``fail_calls("accept accept4", errno.ENFILE, 3)``.

    The twins do not always use the same call of two that do the same: each of those that are named
    fails so many times.
    """
    yield fail
    for name in failing:
        library.fail_calls(name.encode(), 0, 0)
    failing.clear()


@pytest.fixture
def fail_by_chance() -> Iterator[Callable[[int, int, bool], None]]:
    """Make one call in so many fail by a seed: ``fail_by_chance(20, seed, staying)``."""
    for name in TRANSFERS.split():
        library.fail_calls(name.encode(), 0, 0)  # forget what has failed before
    yield library.fail_by_chance
    library.fail_by_chance(0, 0, False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=1, help="how many seeds errors come by")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        seeds = range(metafunc.config.getoption("--seeds", default=1))
        metafunc.parametrize("seed", seeds, ids=[f"seed {seed}" for seed in seeds])


@pytest.fixture
def calls_failed() -> Callable[[str], int]:
    """Count the calls that have failed since the last ``fail_calls``, of one or more names."""
    return lambda names: sum(library.calls_failed(name.encode()) for name in names.split())


def error_id(number: object) -> str | None:
    return errno.errorcode.get(number) if isinstance(number, int) else None


def pytest_make_parametrize_id(val: object) -> str | None:
    return error_id(val)
