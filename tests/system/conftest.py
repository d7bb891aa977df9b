"""What the tests of this directory are given; README.md beside it says how they work."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from system_programs import find_program

if "faults" not in os.environ.get("LD_PRELOAD", ""):
    collect_ignore = ["preloaded"]


@pytest.fixture
def program() -> Callable[[str], str]:
    """Find a program by name, or fail."""
    return find_program
