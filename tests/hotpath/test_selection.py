"""Every build cell and every import cell of ``PENSTOCK_HOTPATH``, each in a process of its own.

The builds run in copies of the source tree.  One of them compiles everything, from the sdist; the
others find that work done, or meet a compiler that fails at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a distribution is made from.  A checkout may hold much more: environments, old builds.
SOURCES = (
    *("setup.py", "pyproject.toml", "MANIFEST.in", "src", "ext", "tests", "docs", "examples"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks"),
)
LEFTOVERS = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "*.egg-info", ".*")
EXTENSION = EXTENSION_SUFFIXES[0]
SHOW = "import penstock; from penstock import _hotpath; print(penstock.IMPLEMENTATION, _hotpath.{})"


def environment(mode: str | None, **more: str) -> dict[str, str]:
    """Return this process's environment with ``PENSTOCK_HOTPATH`` set to ``mode``."""
    ours = ("PENSTOCK_HOTPATH", "PENSTOCK_DEBUG", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    return env | more if mode is None else env | more | {"PENSTOCK_HOTPATH": mode}


def run(*arguments: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )


def build(
    tree: Path, mode: str | None, out: Path, **more: str
) -> tuple[Path | None, subprocess.CompletedProcess[str]]:
    """Build a wheel in ``tree``; return it, or None if that failed."""
    done = run(
        *("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir"),
        *("--no-index", "--disable-pip-version-check", "--wheel-dir", out, "."),
        cwd=tree,
        env=environment(mode, **more),
    )
    wheels = list(out.glob("*.whl"))
    assert len(wheels) == (0 if done.returncode else 1), done.stdout + done.stderr
    return (wheels[0] if wheels else None), done


def unpack(wheel: Path, out: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out)
    return out


def extensions(directory: Path) -> set[str]:
    """Return the stems of the extension modules below ``directory``."""
    return {path.name.partition(".")[0] for path in directory.rglob(f"*{EXTENSION}")}


def load(
    installed: Path, mode: str | None, show: str = "REASON"
) -> subprocess.CompletedProcess[str]:
    """Import penstock from ``installed`` and print what runs, and one attribute of _hotpath."""
    env = environment(mode, PYTHONPATH=str(installed))
    return run("-c", SHOW.format(show), cwd=installed, env=env)


@pytest.fixture(scope="session")
def kernels() -> set[str]:
    """The names of the modules that are to be compiled."""
    return {path.stem for path in (ROOT / "ext").rglob("*.pyx")}


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, unpacked."""
    tree = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=LEFTOVERS)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, tree)
    done = run("setup.py", "-q", "sdist", cwd=tree, env=environment(None))
    assert done.returncode == 0, done.stderr
    out = tmp_path_factory.mktemp("sdist")
    (archive,) = (tree / "dist").glob("*.tar.gz")
    # As a command: before 3.11.4 extractall() has no filter, and later it warns without one.
    unpacking = run("-m", "tarfile", "-e", archive, out, cwd=out, env=environment(None))
    assert unpacking.returncode == 0, unpacking.stderr
    (unpacked,) = out.iterdir()
    return unpacked


@pytest.fixture(scope="session")
def sdist_files(sdist: Path) -> set[str]:
    """The files of the sdist as it came; building in it adds others."""
    return {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def compiled_wheel(
    sdist: Path, sdist_files: set[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The wheel of ``PENSTOCK_HOTPATH=compiled``: the one build that really compiles."""
    wheel, done = build(sdist, "compiled", tmp_path_factory.mktemp("compiled"))
    assert wheel is not None, done.stdout + done.stderr
    return wheel


@pytest.fixture
def built(compiled_wheel: Path, tmp_path: Path) -> Path:
    """An install with all extension modules."""
    return unpack(compiled_wheel, tmp_path / "built")


@pytest.fixture
def not_built(built: Path) -> Path:
    for path in built.rglob(f"*{EXTENSION}"):
        path.unlink()
    return built


@pytest.fixture
def partly_built(built: Path, kernels: set[str]) -> Path:
    next(built.rglob(f"{max(kernels)}*{EXTENSION}")).unlink()
    return built


@pytest.fixture
def broken(built: Path, kernels: set[str]) -> Path:
    next(built.rglob(f"{max(kernels)}*{EXTENSION}")).write_bytes(b"not a shared object")
    return built


@pytest.fixture
def no_compiler(compiled_wheel: Path, sdist: Path, tmp_path: Path) -> Path:
    """A source tree in which nothing is compiled yet; Cython's part is done, to save time."""
    tree = tmp_path / "tree"
    built = shutil.ignore_patterns("lib*", "temp*", "bdist*", "*.so")
    return Path(shutil.copytree(sdist, tree, ignore=built))


def failing_compiler() -> str:
    command = shutil.which("false")
    assert command is not None
    return command


# -- building ----------------------------------------------------------------------------------


def test_sdist_holds_sources_and_nothing_generated(sdist_files: set[str]) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ext").rglob("*")
        if path.suffix in (".pyx", ".pxd", ".h")
    }
    assert ours <= sdist_files
    assert {"setup.py", "pyproject.toml", "src/penstock/_compiled/__init__.pyi"} <= sdist_files
    generated = (".c", ".so", ".pyd", ".pyc", ".html")
    assert not [
        name
        for name in sdist_files
        if name.endswith(generated) and not name.startswith(("benchmarks/", "tests/"))
    ]
    assert not [name for name in sdist_files if name.startswith("build/")]


def test_wheel_built_with_compiler_holds_no_sources(
    compiled_wheel: Path, kernels: set[str]
) -> None:
    names = zipfile.ZipFile(compiled_wheel).namelist()
    suffixes = {Path(name).suffix for name in names if name.startswith("penstock/")}
    assert suffixes == {".py", ".pyi", ".typed", Path(EXTENSION).suffix}
    assert len([name for name in names if name.endswith(EXTENSION)]) == len(kernels)


@pytest.mark.parametrize("mode", [None, "auto", ""])
def test_build_auto_with_compiler_compiles(
    mode: str | None, compiled_wheel: Path, sdist: Path, kernels: set[str], tmp_path: Path
) -> None:
    wheel, _ = build(sdist, mode, tmp_path)
    assert wheel is not None
    assert wheel.name == compiled_wheel.name
    assert extensions(unpack(wheel, tmp_path / "unpacked")) == kernels


def test_build_pure_with_compiler_compiles_nothing(
    compiled_wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    wheel, _ = build(sdist, "pure", tmp_path)
    assert wheel is not None
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not extensions(unpack(wheel, tmp_path / "unpacked"))


def test_build_auto_without_compiler_is_a_working_pure_install(
    no_compiler: Path, tmp_path: Path
) -> None:
    wheel, _ = build(no_compiler, None, tmp_path, CC=failing_compiler())
    assert wheel is not None
    installed = unpack(wheel, tmp_path / "unpacked")
    assert not extensions(installed)
    done = load(installed, None)
    assert done.stdout.startswith("pure the extension module penstock._compiled."), done.stderr
    assert "was not built: no C compiler" in done.stdout


def test_build_compiled_without_compiler_fails(no_compiler: Path, tmp_path: Path) -> None:
    wheel, done = build(no_compiler, "compiled", tmp_path, CC=failing_compiler())
    assert wheel is None
    assert failing_compiler() in done.stdout + done.stderr


def test_build_pure_without_compiler_does_not_ask_for_one(
    no_compiler: Path, tmp_path: Path
) -> None:
    wheel, _ = build(no_compiler, "pure", tmp_path, CC=failing_compiler())
    assert wheel is not None
    assert wheel.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("compiler", ["cc", "false"])
def test_build_unknown_mode_fails(compiler: str, no_compiler: Path, tmp_path: Path) -> None:
    wheel, done = build(no_compiler, "fast", tmp_path, CC=compiler)
    assert wheel is None
    message = "PENSTOCK_HOTPATH must be 'auto', 'compiled' or 'pure', not 'fast'"
    assert message in done.stdout + done.stderr


def test_build_with_other_settings_compiles_again(no_compiler: Path, kernels: set[str]) -> None:
    for source in no_compiler.rglob("*.pyx"):
        if source.stem != "budget":  # one module that needs no other will do
            source.unlink()
    command = ("setup.py", "-q", "build_ext", "--inplace")
    contents = []
    for debug in ("0", "0", "1", "0"):
        done = run(*command, cwd=no_compiler, env=environment("compiled", PENSTOCK_DEBUG=debug))
        assert done.returncode == 0, done.stderr
        (module,) = (no_compiler / "src").rglob(f"budget*{EXTENSION}")
        contents.append((module.stat().st_mtime_ns, module.stat().st_size))
    first, again, debug_build, release = contents
    assert first == again
    assert debug_build[1] != first[1]
    assert release[1] == first[1]


# -- importing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, "", "auto", "compiled"])
def test_import_built_is_compiled(mode: str | None, built: Path) -> None:
    done = load(built, mode, "ReceiveBuffer.__module__")
    assert done.stdout.split() == ["compiled", "penstock._compiled.buffer"], done.stderr


def test_import_built_pure_on_request(built: Path) -> None:
    done = load(built, "pure", "ReceiveBuffer.__module__")
    assert done.stdout.split() == ["pure", "penstock._pure.buffer"], done.stderr


@pytest.mark.parametrize("state", ["not_built", "partly_built"])
@pytest.mark.parametrize("mode", [None, "", "auto", "pure"])
def test_import_incomplete_is_all_pure(
    mode: str | None, state: str, request: pytest.FixtureRequest
) -> None:
    done = load(request.getfixturevalue(state), mode, "ReceiveBuffer.__module__")
    assert done.stdout.split() == ["pure", "penstock._pure.buffer"], done.stderr


@pytest.mark.parametrize("state", ["not_built", "partly_built"])
def test_import_incomplete_compiled_on_request_is_an_error(
    state: str, request: pytest.FixtureRequest
) -> None:
    done = load(request.getfixturevalue(state), "compiled")
    assert done.returncode == 1
    assert "ImportError: PENSTOCK_HOTPATH=compiled asks for the compiled hot path" in done.stderr


@pytest.mark.parametrize("mode", [None, "", "auto", "compiled"])
def test_import_broken_extension_is_an_error(mode: str | None, broken: Path) -> None:
    done = load(broken, mode)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "exists but does not load: reinstall penstock" in done.stderr


def test_import_broken_extension_pure_on_request(broken: Path) -> None:
    assert load(broken, "pure").stdout == "pure PENSTOCK_HOTPATH=pure asks for it\n"


@pytest.mark.parametrize("state", ["built", "not_built", "partly_built", "broken"])
def test_import_unknown_mode_is_an_error(state: str, request: pytest.FixtureRequest) -> None:
    done = load(request.getfixturevalue(state), "fast")
    assert done.returncode == 1
    message = "ImportError: PENSTOCK_HOTPATH must be 'auto', 'compiled' or 'pure', not 'fast'"
    assert message in done.stderr
