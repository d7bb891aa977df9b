"""Nothing that these tests open may be left open."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_file_is_left_open() -> Iterator[None]:
    before = open_files()
    yield
    if not open_files() <= before:
        gc.collect()  # a cycle may hold what a failed test has left
        assert open_files() <= before


def open_files() -> set[tuple[str, str]]:
    """Return the descriptors of files; what an event loop keeps for the next has no path."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the directory itself
            continue
        if target.startswith("/"):
            found.add((fd, target))
    return found
