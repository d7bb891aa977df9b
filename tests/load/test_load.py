"""Every load program for a moment, with little load; and bounds that fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from backends import BACKENDS, BackendUnderTest
from load_churn import Churn, churn
from load_connections import Plan, hold_connections
from load_measuring import KIB, MIB
from load_slow_readers import SlowReaders, slow_readers
from load_soak import BREAKS, Soak, soak

#: What a process that has run other tests gives back, and when, is not for these to judge.
GROWTH = 16 * MIB


def short_soak(broken: str | None = None) -> Soak:
    return Soak(interval=0.02, measurements=3, growth=GROWTH, broken=broken)


async def test_soak_keeps_its_bounds() -> None:
    report = await soak(short_soak())
    assert report.broken == [], report


@pytest.mark.parametrize("broken", BREAKS)
def test_soak_notices_what_is_broken(broken: str) -> None:
    bounds = {
        "descriptor": ["descriptors, most less least", "descriptors left open"],
        "item": ["items lost or doubled", "errors"],
        "memory": ["growth of memory, KiB"],
    }
    backend: BackendUnderTest = BACKENDS[0]
    report = backend.run(soak, short_soak(broken))
    assert report.broken == bounds[broken], report


async def test_churn_keeps_its_bounds() -> None:
    report = await churn(Churn(seconds=0.1, tasks=3, growth=GROWTH))
    assert report.broken == [], report


async def test_slow_readers_cost_the_others_nothing() -> None:
    plan = SlowReaders(slow=4, size=200 * KIB, others=3, seconds=0.03, memory=GROWTH // 8)
    report = await slow_readers(plan)
    # In so short a time a request may cost anything.
    assert set(report.broken) <= {"CPU per request, beside them and without"}, report


def test_connections_are_held() -> None:
    # Starting processes takes time: so one event loop, and TLS, which is the longer way.
    report = hold_connections(BACKENDS[0], Plan("tls", count=20, seconds=0.01))
    assert report.broken == [], report


def test_the_program_ends_with_status_1_if_a_bound_is_broken() -> None:
    arguments = ("soak", "--minutes", "0.001", "--interval", "0.02", "--break", "item")
    program = subprocess.run(
        [sys.executable, Path(__file__).parent, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert program.returncode == 1
    *_, verdict = program.stdout.splitlines()
    assert verdict.startswith("BROKEN: ")
    assert "items lost or doubled" in verdict
