"""How much of the enumeration and of chaos runs, and the count of the first at its end."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from hypothesis import settings

#: Every so-many-th point runs, unless all of them are asked for.
STRIDE = 8

#: Buffers have no code of their own before Python 3.12 (PEP 688).
collect_ignore = [] if sys.version_info >= (3, 12) else ["test_buffers_with_hooks.py"]

#: A hundred times what runs otherwise: pytest --hypothesis-profile=chaos
settings.register_profile("chaos", max_examples=10_000)

tallies = pytest.StashKey[dict[str, Counter[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-point",
        action="store_true",
        help="cancel at every await of every operation, not at every eighth",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[tallies] = {}


@pytest.fixture
def stride(request: pytest.FixtureRequest) -> int:
    return 1 if request.config.getoption("--every-point", default=False) else STRIDE


@pytest.fixture
def count_points(request: pytest.FixtureRequest):
    def note(backend_id: str, **counts: int) -> None:
        totals = request.config.stash[tallies].setdefault(backend_id, Counter())
        totals.update(counts)

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if found := config.stash.get(tallies, {}):
        terminalreporter.section("awaits at which operations were cancelled")
        for backend_id, totals in sorted(found.items()):
            counts = ", ".join(f"{number:,} {name}" for name, number in totals.items())
            terminalreporter.line(f"{backend_id}: {counts}")
        cancelled = sum(totals["cancelled"] for totals in found.values())
        terminalreporter.line(f"all: {cancelled:,} cancelled")
