"""Low-level networking: the standard library's ``socket`` module, with calls that are awaited.

Lives here: the names of the module, which are those of :mod:`socket` without what is obsolete or
would block.  It is for what the streams and listeners of penstock do not know: other address
families, flags, control messages.
"""

import socket as _stdlib
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING

from penstock.socket._addresses import getaddrinfo as getaddrinfo
from penstock.socket._addresses import getnameinfo as getnameinfo
from penstock.socket._addresses import getprotobyname as getprotobyname
from penstock.socket._making import *  # noqa: F403  fromshare() is there on Windows only
from penstock.socket._objects import SocketType as SocketType

if _TYPE_CHECKING:
    from socket import *  # type: ignore[assignment]  # noqa: F403  the names above stand

#: Obsolete: getaddrinfo() and getnameinfo() do it.
_OBSOLETE = (
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getservbyname",
    "getservbyport",
)
#: Would block, or are about sockets that do.
_BLOCKING = (
    "create_connection",
    "create_server",
    "getdefaulttimeout",
    "recv_fds",
    "send_fds",
    "setdefaulttimeout",
)
_OURS = tuple(name for name in globals() if not name.startswith("_"))
_THEIRS = tuple(
    name
    for name in _stdlib.__all__
    if name not in (*_OURS, *_OBSOLETE, *_BLOCKING)
    # Windows gives the name to something else: two programs on one port.
    and not (_sys.platform == "win32" and name == "SO_REUSEADDR")
)
globals().update((name, getattr(_stdlib, name)) for name in _THEIRS)

__all__ = tuple(sorted(_OURS + _THEIRS))


def __dir__() -> list[str]:
    return list(__all__)
