"""Typed attributes: facts about a stream, found through any number of wrappers around it."""

from collections.abc import Callable, Mapping
from inspect import get_annotations
from typing import Any, TypeVar, final, overload

from penstock._exceptions import TypedAttributeLookupError
from penstock._kin import expect_keys

__all__ = ("TypedAttributeProvider", "TypedAttributeSet", "typed_attribute")

T_Attr = TypeVar("T_Attr")
T_Default = TypeVar("T_Default")
_UNDEFINED = object()


def typed_attribute() -> Any:
    """Return a key for one typed attribute; the annotation beside it is its type."""
    return object()


class TypedAttributeSet:
    """A namespace of typed attributes; each public one must carry an annotation.

    Args:
        anyio: For a subclass that AnyIO has too: the name of its module there.

    Raises:
        TypeError: A subclass has a public attribute without an annotation.
    """

    def __init_subclass__(cls, *, anyio: str | None = None) -> None:
        annotations = get_annotations(cls)
        for name in cls.__dict__:
            if not name.startswith("_") and name not in annotations:
                raise TypeError(f"Attribute {name!r} is missing its type annotation")
        if anyio is not None:
            expect_keys(anyio, cls)
        super().__init_subclass__()


class TypedAttributeProvider:
    """Something that answers for typed attributes."""

    __slots__ = ()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The attributes that are there, each with the function that looks its value up.

        A wrapper merges its own with those of what it wraps; its own win.
        """
        return {}

    @overload
    def extra(self, attribute: T_Attr) -> T_Attr: ...
    @overload
    def extra(self, attribute: T_Attr, default: T_Default) -> T_Attr | T_Default: ...

    @final
    def extra(self, attribute: Any, default: object = _UNDEFINED) -> object:
        """Return the value of a typed attribute.

        Args:
            attribute: The key, as in ``SocketAttribute.remote_address``.
            default: What to return where the attribute is not there.

        Raises:
            TypedAttributeLookupError: It is not there, and there is no default.
        """
        getter = self.extra_attributes.get(attribute)
        if getter is not None:
            return getter()
        if default is _UNDEFINED:
            raise TypedAttributeLookupError("Attribute not found")
        return default
