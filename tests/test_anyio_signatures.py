"""What both have, penstock and AnyIO call the same and take in the same way.

A parameter is compared by its name, its kind, its default and its place among the others.  What
penstock takes beside that must not be in the way of a call that is written for AnyIO.
"""

from __future__ import annotations

import importlib
import inspect
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.lowlevel import RunVar

STREAMS = ["buffered", "file", "memory", "stapled", "text", "tls"]
MODULES = ["", ".abc", ".lowlevel", ".to_thread", *(f".streams.{name}" for name in STREAMS)]
#: Classes that no program makes by itself: how they are made is nobody's business.
MADE_FOR_THE_PROGRAM = {
    ".TaskHandle",
    ".TaskInfo",
    ".lowlevel.EventLoopToken",
    ".streams.memory.MemoryObjectReceiveStream",
    ".streams.memory.MemoryObjectSendStream",
    ".streams.memory.MemoryObjectStreamStatistics",
    ".streams.tls.TLSStream",
}
#: Parameters of AnyIO that penstock has not.
LEFT_OUT = {
    # Both are deprecated.
    ".create_memory_object_stream": {"item_type"},
    ".to_thread.run_sync": {"cancellable"},
}
#: Names of AnyIO that penstock leaves to it, or makes without a name of that kind.
NOT_OURS = {
    ".lowlevel.RunVar.NO_VALUE_SET",
    # Defaults of arguments, which dataclasses leave at the class.
    *(
        f".streams.text.{name}.{argument}"
        for name in ("TextReceiveStream", "TextSendStream", "TextStream")
        for argument in ("encoding", "errors")
    ),
}
#: What stays AnyIO's: processes, portals, workers, temporary files, futures, mixins and its plugin.
LEFT_TO_ANYIO = [
    ".AsyncContextManagerMixin",
    ".BrokenWorkerInterpreter",
    ".BrokenWorkerProcess",
    ".ContextManagerMixin",
    ".Future",
    ".FutureAlreadyFinished",
    ".FutureCancelled",
    ".FutureFailed",
    ".FutureNotFinished",
    ".NamedTemporaryFile",
    ".RunFinishedError",
    ".SpooledTemporaryFile",
    ".TemporaryDirectory",
    ".TemporaryFile",
    ".abc.AsyncBackend",
    ".abc.Process",
    ".abc.TestRunner",
    ".amap",
    ".as_completed",
    ".gather",
    ".gettempdir",
    ".gettempdirb",
    ".mkdtemp",
    ".mkstemp",
    ".open_process",
    ".run_process",
    ".wait_socket_readable",
    ".wait_socket_writable",
]
#: Special methods that a program calls by the language's means.
DUNDERS = ["__aenter__", "__aexit__", "__aiter__", "__anext__", "__enter__", "__exit__"]


def public_names(module: Any) -> list[str]:
    return [name for name in getattr(module, "__all__", dir(module)) if not name.startswith("_")]


def things_in_both() -> Iterator[tuple[str, Any, Any]]:
    for suffix in MODULES:
        theirs = importlib.import_module(f"anyio{suffix}")
        ours = importlib.import_module(f"penstock{suffix}")
        for name in public_names(theirs):
            thing = getattr(theirs, name)
            if inspect.ismodule(thing) or not hasattr(ours, name):
                continue
            if callable(thing) and thing.__module__.startswith("anyio"):
                yield f"{suffix}.{name}", thing, getattr(ours, name)


def members(cls: type) -> list[str]:
    return [name for name in dir(cls) if not name.startswith("_") or name in DUNDERS]


def callables_in_both() -> Iterator[tuple[str, Any, Any]]:
    for path, theirs, ours in things_in_both():
        if path not in MADE_FOR_THE_PROGRAM:
            yield path, theirs, ours
        if inspect.isclass(theirs):
            for name in members(theirs):
                if path == ".Path" and hasattr(pathlib.Path, name):
                    continue  # as the running Python's takes it
                if callable(getattr(theirs, name)) and hasattr(ours, name):
                    yield f"{path}.{name}", getattr(theirs, name), getattr(ours, name)


def is_sentinel(default: Any) -> bool:
    """Tell a default that only says that nothing was given."""
    return type(default) is object or repr(default) in ("undefined", repr(RunVar.NO_VALUE_SET))


def parameters_of(function: Any) -> list[tuple[str, Any, Any]]:
    return [
        (p.name, p.kind, "nothing given" if is_sentinel(p.default) else p.default)
        for p in inspect.signature(function).parameters.values()
    ]


def has_signature(function: Any) -> bool:
    try:
        inspect.signature(function)
    except ValueError:
        return False
    return True


CALLABLES = {path: (theirs, ours) for path, theirs, ours in callables_in_both()}
CLASSES = {path: (a, b) for path, a, b in things_in_both() if inspect.isclass(a)}
# Exceptions without an __init__ of their own have no signature.
with_signature = pytest.mark.parametrize(
    "path", [p for p, (a, _) in CALLABLES.items() if has_signature(a)]
)


def test_nothing_else_of_anyio_is_missing() -> None:
    missing = []
    for suffix in MODULES:
        theirs = importlib.import_module(f"anyio{suffix}")
        ours = importlib.import_module(f"penstock{suffix}")
        for name in public_names(theirs):
            thing = getattr(theirs, name)
            if getattr(thing, "__module__", "").startswith("anyio") and not hasattr(ours, name):
                missing.append(f"{suffix}.{name}")
    assert set(missing) <= set(LEFT_TO_ANYIO)


@with_signature
def test_what_anyio_takes_is_taken(path: str) -> None:
    theirs, ours = (parameters_of(function) for function in CALLABLES[path])
    theirs = [row for row in theirs if row[0] not in LEFT_OUT.get(path, ())]
    names = {name for name, _, _ in theirs}
    assert [row for row in ours if row[0] in names] == theirs


@with_signature
def test_what_is_taken_beside_that_is_in_nobodys_way(path: str) -> None:
    theirs, ours = (parameters_of(function) for function in CALLABLES[path])
    names = [name for name, _, _ in theirs]
    positions = [name for name, kind, _ in ours if kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positions[: len(names)] == [n for n in names if n in positions][: len(positions)]
    for name, _, default in ours:
        assert name in names or default is not inspect.Parameter.empty


@pytest.mark.parametrize("path", CLASSES)
def test_classes_have_the_members_of_anyios(path: str) -> None:
    theirs, ours = CLASSES[path]
    assert [
        name
        for name in members(theirs)
        if not hasattr(ours, name) and f"{path}.{name}" not in NOT_OURS
    ] == []


@pytest.mark.parametrize("path", CALLABLES)
def test_what_is_awaited_there_is_awaited_here(path: str) -> None:
    theirs, ours = CALLABLES[path]
    if inspect.iscoroutinefunction(theirs):
        assert inspect.iscoroutinefunction(ours)
