"""Every load program for a moment, with little load; and bounds that fail."""

from __future__ import annotations

import pytest
from backends import BACKENDS, BackendUnderTest
from load_measuring import MIB
from load_soak import BREAKS, Soak, soak


def short_soak(broken: str | None = None) -> Soak:
    # What a process that has run other tests gives back, and when, is not for this to judge.
    return Soak(interval=0.02, measurements=3, growth=16 * MIB, broken=broken)


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
