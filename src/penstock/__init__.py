"""Streams for high-throughput servers: AnyIO's API, on asyncio, uvloop and Trio, with a fast core.

Public names only.  Byte and object streams with a purpose of their own live in
:mod:`penstock.streams`, contracts in :mod:`penstock.abc`.
"""

from penstock import abc as abc
from penstock import lowlevel as lowlevel
from penstock import socket as socket
from penstock import to_thread as to_thread
from penstock._backends import TaskInfo as TaskInfo
from penstock._descriptors import notify_closing as notify_closing
from penstock._descriptors import wait_readable as wait_readable
from penstock._descriptors import wait_writable as wait_writable
from penstock._eventloop import current_time as current_time
from penstock._eventloop import get_all_backends as get_all_backends
from penstock._eventloop import get_available_backends as get_available_backends
from penstock._eventloop import get_cancelled_exc_class as get_cancelled_exc_class
from penstock._eventloop import get_current_task as get_current_task
from penstock._eventloop import get_running_tasks as get_running_tasks
from penstock._eventloop import run as run
from penstock._eventloop import sleep as sleep
from penstock._eventloop import sleep_forever as sleep_forever
from penstock._eventloop import sleep_until as sleep_until
from penstock._eventloop import wait_all_tasks_blocked as wait_all_tasks_blocked
from penstock._exceptions import BrokenResourceError as BrokenResourceError
from penstock._exceptions import BusyResourceError as BusyResourceError
from penstock._exceptions import ClosedResourceError as ClosedResourceError
from penstock._exceptions import ConnectionFailed as ConnectionFailed
from penstock._exceptions import DelimiterNotFound as DelimiterNotFound
from penstock._exceptions import EndOfStream as EndOfStream
from penstock._exceptions import FrameTooLarge as FrameTooLarge
from penstock._exceptions import IncompleteRead as IncompleteRead
from penstock._exceptions import NoEventLoopError as NoEventLoopError
from penstock._exceptions import TaskCancelled as TaskCancelled
from penstock._exceptions import TaskFailed as TaskFailed
from penstock._exceptions import TaskNotFinished as TaskNotFinished
from penstock._exceptions import TypedAttributeLookupError as TypedAttributeLookupError
from penstock._exceptions import WouldBlock as WouldBlock
from penstock._fileio import AsyncFile as AsyncFile
from penstock._fileio import Path as Path
from penstock._fileio import open_file as open_file
from penstock._fileio import wrap_file as wrap_file
from penstock._hotpath import IMPLEMENTATION as IMPLEMENTATION
from penstock._resources import aclose_forcefully as aclose_forcefully
from penstock._signals import catch_signals as catch_signals
from penstock._signals import open_signal_receiver as open_signal_receiver
from penstock._sockets.connectables import TCPConnectable as TCPConnectable
from penstock._sockets.connectables import UNIXConnectable as UNIXConnectable
from penstock._sockets.connectables import as_connectable as as_connectable
from penstock._sockets.connecting import connect_tcp as connect_tcp
from penstock._sockets.listening import create_tcp_listener as create_tcp_listener
from penstock._sockets.resolving import getaddrinfo as getaddrinfo
from penstock._sockets.resolving import getnameinfo as getnameinfo
from penstock._sockets.stream_adopting import socket_stream_pair as socket_stream_pair
from penstock._sockets.udp import create_connected_udp_socket as create_connected_udp_socket
from penstock._sockets.udp import create_udp_socket as create_udp_socket
from penstock._sockets.unix_connecting import connect_unix as connect_unix
from penstock._sockets.unix_datagrams import (
    create_connected_unix_datagram_socket as create_connected_unix_datagram_socket,
)
from penstock._sockets.unix_datagrams import (
    create_unix_datagram_socket as create_unix_datagram_socket,
)
from penstock._sockets.unix_listening import create_unix_listener as create_unix_listener
from penstock._synchronization import CapacityLimiter as CapacityLimiter
from penstock._synchronization import CapacityLimiterStatistics as CapacityLimiterStatistics
from penstock._synchronization import Condition as Condition
from penstock._synchronization import ConditionStatistics as ConditionStatistics
from penstock._synchronization import Event as Event
from penstock._synchronization import EventStatistics as EventStatistics
from penstock._synchronization import Lock as Lock
from penstock._synchronization import LockStatistics as LockStatistics
from penstock._synchronization import ResourceGuard as ResourceGuard
from penstock._synchronization import Semaphore as Semaphore
from penstock._synchronization import SemaphoreStatistics as SemaphoreStatistics
from penstock._tasks import TASK_STATUS_IGNORED as TASK_STATUS_IGNORED
from penstock._tasks import CancelScope as CancelScope
from penstock._tasks import create_task_group as create_task_group
from penstock._tasks import current_effective_deadline as current_effective_deadline
from penstock._tasks import fail_after as fail_after
from penstock._tasks import fail_at as fail_at
from penstock._tasks import move_on_after as move_on_after
from penstock._tasks import move_on_at as move_on_at
from penstock.abc import TaskHandle as TaskHandle
from penstock.abc import TypedAttributeProvider as TypedAttributeProvider
from penstock.abc import TypedAttributeSet as TypedAttributeSet
from penstock.abc import typed_attribute as typed_attribute
from penstock.streams.memory import create_memory_object_stream as create_memory_object_stream

__version__ = "0.1.0"
