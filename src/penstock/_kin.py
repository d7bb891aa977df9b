"""What AnyIO and Trio call the same things, in programs that have loaded them.

Lives here: the classes that are raised, so that ``except anyio.EndOfStream`` catches penstock's;
AnyIO's contracts, which accept penstock's streams; and AnyIO's keys of typed attributes, for which
penstock's streams answer.  A library that is not in ``sys.modules`` is never imported: whoever
has not loaded it has nothing to catch, to ask or to pass on.  Adapters live in ``interop/``.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Self

__all__ = ("Kindred", "expect_keys", "introduce", "with_kindred_keys")


class Kindred:
    """An exception that other libraries have too; each subclass says under which names.

    An instance is one of a class made when it is first needed, which is also a subclass of those
    of the libraries that are loaded by then.  ``except`` looks at real base classes only, so that
    registering as a virtual one would not do.
    """

    #: Library and name there, of this exception and of those that it derives from.
    _elsewhere: ClassVar[tuple[tuple[str, str], ...]] = ()
    #: Of a class that was made here: the public class that it stands for.
    _stands_for: ClassVar[type[Any] | None] = None

    def __init_subclass__(cls, **elsewhere: str) -> None:
        cls._elsewhere = (*elsewhere.items(), *cls._elsewhere)
        super().__init_subclass__()

    def __new__(cls, *args: object, **keywords: object) -> Self:
        made: type[Self] = _with_loaded_kin(cls)
        return super().__new__(made, *args, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        return (self._public_class(), *super().__reduce__()[1:])

    def _public_class(self) -> type[Self]:
        return self._stands_for or type(self)


#: A class, and the libraries as they were loaded when it was asked for -> what is raised for it.
_made: dict[tuple[type, object, object], type[Any]] = {}


def _with_loaded_kin(cls: type[Kindred]) -> type[Any]:
    """Return what to raise for ``cls``: itself, or a subclass that is also all its loaded kin."""
    modules = sys.modules
    key = cls, modules.get("anyio"), modules.get("trio")
    return _made.get(key) or _make(key)


def _make(key: tuple[type[Kindred], object, object]) -> type[Any]:
    introduce()
    cls = key[0]
    kin = {
        (library, name): getattr(sys.modules[library], name, None)
        for library, name in cls._elsewhere
        if library in sys.modules
    }
    found = [other for other in kin.values() if other is not None]
    # What the program has put in the library's place may be this very library.
    theirs = [other for other in found if not issubclass(cls, other)]
    made: type[Any] = cls
    if theirs and cls._stands_for is None:
        about = {name: getattr(cls, name) for name in ("__doc__", "__module__", "__qualname__")}
        made = type(cls.__name__, (cls, *theirs), {**about, "_stands_for": cls})
    if len(found) == len(kin):  # else one of them may be in the middle of its import
        _made[key] = made
    return made


# -- AnyIO's contracts and keys ----------------------------------------------------------------

_introduced = False


def introduce() -> None:
    """Register penstock's contracts with AnyIO's of the same name, once, if AnyIO is loaded.

    Called where an event loop is met and where a class to raise is made: at the latest when a
    stream is there that could be handed to AnyIO.
    """
    global _introduced
    if _introduced or sys.modules.get("anyio") is None:
        return
    _introduced = True
    try:
        theirs = import_module("anyio.abc")
    except ImportError:  # another module of that name
        return
    for name, contract in vars(import_module("penstock.abc")).items():
        if isinstance(contract, ABCMeta) and name.endswith(
            ("Connectable", "Listener", "Resource", "Socket", "Stream")
        ):
            counterpart = getattr(theirs, name, None)
            if counterpart is not None:  # else AnyIO is older than that
                counterpart.register(contract)


#: Modules of AnyIO and penstock's set of what one of theirs has, while they were not seen loaded.
_unknown_keys: list[tuple[str, type]] = []
#: A key of penstock's -> AnyIO's.
_keys: dict[object, object] = {}


def expect_keys(module: str, attributes: type) -> None:
    """Note that a module of AnyIO has a set of typed attributes of the same name."""
    _unknown_keys.append((module, attributes))


def with_kindred_keys(
    attributes: Mapping[Any, Callable[[], Any]],
) -> Mapping[Any, Callable[[], Any]]:
    """Return ``attributes``, also under the keys that AnyIO has for them, if it is loaded."""
    for module, cls in tuple(_unknown_keys):
        theirs = getattr(sys.modules.get(module), cls.__name__, None)
        if theirs is not None:
            _unknown_keys.remove((module, cls))
            for name, key in vars(cls).items():
                if not name.startswith("_") and hasattr(theirs, name):
                    _keys[key] = getattr(theirs, name)
    if not _keys:
        return attributes
    return {
        **attributes,
        **{_keys[key]: getter for key, getter in attributes.items() if key in _keys},
    }
