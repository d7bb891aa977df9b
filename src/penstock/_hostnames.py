"""Host names in any script, as the Domain Name System and certificates spell them.

Lives here: the one place that encodes them.  Looking them up lives in ``_sockets.resolving``.
"""

from __future__ import annotations

import idna

__all__ = ("encode_name",)

#: The longest name, with the dot of the root (RFC 1035, 3.1: 255 octets, in another notation).
LONGEST_NAME = 254


def encode_name(name: str) -> bytes:
    """Return a name in ASCII: by IDNA 2008, after the mapping of UTS 46, unless it is already.

    Raises:
        ValueError: It has characters that no name may have, or is longer than any.
    """
    if name.isascii():
        return name.encode()
    if len(name) > LONGEST_NAME:
        # idna 3.13 takes 7 s for 20,000 characters, and who asks for a name may be a stranger.
        raise ValueError(f"a host name has at most {LONGEST_NAME} characters, not {len(name)}")
    return idna.encode(name, uts46=True)
