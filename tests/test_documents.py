"""What the documents name is there: penstock's names, and those of the libraries beside it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import penstock

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(p.name for p in (ROOT / "docs").glob("*.md"))]
NAME = re.compile(r"`((?:penstock|anyio|asyncio|trio)(?:\.\w+)+)(?:[(\[][^`]*)?`")
#: Names of what is no object of Python's.
LOGGERS = {"penstock.listener", "penstock.tls"}
#: Names of an older age, which the documents say what became of.
GONE = {
    "anyio.abc.streams.ByteReceiveStream",
    "anyio.exceptions.BrokenResourceError",
    "trio.ssl",
    "trio.ssl.create_default_context",
}


def text_of(page: str) -> str:
    """Return a page without its blocks of code, which other tests run."""
    path = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def look_up(name: str) -> Any:
    parts = name.split(".")
    found: Any = import_module(parts[0])
    for position, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            import_module(".".join(parts[:position]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_names_in_a_document_are_those_of_something(page: str) -> None:
    wrong = []
    for name in set(NAME.findall(text_of(page))) - LOGGERS - GONE:
        try:
            look_up(name)
        except (AttributeError, ImportError):
            wrong.append(name)
    assert wrong == []


def test_architecture_names_every_room() -> None:
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in Path(penstock.__file__).parent.iterdir()
        if path.name not in ("__pycache__", "py.typed") and not path.name.startswith(".")
    }
    named = set(re.findall(r"`(?:penstock/)?([\w.]+/?)`", text_of("architecture.md")))
    assert rooms - named == set()


@pytest.mark.parametrize("page", PAGES)
def test_tests_in_a_document_are_there(page: str) -> None:
    for name in set(re.findall(r"`(tests/[\w/.-]+(?:::\w+)?)`", text_of(page))):
        path, _, function = name.partition("::")
        assert (ROOT / path).exists(), name
        if function:
            text = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"def {function}\(", text), name
