"""Run tests on a compiled twin that has AddressSanitizer and UndefinedBehaviorSanitizer built in.

    python scripts/sanitizers.py [TEST ...]

The extension modules are built as they are shipped, and with gcc's sanitizers, from a copy of the
sources and into an environment of their own.  Python itself is as it is, but takes its memory from
the C library, so that every object is a block that the sanitizers know.  What nothing refers to at
the end is a leak, but for what ``LEAKS_OF_PYTHON`` names.  Ends with a non-zero status when a test
fails or a sanitizer finds something, in the processes that tests start as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/hotpath", "tests/streams")
#: Builds the checkout that it is in, which here has no sources.
LEFT_OUT = "tests/hotpath/test_selection.py"
LEFTOVERS = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", ".*", "build", "dist")

SANITIZE = "-fsanitize=address,undefined"
LIBRARIES = ("libasan.so", "libubsan.so")
#: Every module calls both: a build that has ignored the flags would pass everything.
TRACES = (b"__asan_report_load", b"__ubsan_handle")
#: Interned strings are never freed.  So a string that is leaked is not found here.
LEAKS_OF_PYTHON = "leak:PyUnicode_New\nleak:resize_compact\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tests", metavar="TEST", nargs="*", default=TESTS)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        checkout = work / "checkout"
        shutil.copytree(ROOT, checkout, ignore=LEFTOVERS)
        python = build(checkout, work / "environment")
        for room in ("src", "ext"):  # so that nothing else can be imported
            shutil.rmtree(checkout / room)
        failed = run_tests(python, checkout, arguments.tests, work)
        reports = sorted(work.glob("report.*"))
        for report in reports:
            print(f"\n== {report.name}\n{report.read_text()}")
    print(f"{'FAILED' if failed else 'passed'}; {len(reports)} reports of sanitizers")
    sys.exit(1 if failed or reports else 0)


def build(checkout: Path, environment: Path) -> Path:
    """Install the checkout with sanitizers into a new environment; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", ".[test]"],
        check=True,
        cwd=checkout,
        env=os.environ
        | {
            "CFLAGS": f"{SANITIZE} -fno-omit-frame-pointer -g",
            "LDFLAGS": SANITIZE,
            "PENSTOCK_HOTPATH": "compiled",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
    )
    modules = list(environment.glob("lib/*/site-packages/penstock/_compiled/*.so"))
    sources = list(checkout.glob("ext/penstock/_compiled/*.pyx"))
    assert len(modules) == len(sources), modules
    for module in modules:
        contents = module.read_bytes()
        assert all(trace in contents for trace in TRACES), f"{module} is not sanitized"
    return python


def run_tests(python: Path, checkout: Path, tests: list[str], work: Path) -> bool:
    """Run the tests under the sanitizers; return whether one failed.

    AddressSanitizer writes its reports to ``work``, in processes whose stderr a test keeps as well.
    The other one only knows stderr: so pytest must not hold that back, and be gone with it.
    """
    leaks = work / "leaks-of-python"
    leaks.write_text(LEAKS_OF_PYTHON)
    libraries = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in LIBRARIES
    ]
    finished = subprocess.run(
        [python, "-m", "pytest", "--capture=sys", "--ignore", LEFT_OUT, *tests],
        cwd=checkout,
        env=os.environ
        | {
            "LD_PRELOAD": " ".join(libraries),
            "PYTHONMALLOC": "malloc",
            "PENSTOCK_HOTPATH": "compiled",
            "ASAN_OPTIONS": f"detect_leaks=1:log_path={work}/report.address",
            "LSAN_OPTIONS": f"suppressions={leaks}:print_suppressions=0",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        },
    )
    return finished.returncode != 0


if __name__ == "__main__":
    main()
