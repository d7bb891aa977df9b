"""The measurement of httpcore's calls runs from end to end, and does not time what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Measure little, with ``path`` among those that Python imports from."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.httpcore_calls", "--requests=20", *arguments],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | ({"PYTHONPATH": str(path)} if path else {}),
        text=True,
        timeout=100,
    )


def test_table_has_a_figure_for_every_backend() -> None:
    process = run("--rounds=1", "--loop=trio", "--transport=tcp")
    assert process.returncode == 0, process.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in process.stdout.splitlines()]
    assert [row[1:4] for row in rows[2:]] == [
        ["trio", "tcp", "penstock without a timeout"],
        ["trio", "tcp", "penstock"],
        ["trio", "tcp", "penstock by scopes"],
        ["trio", "tcp", "anyio"],
    ]
    assert all(float(row[4]) > 0 and row[4] == row[5] for row in rows[2:])


def test_wrong_answer_is_not_timed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "class Socket(socket.socket):\n"
        "    def sendall(self, data):\n"
        "        super().sendall(data.upper())\n"
        "socket.socket = Socket\n"
    )
    process = run("--one", "asyncio", "tcp", "penstock", path=tmp_path)
    assert process.returncode == 1
    assert "WrongOutputError: the answer is b'GET / HTTP/1.1\\r\\nHOST:" in process.stderr
    assert not process.stdout
