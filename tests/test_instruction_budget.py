"""What becomes of instruction counts: found in a profile, compared with a budget."""

from __future__ import annotations

import pytest
from benchmarks.instructions import check, counts_of

BUILD = "CPython of this test"
BUDGET = {"built": BUILD, "rows": {"put": {"total": 1000.0, "own": 100.0}}}

PROFILE = """\
ob=(1) /usr/lib/libpython3.so
fn=(1) run
10 500
cob=(2) /site/penstock/_compiled/queue.so
cfn=(2) put
calls=1 20
10 70
ob=(2)
fn=(2) put
20 40
cob=(1)
cfn=(3) allocate
calls=3 0
+1 30
-1 5
ob=(1)
fn=(3) allocate
0 30
cob=(3) /lib/x86_64-linux-gnu/libc.so.6
cfn=(4) malloc
calls=3 0
0 900
ob=(3)
fn=(4) malloc
0 900
totals: 1475
"""


def test_what_the_c_library_spends_does_not_count_and_own_modules_count_apart() -> None:
    assert counts_of(PROFILE) == (575, 45)


@pytest.mark.parametrize(("kind", "words"), [("total", "in all"), ("own", "in penstock's modules")])
def test_row_over_its_budget_is_named_with_how_much(kind: str, words: str) -> None:
    rows = {"put": {"total": 1000.0, "own": 100.0}}
    rows["put"][kind] *= 1.04
    (line,) = check(rows, BUDGET, BUILD)
    assert line.startswith("put: ")
    assert words in line
    assert "+4.0%" in line


def test_row_within_the_slack_passes() -> None:
    assert check({"put": {"total": 1029.0, "own": 102.9}}, BUDGET, BUILD) == []


def test_all_instructions_are_not_judged_against_another_build() -> None:
    assert check({"put": {"total": 2000.0, "own": 100.0}}, BUDGET, "another") == []
    assert len(check({"put": {"total": 2000.0, "own": 200.0}}, BUDGET, "another")) == 1


def test_rows_that_only_one_side_has_are_errors() -> None:
    over = check({"get": {"total": 1.0, "own": 1.0}}, BUDGET, BUILD)
    assert over == ["put: in the budget, but not counted", "get: has no budget"]
