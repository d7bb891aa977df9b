"""The API reference has every public name, and nothing that is none."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import penstock
import penstock.abc

PAGES = Path(__file__).parents[1] / "docs" / "api"
DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto\w+|py:\w+):: (\S+)$", re.MULTILINE)


def documented() -> set[str]:
    """Return the dotted names that the pages tell Sphinx to document."""
    names = set()
    for page in PAGES.glob("*.md"):
        module = ""
        for directive, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if directive == "currentmodule":
                module = name
            elif directive == "automodule":
                names |= {name, *(f"{name}.{member}" for member in public(name))}
            else:
                names.add(f"{module}.{name}")
    return names


def public(name: str) -> list[str]:
    module = importlib.import_module(name)
    return list(getattr(module, "__all__", None) or _own(module))


def _own(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]


def modules() -> list[str]:
    """Return every module that is no part of another one's insides."""
    return [
        info.name
        for info in pkgutil.walk_packages(penstock.__path__, "penstock.")
        if not any(part.startswith("_") for part in info.name.split("."))
    ]


def test_every_public_name_is_in_the_reference() -> None:
    wanted = {f"penstock.{name}" for name in _own(penstock)}
    wanted |= {f"{module}.{name}" for module in modules() for name in public(module)}
    found = documented()
    # What the package also has under its own name, or a contract, is documented once.
    once = {name.rpartition(".")[2] for name in found if name.count(".") <= 2}
    assert {name for name in wanted - found if name.rpartition(".")[2] not in once} == set()


def test_the_reference_names_only_what_is_there() -> None:
    missing = []
    for name in documented():
        module, _, member = name.rpartition(".")
        if name not in modules() and not hasattr(importlib.import_module(module), member):
            missing.append(name)
    assert missing == []
