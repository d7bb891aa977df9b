"""Transport Layer Security over any stream of bytes."""

from penstock.streams.tls._attributes import TLSAttribute as TLSAttribute
from penstock.streams.tls._connectable import TLSConnectable as TLSConnectable
from penstock.streams.tls._listener import TLSListener as TLSListener
from penstock.streams.tls._stream import TLSStream as TLSStream

__all__ = ("TLSAttribute", "TLSConnectable", "TLSListener", "TLSStream")
