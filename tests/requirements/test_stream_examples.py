"""The examples of the requirements for streams print what they should.

The files in ``examples/`` are copied from the requirements whose number their names begin with;
``002-*`` are its English copies, indented again.  Only the import is changed here, the path of a
file, and in 001 ``await tg.spawn``, which its successors call ``tg.start_soon``.
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
    "002-text-streams": "b'\\xc3\\xa5\\xc3\\xa4\\xc3\\xb6'\n'åäö'\n",
    "002-file-streams": "Hello, World!\n",
}

# The examples leave their streams to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")


def read(name, directory=Path("/nowhere")):
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    source = source.replace("/tmp/testfile", str(directory / "testfile"))
    return source.replace("from anyio", "from penstock").replace("await tg.spawn", "tg.start_soon")


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_runs_as_it_stands(name, capsys, tmp_path):
    exec(compile(read(name, tmp_path), name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == PROGRAMS[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_example_runs_on_every_event_loop(backend, name, capsys, tmp_path):
    source, call, rest = read(name, tmp_path).rpartition("run(main)")
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
