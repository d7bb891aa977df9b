"""Switch a program's memory object streams from AnyIO's to penstock's, and back.

    import penstock.interop.anyio
    penstock.interop.anyio.use_penstock_memory_streams()

From then on ``anyio.create_memory_object_stream`` makes penstock's streams, whoever calls it and
whenever it was imported: the class itself is changed, not its name in a module.  Streams that
exist are left alone.  ``use_anyio_memory_streams()`` undoes it.

Nothing else is needed for the two to be used together: penstock's streams satisfy AnyIO's abstract
classes, and what they raise is caught under AnyIO's names (see ``penstock._kin``).
"""

from __future__ import annotations

import warnings
from typing import Any

import anyio

from penstock._kin import introduce
from penstock.streams.memory import create_memory_object_stream

__all__ = ("use_anyio_memory_streams", "use_penstock_memory_streams")

introduce()

_Factory: Any = anyio.create_memory_object_stream
_anyios_new = _Factory.__new__


def use_penstock_memory_streams() -> None:
    """Have ``anyio.create_memory_object_stream`` make penstock's streams; again: do nothing."""

    def new(cls: type, max_buffer_size: float = 0, item_type: object = None) -> Any:
        if item_type is not None:
            warnings.warn(
                "The item_type argument has been deprecated in AnyIO: subscript the function",
                DeprecationWarning,
                stacklevel=2,
            )
        return create_memory_object_stream[Any](max_buffer_size)

    _Factory.__new__ = staticmethod(new)


def use_anyio_memory_streams() -> None:
    """Have ``anyio.create_memory_object_stream`` make AnyIO's own streams again."""
    _Factory.__new__ = staticmethod(_anyios_new)
