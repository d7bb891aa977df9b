"""A descriptor that is kept for the moment at which there is none left."""

from __future__ import annotations

import os

__all__ = ("Reserve",)


class Reserve:
    """One descriptor of nothing, to be given up so that another can be had."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = -1
        self.fill()

    def fill(self) -> None:
        """Take a descriptor, if there is none in reserve and one is to be had."""
        if self._fd < 0:
            try:
                self._fd = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                pass

    def empty(self) -> bool:
        """Give the descriptor up; return whether there was one."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return False
        os.close(fd)
        return True

    __del__ = empty
