"""Docstrings say what a caller has to know: every argument, and what a cancelled call leaves."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import pkgutil
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import penstock

#: Classes whose instances come from a function or a method, which has the arguments.
MADE_ELSEWHERE = {
    "BroadcastReceiveStream",
    "EventLoopToken",
    "MemoryObjectReceiveStream",
    "MemoryObjectSendStream",
    "RunvarToken",
    "SocketType",
    "TLSStream",
}
#: Classes whose own docstring says that what they do not document is as it is there.
DOCUMENTED_THERE = {"Path": pathlib.Path, "SocketType": socket.socket}
MEANS_CANCELLATION = re.compile("cancel", re.IGNORECASE)


def public_objects() -> dict[str, Any]:
    """Return what is public and penstock's own, by the first of its dotted names."""
    modules = [penstock] + [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(penstock.__path__, "penstock.")
        if not any(part.startswith("_") for part in info.name.split("."))
    ]
    found: dict[int, tuple[str, Any]] = {}
    for module in modules:
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            origin = getattr(value, "__module__", None) or ""
            if not name.startswith("_") and origin.startswith("penstock") and callable(value):
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    return dict(found.values())


OBJECTS = public_objects()
CLASSES = {name: value for name, value in OBJECTS.items() if inspect.isclass(value)}
FUNCTIONS = {name: value for name, value in OBJECTS.items() if inspect.isfunction(value)}


def methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods of a class, inherited ones of private classes too."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", member)  # of a class or static method
        ours = (getattr(member, "__module__", None) or "").startswith("penstock")
        if not name.startswith("_") and inspect.isfunction(member) and ours:
            yield name, member


def said_of(cls: type, name: str) -> str:
    """Return the docstrings of a method, in this class and in those it inherits from."""
    found = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
    return "\n".join(getattr(member, "__doc__", None) or "" for member in found)


def unnamed(function: Callable[..., Any], said: str) -> list[str]:
    """Return the arguments that a text neither lists nor names as code."""
    listed = re.findall(r"^ *(\w+): ", said, re.MULTILINE)
    named = re.findall(r"\w+", " ".join(re.findall("``(.+?)``", said)))
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls", *listed, *named)
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function = FUNCTIONS[name]
    said = function.__doc__ or ""
    assert said
    assert unnamed(function, said) == []
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        assert MEANS_CANCELLATION.search(said)


@pytest.mark.parametrize("name", CLASSES)
def test_methods(name: str) -> None:
    cls = CLASSES[name]
    there = DOCUMENTED_THERE.get(cls.__name__)
    of_class = "\n".join(base.__doc__ or "" for base in cls.__mro__ if base is not object)
    wrong = []
    for method_name, method in methods(cls):
        said = said_of(cls, method_name)
        # What another library asks for is that library's to explain.
        foreign = any(
            method_name in vars(base) and not base.__module__.startswith("penstock")
            for base in cls.__mro__
        )
        if not said:
            wrong.append((method_name, "no docstring"))
        elif not (foreign or hasattr(there, method_name)):
            wrong += [(method_name, argument) for argument in unnamed(method, said)]
        waits = inspect.iscoroutinefunction(inspect.unwrap(method))
        if waits and not MEANS_CANCELLATION.search(said + of_class):
            wrong.append((method_name, "nothing of cancellation"))
    assert wrong == []


@pytest.mark.parametrize("name", CLASSES)
def test_constructors_and_properties(name: str) -> None:
    cls = CLASSES[name]
    assert cls.__doc__
    attributes = [
        member for member in dir(cls) if not member.startswith("_") and said_of(cls, member)
    ]
    for member in dir(cls):
        if not member.startswith("_") and isinstance(getattr(cls, member), property):
            assert member in attributes
    exempt = dataclasses.is_dataclass(cls) or issubclass(cls, BaseException)
    if "__init__" in vars(cls) and not exempt and cls.__name__ not in MADE_ELSEWHERE:
        said = " ".join([cls.__doc__, cls.__init__.__doc__ or "", *attributes])
        assert unnamed(cls.__init__, said) == []
