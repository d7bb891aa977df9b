"""What encrypts and decrypts: the state machine around :class:`ssl.SSLObject`, without any I/O.

Lives here: which ciphertext the object is given and when, what plaintext comes out of it, and what
it said when it failed.  How ciphertext travels, and whoever waits for it, live in ``_stream``.

Two rules keep the state whole: plaintext that was taken out of the object is returned, or kept, at
once; and an object that has failed is not asked again.
"""

from __future__ import annotations

import ssl
import sys

from penstock.streams.tls._contexts import AnySSLContext, bio_pair

__all__ = ("FEED", "Engine")

#: The most ciphertext that is asked for at a time: three full records and what frames them.
FEED = 65536
#: The most that one call takes out of the object: the contents of a record (RFC 8446, 5.1).
RECORD = 16384
#: What stands before the contents of a record: its type, its version and its length.
HEADER = 5
#: The most records that the object is handed at a time.  It does all those without data in one go,
#: and a KeyUpdate (RFC 8446, 4.6.3) takes 18 us: the 2,427 of 64 KiB would take 44 ms.
HANDED = 32
#: What one call of :meth:`Engine.read` may do before it leaves the rest to the next; a record
#: costs 1 (with a byte in it, 1.1 us).
EFFORT = 1024
#: What a record without data costs on top.
FRUITLESS = 16


class Engine:
    """One side of a TLS connection: ciphertext in and out at one end, plaintext at the other.

    Args:
        context: Anything with ``wrap_bio``.
        server_side: Which side this is.
        hostname: The name or address of the server, in any script.

    Raises:
        TypeError: ``context`` has no ``wrap_bio``, or ``hostname`` is no string.
        ValueError: ``hostname`` is no name, or missing and to be checked, or ``context`` is for
            the other side.
    """

    # I1  _received[_start:] has come and was not handed to the object; less than a header, unless
    #     ``more``
    # I2  _missing: how much of the last record that was handed over is still to come
    # I3  _handed: how many records were handed over since the object was last read from
    # I4  _cut: the object has more of the record that was read last
    # I5  kept: plaintext that was taken out of the object before it was asked for; it comes before
    #     whatever the object still has
    __slots__ = (
        "_cut",
        "_handed",
        "_incoming",
        "_missing",
        "_received",
        "_start",
        "effort",
        "ended",
        "failure",
        "kept",
        "object",
        "outgoing",
        "ready",
    )

    def __init__(self, context: AnySSLContext, server_side: bool, hostname: str | None) -> None:
        #: What encrypts.
        self.object: ssl.SSLObject
        #: The ciphertext that waits to be sent.
        self.outgoing: ssl.MemoryBIO
        self.object, self._incoming, self.outgoing = bio_pair(context, server_side, hostname)
        self._received = b""
        self._start = 0
        self._missing = 0
        self._handed = 0
        self._cut = False
        self.kept: bytes = b""
        #: Whether :meth:`read` might find something.
        self.ready: bool = False
        #: What the last :meth:`read` has cost; a loop may turn at 1,024 of it.
        self.effort: int = 0
        #: Whether the peer has announced the end.
        self.ended: bool = False
        #: What broke the connection.
        self.failure: ssl.SSLError | None = None

    # -- ciphertext ------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take ciphertext that has come."""
        if self._start < len(self._received):
            data = self._received[self._start :] + data
        self._received, self._start = bytes(data), 0
        self.ready = True

    @property
    def more(self) -> bool:
        """Whether there is ciphertext to go on with."""
        left = len(self._received) - self._start
        return left >= HEADER or bool(left and self._missing)

    def hand_over(self) -> bool:
        """Hand some of the ciphertext to the object; return whether there was any."""
        data, start = self._received, self._start
        size = len(data)
        end = start + self._missing
        records = 0
        while end + HEADER <= size and records < HANDED:
            end += HEADER + (data[end + 3] << 8 | data[end + 4])
            records += 1
        if end == start or start == size:
            return False  # less than a header
        self._handed += records
        self.ready = True
        if end >= size:
            self._missing = end - size
            self._incoming.write(data[start:])
            self._received, self._start = b"", 0
        else:
            self._missing = 0
            self._incoming.write(memoryview(data)[start:end])
            self._start = end
        return True

    def leftover(self) -> bytes:
        """Return the ciphertext that the object has not read, behind the peer's announcement."""
        return self._incoming.read() + self._received[self._start :]

    # -- the handshake ---------------------------------------------------------------------

    def shake_hands(self) -> bool:
        """Do what can be done of the handshake; a failure is noted.

        Returns:
            Whether it is over, one way or the other.
        """
        while True:
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                if not self.hand_over():
                    return False
            except ssl.SSLError as exc:
                self._fail(exc)
                return True
            else:
                return True

    # -- plaintext -------------------------------------------------------------------------

    def read(self, max_bytes: int) -> bytes:
        """Return the plaintext that is there; what is amiss behind it is noted.

        ``b""`` where there is none, or where finding it takes more than one step may: then there
        is ``more``.
        """
        chunks: list[bytes] = []
        if self.kept:
            chunks.append(self.kept[:max_bytes])
            self.kept = self.kept[max_bytes:]
            max_bytes -= len(chunks[0])
        effort = 0
        while max_bytes and effort < EFFORT and not self.ended and self.failure is None:
            if not (self._incoming.pending or self._cut) and (
                self._start == len(self._received) or not self.hand_over()
            ):
                self.ready = False
                break
            found = -len(chunks)
            max_bytes = self._take(chunks, max_bytes)
            found += len(chunks)  # as many as there were records with data, or more
            effort += self._handed
            if found < self._handed:
                effort += FRUITLESS * (self._handed - found)
            self._handed = 0
        self.effort = effort
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def look_ahead(self) -> bool:
        """Return whether there is plaintext, which is kept for the next :meth:`read`."""
        self.kept = self.read(sys.maxsize)
        self.ready = self.ready or bool(self.kept)
        return bool(self.kept)

    def _take(self, chunks: list[bytes], max_bytes: int) -> int:
        """Take plaintext out of what was handed over; return what is left of ``max_bytes``."""
        read, incoming = self.object.read, self._incoming
        if self.ended or self.failure is not None:
            return max_bytes
        try:
            while max_bytes and (incoming.pending or self._cut):
                nbytes = max_bytes if max_bytes < RECORD else RECORD
                data = read(nbytes)
                if not data:
                    self.ended = True
                    break
                chunks.append(data)
                max_bytes -= len(data)
                self._cut = len(data) == nbytes < RECORD
        except ssl.SSLWantReadError:
            self._cut = False
        except ssl.SSLZeroReturnError:  # instead of b"", after our own announcement
            self.ended = True
        except ssl.SSLError as exc:
            self._fail(exc)
        return max_bytes

    def write(self, data: bytes | memoryview) -> int:
        """Encrypt some of ``data``.

        Returns:
            How many bytes of it; 0: it has failed, or cannot be done before something has come
            (TLS 1.2: the peer renegotiates).
        """
        try:
            return self.object.write(data)
        except ssl.SSLWantReadError:
            self._cut = self.ready = True  # it may have stopped in front of data
        except ssl.SSLError as exc:
            self._fail(exc)
        return 0

    # -- the end ---------------------------------------------------------------------------

    def announce_end(self) -> None:
        """Tell the peer that nothing more will be sent."""
        # The object would take a record that is there for the peer's answer, and lose it.
        chunks = [self.kept]
        self._take(chunks, sys.maxsize)
        self.kept = b"".join(chunks)
        self.ready = True
        if self.failure is None:
            try:
                self.object.unwrap()
            except ssl.SSLError:  # it wants to read the peer's announcement, or is broken anyway
                pass

    def _fail(self, exc: ssl.SSLError) -> None:
        self.failure = exc.with_traceback(None)  # whose frames hold this connection
