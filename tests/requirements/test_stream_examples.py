"""The examples of the requirements for memory and buffered streams print what they should.

The files in ``examples/`` are copied from the requirements whose number their names begin with;
``002-*`` are its English copies, indented again.  Only the import is changed here, and in 001
``await tg.spawn``, which its successors call ``tg.start_soon``.
"""

from pathlib import Path

import pytest

from penstock import EndOfStream, create_memory_object_stream

EXAMPLES = Path(__file__).parent / "examples"
TEN_ITEMS = "".join(f"received number {number}\n" for number in range(10))
CUT_TO_SIZE = "b'hello, w'\nb'orld'\n"
PROGRAMS = {
    "001-memory-object-streams": TEN_ITEMS,
    "001-buffered-byte-streams": CUT_TO_SIZE,
    "002-memory-object-streams": TEN_ITEMS,
    "002-buffered-byte-streams": CUT_TO_SIZE,
}

# The examples leave their streams to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")


def read(name):
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    return source.replace("from anyio", "from penstock").replace("await tg.spawn", "tg.start_soon")


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_runs_as_it_stands(name, capsys):
    exec(compile(read(name), name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == PROGRAMS[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_runs_on_every_event_loop(backend, name, capsys):
    source, call, rest = read(name).rpartition("run(main)")
    assert call
    assert not rest.strip()
    namespace = {}
    exec(compile(source, name, "exec"), namespace)
    backend.run(namespace["main"])
    assert capsys.readouterr().out == PROGRAMS[name]


def test_example_of_a_synchronous_callback():
    namespace = {}
    exec(compile(read("002-synchronous-close"), "002-synchronous-close", "exec"), namespace)
    send, receive = create_memory_object_stream[str](1)
    with receive:
        namespace["synchronous_callback"](send)
        assert receive.receive_nowait() == "hello"
        with pytest.raises(EndOfStream):
            receive.receive_nowait()
