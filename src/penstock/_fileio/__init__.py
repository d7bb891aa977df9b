"""Files and paths, whose blocking calls run in worker threads.

``threads`` says how such a call begins and ends, ``files`` holds file objects, ``purepaths``,
``lookups`` and ``paths`` the three thirds of ``Path``, ``listing`` its iterators.
"""

from penstock._fileio.files import AsyncFile, open_file, wrap_file
from penstock._fileio.paths import Path

__all__ = ("AsyncFile", "Path", "open_file", "wrap_file")
