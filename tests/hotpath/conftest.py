"""The twins: a test that asks for ``twin`` runs on each of those that are built here."""

from importlib import import_module

import pytest

TWINS = ["pure"]
try:
    import_module("penstock._compiled")
except ModuleNotFoundError as exc:
    if not (exc.name or "").startswith("penstock._compiled."):
        raise
    # Nothing to be on a par with.
    collect_ignore_glob = ["*parity.py"]
else:
    TWINS.append("compiled")


@pytest.fixture(params=TWINS)
def twin(request):
    return import_module(f"penstock._{request.param}")
