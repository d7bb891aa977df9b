"""What tasks tell each other with, written once over the two primitives wait and wake.

One class and its statistics per file; what they have in common is in ``waiting``.
"""

from penstock._synchronization.condition import Condition as Condition
from penstock._synchronization.condition import ConditionStatistics as ConditionStatistics
from penstock._synchronization.event import Event as Event
from penstock._synchronization.event import EventStatistics as EventStatistics
from penstock._synchronization.guard import ResourceGuard as ResourceGuard
from penstock._synchronization.limiter import CapacityLimiter as CapacityLimiter
from penstock._synchronization.limiter import (
    CapacityLimiterStatistics as CapacityLimiterStatistics,
)
from penstock._synchronization.lock import Lock as Lock
from penstock._synchronization.lock import LockStatistics as LockStatistics
from penstock._synchronization.semaphore import Semaphore as Semaphore
from penstock._synchronization.semaphore import SemaphoreStatistics as SemaphoreStatistics
