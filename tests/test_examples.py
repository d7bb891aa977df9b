"""The examples run, on every event loop, and the documents show them as they are."""

from __future__ import annotations

import re
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock

if TYPE_CHECKING:
    from backends import BackendUnderTest

ROOT = Path(__file__).parents[1]
SERVICE = "b'4 bytes' b'drip'\nb'4 bytes' b'drop'\nb'6 bytes' b'splash'\n"
#: What runs on every event loop.
OUTPUT = {
    "broadcast.py": "both: rain\nboth: one goal\nboth: two goals\n"
    "display: two goals - dropped: 1\n",
    "buffered.py": "b'GET' b'/index HTTP/1.1' b'host: a'\nb'\\x00\\x05'\nb'hello'\n",
    "checking.py": "a byte stream\n",
    "files.py": "first\nsecond\nb'head' 4\nb'body'\n['data.bin', 'log.txt']\n",
    "framed.py": "GRüßE\n",
    "hello.py": "b'Hello, world!'\n",
    "interop/http_pool.py": "200 b'hello'\n",
    "memory.py": "".join(f"received {n}\n" for n in range(6)) + "then [6, 7, 8, 9]\n",
    "migrating/service.py": SERVICE,
    "no_descriptors.py": "[Errno 1] Operation not permitted\nb'WELL THEN'\n",
    "serving.py": "b'hello'\n1 accepted, 0 cancelled\n",
    "signals.py": "SIGHUP\nSIGTERM\n1 signal\n",
    "starttls.py": "b'ready for STARTTLS'\nb'nobody else reads this\\r\\n'\n",
    "synchronization.py": "['e3b0c442', '6e340b9c', '96a296d2']\n[0, 1, 2, 3] False\n",
    "tasks.py": "ready\n[0, 1, 4, 9]\n(ValueError('no such file'),)\n",
    "tcp.py": "b'HELLO!'\n",
    "testing.py": "a byte stream\ncounted 100000 bytes\nb'firstsecond'\n",
    "timeouts.py": "in time: False\ngoodbye\nTimeoutError: the peer was idle\n",
    "tls.py": "b'HELLO'\n",
    "tls_reload.py": "another certificate: True\n",
    "tls_resume.py": "b'hello' resumed: False\nb'hello' resumed: True\n",
    "udp.py": "b'PING'\n",
    "unix.py": "b'a pipe' b'hello through it'\n",
}
#: Those that other programs talk to, by their tests in tests/system.
PROGRAMS = {
    "http_client.py": "test_example_clients.py",
    "http_h11.py": "test_example_http_servers.py",
    "http_httptools.py": "test_example_http_servers.py",
    "jobs.py": "test_example_jobs.py",
    "jobs_redis.py": "test_example_jobs_redis.py",
    "redis_client.py": "test_example_clients.py",
    "rpc.py": "test_example_rpc.py",
    "tls_proxy.py": "test_example_tls_proxy.py",
    "workers.py": "test_example_workers.py",
}
#: What is written for one library, and run by it.
OUTPUT_OF_PROGRAMS = {
    "interop/anyio_memory.py": "hello through anyio.streams.memory\n"
    "hello through penstock.streams.memory\nhello through anyio.streams.memory\n",
    "interop/asyncio_streams.py": "b'hello world'\n",
    "interop/trio_streams.py": "b'hello'\nb'hello'\n1\n",
    "migrating/from_anyio.py": SERVICE,
    "migrating/from_asyncio.py": SERVICE,
    "migrating/from_trio.py": SERVICE,
}


def test_every_example_is_tested() -> None:
    examples = ROOT / "examples"
    found = {path.relative_to(examples).as_posix() for path in examples.rglob("*.py")}
    assert found == {*OUTPUT, *OUTPUT_OF_PROGRAMS, *PROGRAMS, "server.py", "test_server.py"}
    for name, test in PROGRAMS.items():
        assert name in (ROOT / "tests" / "system" / test).read_text(encoding="utf-8")


def can_refuse_descriptors() -> bool:
    """Return whether it is Linux 6.16 or newer."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.getsockopt(socket.SOL_SOCKET, 83)  # SO_PASSRIGHTS
        except OSError:
            return False
    return True


@pytest.mark.parametrize(
    "name", [name for name in OUTPUT if name != "no_descriptors.py" or can_refuse_descriptors()]
)
def test_example_prints_what_it_promises(
    name: str, backend: BackendUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    example: dict[str, Any] = runpy.run_path(str(ROOT / "examples" / name))
    backend.run(example["main"])
    assert capsys.readouterr().out == OUTPUT[name]


@pytest.mark.parametrize("name", OUTPUT_OF_PROGRAMS)
def test_program_prints_what_it_promises(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert capsys.readouterr().out == OUTPUT_OF_PROGRAMS[name]


def test_first_server_answers_and_ends(
    backend: BackendUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    example: dict[str, Any] = runpy.run_path(str(ROOT / "examples" / "server.py"))

    async def talk() -> None:
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(example["main"])
            await penstock.wait_all_tasks_blocked()
            port = int(capsys.readouterr().out.split()[-1])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"hello\n")
                with client.makefile("rb") as answers:
                    assert await penstock.to_thread.run_sync(answers.readline) == b"HELLO\n"
            signal.raise_signal(signal.SIGTERM)

    backend.run(talk)
    assert capsys.readouterr().out == "ending, because of SIGTERM\n"


def test_first_server_is_tested_under_pytest() -> None:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "examples/test_server.py")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout  # on asyncio and on Trio


def test_program_of_anyios_changes_its_imports_alone() -> None:
    before, after = (
        (ROOT / "examples" / "migrating" / name).read_text(encoding="utf-8")
        for name in ("from_anyio.py", "service.py")
    )
    assert before.replace("anyio", "penstock") == after


#: The documents that show programs, and which.  The others show none.
SHOWN: dict[str, set[str]] = {
    "README.md": {"hello.py"},
    "SECURITY.md": {"no_descriptors.py"},
    "docs/files.md": {"files.py", "signals.py"},
    "docs/install.md": {"server.py"},
    "docs/interop.md": {
        "interop/anyio_memory.py",
        "interop/asyncio_streams.py",
        "interop/http_pool.py",
        "interop/trio_streams.py",
    },
    "docs/migrating.md": {
        "migrating/from_anyio.py",
        "migrating/from_asyncio.py",
        "migrating/from_trio.py",
        "migrating/service.py",
    },
    "docs/sockets.md": {"serving.py", "udp.py", "unix.py"},
    "docs/stream-shapes.md": {"broadcast.py", "framed.py"},
    "docs/streams.md": {"buffered.py", "memory.py", "tcp.py"},
    "docs/tasks.md": {"synchronization.py", "tasks.py", "timeouts.py"},
    "docs/testing.md": {"checking.py", "test_server.py", "testing.py"},
    "docs/tls.md": {"starttls.py", "tls.py", "tls_reload.py", "tls_resume.py"},
}
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder, pattern in (
        (ROOT, "*.md"),
        (ROOT / "docs", "**/*.md"),
        (ROOT / "benchmarks", "README.md"),
        (ROOT / "tests", "*/README.md"),
    )
    for path in folder.glob(pattern)
    if "_build" not in path.parts
)
BLOCK = re.compile(r"^ *(```+|~~~+)(.*)\n((?:.*\n)*?) *\1$", re.MULTILINE)
#: What begins a line of Python, and no line of a shell, of a diagram or of reStructuredText.
PYTHON = re.compile(
    r"^ *(?:>>> |@\w|(?:async |await |class |def |from \w+ import |import |print\(|return\b)"
    r"|(?:with|for|while|if|try|else|except)\b.*:$|\w+ = )",
    re.MULTILINE,
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_shows_the_example_as_it_is(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [code for _, kind, code in BLOCK.findall(text) if kind == "python"]
    examples = sorted(SHOWN.get(document, ()))
    assert sorted(blocks) == sorted(
        (ROOT / "examples" / name).read_text(encoding="utf-8") for name in examples
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_has_no_other_python(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    others = [code for _, kind, code in BLOCK.findall(text) if kind != "python"]
    # A block is also what is set in by four spaces; in a list, that is its text.
    others += re.findall(r"(?<=\n)\n((?: {4}.*\n)+)", BLOCK.sub("", text))
    assert [code for code in others if PYTHON.search(code)] == []


def headings(path: Path) -> set[str]:
    """Return the anchors of a document, as GitHub and Sphinx make them of its headings."""
    text = path.read_text(encoding="utf-8")
    if include := re.match(r"```{include} (\S+)", text):
        return headings(path.parent / include[1])
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_of_document_lead_somewhere(document: str) -> None:
    path = ROOT / document
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)", text):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert broken == []
