"""Every row of SECURITY.md's tables has a test, and every test in this directory a row."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ROW = re.compile(r"^\|(?P<attack>[^|]+)\|(?P<default>[^|]+)\| `(?P<test>[^`|]+)` \|$")
HEAD = "| a peer may | what stops it | test |"
RULE = "|---|---|---|"


def rows() -> list[str]:
    """Return what stands in the last column; a line of a table that is no row is an error."""
    tests = []
    for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and line not in (HEAD, RULE):
            row = ROW.match(line)
            assert row, f"a row has three columns, the last one a test: {line}"
            tests.append(row["test"])
    return tests


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }


def test_every_row_names_a_test_that_exists():
    missing = []
    for name in rows():
        path, _, test = name.partition("::")
        if not (ROOT / path).is_file() or test not in functions_of(ROOT / path):
            missing.append(name)
    assert missing == []


def test_no_test_stands_for_two_rows():
    assert [name for name, count in Counter(rows()).items() if count > 1] == []


def test_every_test_here_has_a_row():
    here = {
        f"{path.relative_to(ROOT).as_posix()}::{test}"
        for path in HERE.glob("test_attacks_*.py")
        for test in functions_of(path)
    }
    assert here
    assert here - set(rows()) == set()
