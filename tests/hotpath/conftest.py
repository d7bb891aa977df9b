"""The twins: a test that asks for ``twin`` runs on each of those that are built here."""

from importlib import import_module

import pytest
from fakes import Loop, socket_pair

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


@pytest.fixture
def pair():
    """Make connected pairs of sockets, which are closed after the test."""
    made = []

    def pair(kind="unix"):
        made.extend(socket_pair(kind))
        return made[-2:]

    yield pair
    for sock in made:
        sock.close()


@pytest.fixture
def loop(twin):
    """A poller with waits of its own."""
    loop = Loop(twin)
    yield loop
    loop.poller.close()
