"""Nothing grows when operations are repeated: what ``leaks.py`` does for longer.

Each cell of the matrix of event loops and twins repeats every eighth operation; together they have
all of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from backends import BACKENDS, BackendUnderTest

import penstock

#: More than what a count may grow by chance.
REPEATS = 150
CELLS = 8


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.id)
def test_nothing_grows_when_operations_are_repeated(backend: BackendUnderTest) -> None:
    cell = 2 * BACKENDS.index(backend) + (penstock.IMPLEMENTATION == "pure")
    run = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("leaks.py"))),
            *("--repeats", str(REPEATS), "--backend", backend.id),
            *("--share", str(cell), str(CELLS)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{penstock.IMPLEMENTATION}: " in run.stdout
