"""How tests run: every ``async def`` test on every event loop, and nothing may be left behind.

An async test is run by ``penstock.run``; it need not ask for the ``backend`` fixture.  A module
that is about asyncio alone overrides ``backend`` with ``asyncio_backend``.
"""

from __future__ import annotations

import faulthandler
import gc
import inspect
import logging
import math
import os
import signal
import time
from collections.abc import Iterator

import pytest
from backends import ASYNCIO_BACKENDS, BACKENDS, BackendUnderTest

import penstock
from penstock._backends import current_backend

#: A test that takes longer hangs: tell where, and give up.
SECONDS_PER_TEST = 120
#: Seconds after which the watch begins anew: each time ends one thread and starts another.
WATCH_SECONDS = 10


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.id)
def backend(request: pytest.FixtureRequest) -> BackendUnderTest:
    param: BackendUnderTest = request.param
    return param


@pytest.fixture(params=ASYNCIO_BACKENDS, ids=lambda backend: backend.id)
def asyncio_backend(request: pytest.FixtureRequest) -> BackendUnderTest:
    param: BackendUnderTest = request.param
    return param


@pytest.fixture(autouse=True)
def nothing_logged_by_asyncio() -> Iterator[None]:
    """Fail a test that leaves, say, an exception of a task or a future behind."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    assert [record.getMessage() for record in records] == []


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, in a background job of a shell too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_configure(config: pytest.Config) -> None:
    asked = os.environ.get("PENSTOCK_HOTPATH") or "auto"
    if asked != "auto" and asked != penstock.IMPLEMENTATION:
        raise pytest.UsageError(
            f"PENSTOCK_HOTPATH={asked}, but {penstock.__file__} runs {penstock.IMPLEMENTATION}"
        )


def pytest_report_header() -> str:
    return f"hot path: {penstock.IMPLEMENTATION}"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(name: str, obj: object) -> None:
    if name.startswith("test") and inspect.iscoroutinefunction(obj):
        pytest.mark.usefixtures("backend")(obj)


watched_since = -math.inf


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol() -> None:
    global watched_since
    now = time.monotonic()
    if now - watched_since > WATCH_SECONDS:
        faulthandler.dump_traceback_later(SECONDS_PER_TEST + WATCH_SECONDS, exit=True)
        watched_since = now


def pytest_unconfigure() -> None:
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    values = pyfuncitem.funcargs
    names = inspect.signature(pyfuncitem.obj).parameters

    async def test() -> None:
        await pyfuncitem.obj(**{name: values[name] for name in names})
        poller = current_backend().poller
        if poller:
            gc.collect()
        assert not poller, f"{len(poller)} sockets are still registered"

    values["backend"].run(test)
    return True
