"""Run the tests of ``preloaded/``, with a library preloaded that makes system calls fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PRELOADED = Path(__file__).parent / "preloaded"
SECONDS = 110


def test_faults_that_no_peer_can_provoke(program: Callable[[str], str], tmp_path: Path) -> None:
    library = tmp_path / "faults.so"
    options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]
    source = str(PRELOADED / "faults.c")
    subprocess.run(
        [program("gcc"), *options, str(library), source, "-ldl"], check=True, timeout=SECONDS
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(PRELOADED)],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if run.returncode:
        pytest.fail(run.stdout + run.stderr)
