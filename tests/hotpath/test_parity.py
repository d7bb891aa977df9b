"""Both twins have the same names: classes, methods, properties, parameters, defaults."""

import inspect
import re
from pathlib import Path

import pytest

from penstock import _compiled, _pure


def classes(twin):
    """Return every class of a twin by its name, those that only methods return included."""
    queue = twin.ItemQueue()
    end = queue.open_receiver()
    waiter = queue.park_receiver(None, bool, end)
    found = [getattr(twin, name) for name in vars(twin) if name[0].isupper() and name != "NOTHING"]
    return {cls.__name__: cls for cls in (*found, type(end), type(waiter), type(twin.NOTHING))}


PURE, COMPILED = classes(_pure), classes(_compiled)


def parameters(member):
    """Return the parameters of a method but ``self``, which nobody passes by name."""
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in list(inspect.signature(member).parameters.values())[1:]
    ]


def members(cls):
    """Return what a class has by name, what it inherits included."""
    found = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= vars(base)
    return found


def surface(cls):
    """Return what is public about a class: callables by parameters, the rest by name."""
    found = members(cls)
    names = {name for name in found if not name.startswith("_")} | {"_check"} & found.keys()
    return {
        name: parameters(member) if inspect.isroutine(member := found[name]) else "attribute"
        for name in names
    }


def special(cls):
    """Return the special methods that are about use, not about implementation."""
    return {"__len__", "__bytes__", "__repr__", "__iter__", "__enter__"} & members(cls).keys()


def test_both_twins_have_the_same_classes():
    assert PURE.keys() == COMPILED.keys()
    assert {"ReadyBudget", "ReceiveBuffer", "ItemQueue", "Poller", "Registration"} < PURE.keys()


def test_both_twins_have_the_same_module_names():
    def public(twin):
        return {name for name in vars(twin) if name[0].isupper()}

    assert public(_pure) == public(_compiled)
    # What a type checker sees of the compiled twin is the pure one, name by name.
    stub = Path(_compiled.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert set(re.findall(r"^from penstock\._pure import (\w+) as \1$", stub, re.M)) == public(
        _compiled
    )


@pytest.mark.parametrize("name", PURE)
def test_both_twins_have_the_same_surface(name):
    assert surface(PURE[name]) == surface(COMPILED[name])
    assert special(PURE[name]) == special(COMPILED[name])


@pytest.mark.parametrize("name", ["ReadyBudget", "ReceiveBuffer", "ItemQueue", "Poller"])
def test_both_twins_are_made_of_the_same_arguments(name):
    # An extension type does not tell its parameters: ask it for each.
    budget = {_pure: _pure.ReadyBudget(), _compiled: _compiled.ReadyBudget()}
    given = inspect.signature(PURE[name]).parameters
    required = [it.name for it in given.values() if it.default is it.empty]
    for twin, cls in ((_pure, PURE[name]), (_compiled, COMPILED[name])):
        values = {"budget": budget[twin], "size": 64, "max_buffer_size": 0}
        cls(**{name: values.get(name) for name in given})
        cls(**{name: values.get(name) for name in required})
        cls(*(values.get(name) for name in given))
        with pytest.raises(TypeError):
            cls(*(values.get(name) for name in given), None)
        for missing in required:
            with pytest.raises(TypeError):
                cls(**{name: values.get(name) for name in required if name != missing})


@pytest.mark.parametrize("name", PURE)
def test_attributes_of_a_kernel_object_cannot_be_invented(name):
    for cls in (PURE[name], COMPILED[name]):
        assert "__dict__" not in dir(cls)
