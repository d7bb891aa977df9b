"""Every asynchronous operation, cancelled at each of its awaits, in every way.

After each run nothing is lost or doubled, no descriptor, registration or task is left, and the
transfer is finished.  CI cancels at every eighth point; which eighth depends on the operation, the
event loop and the twin, so that the eight cells of the matrix share all of them.
``python -m pytest tests/reliability --every-point`` cancels at all of them in each cell.
"""

from __future__ import annotations

from collections.abc import Callable

import cancelled_memory
import cancelled_sockets
import cancelled_tasks
import cancelled_tls
import pytest
from await_points import OPERATIONS, cancel_everywhere
from backends import BACKENDS, BackendUnderTest

import penstock

TABLES = (cancelled_memory, cancelled_sockets, cancelled_tasks, cancelled_tls)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_cancelled_at_any_await_leaves_nothing_behind(
    name: str, backend: BackendUnderTest, stride: int, count_points: Callable[..., None]
) -> None:
    cell = 2 * BACKENDS.index(backend) + (penstock.IMPLEMENTATION == "pure")
    tally = await cancel_everywhere(name, backend, stride, cell)
    assert tally.enumerated > 0
    assert tally.cancelled == tally.enumerated or stride > 1
    assert tally.cancelled > 0 or stride > tally.enumerated
    count_points(
        backend.id,
        operations=1,
        enumerated=tally.enumerated,
        cancelled=tally.cancelled,
    )
