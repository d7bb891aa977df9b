"""No socket test may leave a descriptor open."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import uvloop
from socket_peers import open_descriptors


@pytest.fixture(scope="session", autouse=True)
def uvloop_is_warm() -> None:
    """Let uvloop open what it opens once per process, and keeps."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def every_descriptor_is_closed() -> Iterator[None]:
    before = open_descriptors()
    yield
    if open_descriptors() - before:
        gc.collect()
    assert open_descriptors() <= before
