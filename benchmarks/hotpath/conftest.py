"""What the kernel benchmarks share: both twins, and a ready budget that never declines."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(params=["pure", "compiled"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Return one implementation of the kernels."""
    try:
        return import_module(f"penstock._{request.param}")
    except ModuleNotFoundError as exc:
        pytest.skip(f"{exc.name} was not built")


@pytest.fixture
def budget(twin: ModuleType) -> Any:
    """Return a ReadyBudget of many operations; refilled for every round, its bytes last too."""
    return twin.ReadyBudget(1 << 30)
