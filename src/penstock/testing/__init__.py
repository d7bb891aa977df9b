"""What authors of streams prove theirs with: streams in memory, faults on purpose, checks.

Public names only.  Works on every event loop that penstock runs on, under any test framework.
"""

from penstock.testing._chaos import ChaosEvent as ChaosEvent
from penstock.testing._chaos import ChaosStream as ChaosStream
from penstock.testing._check_byte_streams import check_byte_stream as check_byte_stream
from penstock.testing._check_byte_streams import (
    check_byte_stream_one_way as check_byte_stream_one_way,
)
from penstock.testing._check_half_close import check_half_close as check_half_close
from penstock.testing._check_listeners import check_listener as check_listener
from penstock.testing._check_object_streams import check_object_stream as check_object_stream
from penstock.testing._check_object_streams import (
    check_object_stream_one_way as check_object_stream_one_way,
)
from penstock.testing._checkpoints import assert_checkpoints as assert_checkpoints
from penstock.testing._checkpoints import assert_no_checkpoints as assert_no_checkpoints
from penstock.testing._lockstep_streams import (
    lockstep_stream_one_way_pair as lockstep_stream_one_way_pair,
)
from penstock.testing._lockstep_streams import lockstep_stream_pair as lockstep_stream_pair
from penstock.testing._memory_streams import MemoryReceiveStream as MemoryReceiveStream
from penstock.testing._memory_streams import MemorySendStream as MemorySendStream
from penstock.testing._memory_streams import MemoryStream as MemoryStream
from penstock.testing._memory_streams import (
    memory_stream_one_way_pair as memory_stream_one_way_pair,
)
from penstock.testing._memory_streams import memory_stream_pair as memory_stream_pair
from penstock.testing._memory_streams import memory_stream_pump as memory_stream_pump
from penstock.testing._sequencer import Sequencer as Sequencer

__all__ = (
    "ChaosEvent",
    "ChaosStream",
    "MemoryReceiveStream",
    "MemorySendStream",
    "MemoryStream",
    "Sequencer",
    "assert_checkpoints",
    "assert_no_checkpoints",
    "check_byte_stream",
    "check_byte_stream_one_way",
    "check_half_close",
    "check_listener",
    "check_object_stream",
    "check_object_stream_one_way",
    "lockstep_stream_one_way_pair",
    "lockstep_stream_pair",
    "memory_stream_one_way_pair",
    "memory_stream_pair",
    "memory_stream_pump",
)
