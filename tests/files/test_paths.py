"""Path: what pathlib.Path has, with await."""

from __future__ import annotations

import copy
import inspect
import os
import pathlib
import pickle
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from slow_files import Gate

import penstock
from penstock import AsyncFile, CapacityLimiter, Path, to_thread
from penstock._fileio.listing import Batches

SYNC = pathlib.Path("/usr/share/doc.d/x.tar.gz")
ASYNC = Path("/usr/share/doc.d/x.tar.gz")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Path:
    (tmp_path / "file").write_text("contents", encoding="utf-8")
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "sub" / "a.py").touch()
    (tmp_path / "sub" / "deep" / "b.py").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    return Path(tmp_path)


def sync(path: Path) -> pathlib.Path:
    return pathlib.Path(path)


def signature_of(cls: type, name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(cls, name)).parameters.values())


# -- the surface -------------------------------------------------------------------------------


def test_nothing_that_pathlib_has_is_missing() -> None:
    # A path is no context manager any more, and never did anything as one.
    missing = set(dir(pathlib.Path)) - set(dir(Path)) - {"__enter__", "__exit__"}
    assert {name for name in missing if not name.startswith("_")} == set()
    assert {name for name in missing if name.endswith("__")} == set()


def test_nothing_is_there_that_pathlib_has_not() -> None:
    ours = {name for name in set(dir(Path)) - set(dir(pathlib.Path)) if not name.startswith("_")}
    assert ours - {"with_segments"} == {"limiter"}


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in dir(pathlib.Path)
        if not name.startswith("_") and callable(getattr(pathlib.Path, name))
    ),
)
def test_method_takes_what_pathlibs_takes(name: str) -> None:
    def parameters(cls: type) -> list[tuple[str, Any, Any]]:
        return [
            (parameter.name, parameter.kind, parameter.default)
            for parameter in signature_of(cls, name)
            if parameter.name not in ("limiter", "self")
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]

    ours, theirs = parameters(Path), parameters(pathlib.Path)
    if any(it.kind is it.VAR_KEYWORD for it in signature_of(pathlib.Path, name)):  # copy, 3.14
        ours = [it for it in ours if it[1] is not inspect.Parameter.KEYWORD_ONLY]
    assert ours == theirs


# -- pure paths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["parts", "drive", "root", "anchor", "name", "suffix", "suffixes", "stem"]
)
def test_part_is_that_of_pathlib(name: str) -> None:
    assert getattr(ASYNC, name) == getattr(SYNC, name)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.parent,
        lambda path: path.parents[1],
        lambda path: path / "x",
        lambda path: path / pathlib.Path("x"),
        lambda path: path / Path("x"),
        lambda path: path / "/x",
        lambda path: "x" / path,
        lambda path: "x" / path.relative_to("/usr"),
        lambda path: path.joinpath("x", Path("y")),
        lambda path: path.with_name("y"),
        lambda path: path.with_stem("y"),
        lambda path: path.with_suffix(".py"),
        lambda path: path.relative_to(type(path)("/usr")),
        lambda path: type(path)(),
        lambda path: type(path)("a", Path("b"), pathlib.Path("c")),
        copy.copy,
        copy.deepcopy,
        lambda path: pickle.loads(pickle.dumps(path)),
    ],
)
def test_path_that_is_made_is_ours_and_the_same(make: Callable[[Any], Any]) -> None:
    path = make(ASYNC)
    assert type(path) is Path
    assert path == make(SYNC)


@pytest.mark.parametrize(
    "ask",
    [
        str,
        bytes,
        hash,
        os.fspath,
        lambda path: f"{path}",
        lambda path: path.as_posix(),
        lambda path: path.as_uri(),
        lambda path: path.is_absolute(),
        lambda path: path.is_relative_to("/usr"),
        lambda path: path.is_relative_to(Path("/etc")),
        lambda path: path.match("*.gz"),
        lambda path: path.match("x/*.gz"),
    ],
)
def test_answer_is_that_of_pathlib(ask: Callable[[Any], Any]) -> None:
    assert ask(ASYNC) == ask(SYNC)


@pytest.mark.parametrize(
    "fail",
    [
        lambda path: path.with_name(""),
        lambda path: path.with_suffix("py"),
        lambda path: path.relative_to("/etc"),
        lambda path: path.relative_to("/usr").as_uri(),
        lambda path: path / 5,
        lambda path: 5 / path,
        lambda path: path < "x",
        lambda path: type(path)(5),
    ],
)
def test_error_is_that_of_pathlib(fail: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        fail(SYNC)
    with pytest.raises(expected.type):
        fail(ASYNC)


def test_paths_are_compared_and_ordered_with_both_kinds() -> None:
    for other in (Path, pathlib.Path):
        assert Path("a") == other("a")
        assert other("a") == Path("a")
        assert Path("a") != other("b")
        assert Path("a") < other("b")
        assert other("a") < Path("b")
        assert Path("a") <= other("a")
        assert Path("b") > other("a")
        assert Path("b") >= other("b")
    assert Path("a") != "a"
    assert len({Path("a"), pathlib.Path("a"), Path("b")}) == 2
    assert sorted([Path("b"), Path("a")]) == [Path("a"), Path("b")]


def test_path_is_shown_and_is_path_like() -> None:
    assert repr(Path("a/b")) == "Path('a/b')"
    assert isinstance(Path(), os.PathLike)
    assert issubclass(Path, os.PathLike)


def test_path_fits_a_pattern() -> None:
    match ASYNC:
        case Path(suffix=".gz", name=name):
            assert name == "x.tar.gz"
        case _:
            raise AssertionError


if sys.version_info < (3, 15):

    @pytest.mark.filterwarnings("ignore:.*is_reserved:DeprecationWarning")
    def test_no_path_is_reserved_here() -> None:
        assert not Path("nul").is_reserved()


def test_subclass_stays_what_it_is_and_may_pass_things_on() -> None:
    class Labelled(Path):
        label = "none"

        def with_segments(self, *pathsegments: Any) -> Labelled:
            path = type(self)(*pathsegments)
            path.label = self.label
            return path

    path = Labelled("a/b")
    path.label = "red"
    for made in (path / "c", "c" / path, path.parent, path.parents[0], path.with_name("x")):
        assert type(made) is Labelled
        assert made.label == "red"


if sys.version_info >= (3, 12):

    def test_walking_up_and_case() -> None:
        assert ASYNC.relative_to("/etc", walk_up=True) == SYNC.relative_to("/etc", walk_up=True)
        assert ASYNC.match("*.GZ", case_sensitive=False)
        assert not ASYNC.match("*.GZ", case_sensitive=True)


if sys.version_info >= (3, 13):

    def test_newest_names() -> None:
        assert Path.from_uri("file:///a/b") == pathlib.Path("/a/b")
        assert ASYNC.full_match("/usr/**/*.gz")
        assert ASYNC.full_match(Path("/usr/**/*.GZ"), case_sensitive=False)
        assert Path.parser is os.path
        limiter = CapacityLimiter(1)
        assert Path.from_uri("file:///a/b", limiter=limiter).limiter is limiter


# -- asking the file system --------------------------------------------------------------------


QUESTIONS = [
    *("exists", "is_dir", "is_file", "is_symlink", "is_mount", "is_socket", "is_fifo"),
    *("is_block_device", "is_char_device", "lstat", "stat", "owner", "group", "readlink"),
    *("resolve", "absolute", "expanduser"),
    *(["is_junction"] if sys.version_info >= (3, 12) else []),
]


@pytest.mark.parametrize("name", QUESTIONS)
async def test_question_is_answered_as_pathlib_does(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [folder / name for name in ("file", "sub", "link", "dangling", "missing")]
    subjects += [Path("/dev/null"), Path("/"), Path("~"), Path("x")]
    with socket.socket(socket.AF_UNIX) as sock:
        monkeypatch.chdir(folder)
        sock.bind("socket")
        os.mkfifo(folder / "fifo")
        subjects += [folder / "socket", folder / "fifo"]
        for path in subjects:
            try:
                expected = getattr(sync(path), name)()
            except OSError as exc:
                with pytest.raises(type(exc)):
                    await getattr(path, name)()
            else:
                answer = await getattr(path, name)()
                assert answer == expected
                if isinstance(expected, pathlib.Path):
                    assert type(answer) is Path


async def test_links_are_followed_or_not(folder: Path) -> None:
    link = folder / "link"
    assert stat.S_ISLNK((await link.stat(follow_symlinks=False)).st_mode)
    assert await link.samefile(folder / "file")
    assert await link.samefile(str(folder / "file"))
    assert not await link.samefile(sync(folder / "sub"))
    with pytest.raises(FileNotFoundError):
        await (folder / "dangling").resolve(strict=True)


if sys.version_info >= (3, 12):

    async def test_link_that_leads_nowhere_exists(folder: Path) -> None:
        assert await (folder / "dangling").exists(follow_symlinks=False)


if sys.version_info >= (3, 13):

    async def test_kind_of_a_link_itself(folder: Path) -> None:
        link = folder / "link"
        assert not await link.is_file(follow_symlinks=False)
        assert not await link.is_dir(follow_symlinks=False)
        assert await link.owner(follow_symlinks=False) == sync(link).owner()
        assert await link.group(follow_symlinks=False) == sync(link).group()


async def test_current_and_home_directory() -> None:
    limiter = CapacityLimiter(1)
    for mine, theirs in ((Path.cwd, pathlib.Path.cwd), (Path.home, pathlib.Path.home)):
        path = await mine(limiter=limiter)
        assert type(path) is Path
        assert path == theirs()
        assert path.limiter is limiter


async def test_cancelled_question_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(pathlib.Path, "is_socket", lambda self: gate.wait())
    async with penstock.create_task_group() as tg:
        tg.start_soon(folder.is_socket)
        await gate.reached()
        tg.cancel_scope.cancel()
    gate.open()


# -- changing the file system ------------------------------------------------------------------


async def test_contents_are_read_and_written(folder: Path) -> None:
    path = folder / "file"
    assert await path.read_text() == "contents"
    assert await path.write_text("é\n", "latin-1", "strict", "\r\n") == 2
    assert await path.read_bytes() == b"\xe9\r\n"
    assert await path.read_text(encoding="latin-1") == "é\n"
    assert await path.write_bytes(memoryview(b"ab")) == 2
    assert sync(path).read_bytes() == b"ab"


if sys.version_info >= (3, 13):

    async def test_text_is_read_with_its_line_ends(folder: Path) -> None:
        await (folder / "file").write_bytes(b"a\r\n")
        assert await (folder / "file").read_text(newline="") == "a\r\n"


async def test_file_is_opened(folder: Path) -> None:
    limiter = CapacityLimiter(1)
    async with await Path(folder / "file", limiter=limiter).open("rb", 0) as file:
        assert isinstance(file, AsyncFile)
        assert file.limiter is limiter
        assert await file.read() == b"contents"
    async with await (folder / "new").open("w", encoding="utf-16") as text:
        await text.write("x")
    assert sync(folder / "new").read_text(encoding="utf-16") == "x"
    with pytest.raises(IsADirectoryError):
        await folder.open()


async def test_entries_come_and_go(folder: Path) -> None:
    made = folder / "a" / "b"
    with pytest.raises(FileNotFoundError):
        await made.mkdir()
    await made.mkdir(0o700, parents=True)
    assert stat.S_IMODE(sync(made).stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        await made.mkdir()
    await made.mkdir(exist_ok=True)
    await made.chmod(0o750)
    assert stat.S_IMODE(sync(made).stat().st_mode) == 0o750
    await made.rmdir()
    assert not sync(made).exists()

    file = folder / "new"
    await file.touch(0o600)
    assert stat.S_IMODE(sync(file).stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        await file.touch(exist_ok=False)
    await file.unlink()
    await file.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        await file.unlink()


async def test_entries_are_renamed(folder: Path) -> None:
    moved = await (folder / "file").rename(folder / "moved")
    assert type(moved) is Path
    assert moved == folder / "moved"
    assert sync(moved).read_text() == "contents"
    again = await moved.replace(str(folder / "sub" / "a.py"))
    assert type(again) is Path
    assert sync(again).read_text() == "contents"


if sys.version_info >= (3, 14):

    async def test_files_are_copied_and_moved(folder: Path) -> None:
        copied = await (folder / "file").copy(folder / "copied")
        assert copied == folder / "copied"
        assert await copied.read_text(encoding="utf-8") == "contents"
        assert await (folder / "link").copy(folder / "other", follow_symlinks=False)
        assert await (folder / "other").is_symlink()
        assert await copied.copy_into(folder / "sub") == folder / "sub" / "copied"
        moved = await copied.move(folder / "moved")
        assert moved == folder / "moved"
        assert not await copied.exists()
        assert await moved.move_into(folder / "sub") == folder / "sub" / "moved"
        assert not await moved.exists()

    async def test_directories_are_copied_with_what_is_in_them(folder: Path) -> None:
        tree = await (folder / "sub").copy(folder / "tree", preserve_metadata=True)
        assert type(tree) is Path
        assert await (tree / "deep" / "b.py").is_file()

    def test_info_knows_the_kind(tmp_path: pathlib.Path) -> None:
        info = Path(tmp_path).info
        assert info.exists()
        assert info.is_dir()
        assert not info.is_symlink()


async def test_links_are_made(folder: Path) -> None:
    symbolic, hard = folder / "symbolic", folder / "hard"
    await symbolic.symlink_to(folder / "sub", target_is_directory=True)
    assert sync(symbolic).readlink() == sync(folder / "sub")
    await hard.hardlink_to(folder / "file")
    assert sync(hard).samefile(sync(folder / "file"))
    if sys.version_info < (3, 12):
        with pytest.warns(DeprecationWarning, match="link_to"):
            await (folder / "file").link_to(folder / "harder")
        assert sync(folder / "harder").samefile(sync(folder / "file"))
    with pytest.raises(NotImplementedError):
        await symbolic.lchmod(0o600)


# -- listing -----------------------------------------------------------------------------------


async def every(paths: AsyncIterator[Any]) -> list[Any]:
    found = [path async for path in paths]
    assert {type(path) for path in found} <= {Path}
    return sorted(found)


async def test_directories_are_listed(folder: Path) -> None:
    assert await every(folder.iterdir()) == sorted(sync(folder).iterdir())
    for pattern in ("*", "*.py", "*/*.py", "nothing*", "**/*.py"):
        assert await every(folder.glob(pattern)) == sorted(sync(folder).glob(pattern))
        assert await every(folder.rglob(pattern)) == sorted(sync(folder).rglob(pattern))
    with pytest.raises(ValueError, match="Unacceptable pattern"):
        await anext(folder.glob(""))


async def test_what_cannot_be_listed_is_an_error(folder: Path) -> None:
    for path, error in (
        (folder / "missing", FileNotFoundError),
        (folder / "file", NotADirectoryError),
    ):
        paths = path.iterdir()
        with pytest.raises(error):
            await anext(paths)
        with pytest.raises(StopAsyncIteration):
            await anext(paths)


if sys.version_info >= (3, 12):

    async def test_case_is_minded_or_not(folder: Path) -> None:
        assert await every(folder.rglob("*.PY", case_sensitive=True)) == []
        assert len(await every(folder.rglob("*.PY", case_sensitive=False))) == 2
        assert len(await every(folder.glob("SUB/*.py", case_sensitive=False))) == 1


if sys.version_info >= (3, 13):

    async def test_links_are_walked_or_not(folder: Path) -> None:
        (sync(folder) / "loop").symlink_to("sub")
        assert len(await every(folder.glob("**/*.py", recurse_symlinks=True))) == 4
        assert len(await every(folder.rglob(Path("*.py"), recurse_symlinks=False))) == 2


if sys.version_info >= (3, 12):

    @pytest.mark.parametrize("top_down", [True, False])
    async def test_tree_is_walked(folder: Path, top_down: bool) -> None:
        found = [entry async for entry in folder.walk(top_down)]
        assert found == list(sync(folder).walk(top_down))
        assert {type(path) for path, _, _ in found} == {Path}


if sys.version_info >= (3, 12):

    async def test_walk_skips_what_is_taken_out(folder: Path) -> None:
        walked = []
        async for path, folders, _ in folder.walk():
            walked.append(path.name)
            folders[:] = [name for name in folders if name != "deep"]
        assert walked == [folder.name, "sub"]


if sys.version_info >= (3, 12):

    async def test_walk_tells_of_errors(folder: Path) -> None:
        errors: list[OSError] = []
        assert [entry async for entry in (folder / "missing").walk(on_error=errors.append)] == []
        assert [type(error) for error in errors] == [FileNotFoundError]


# -- batches -----------------------------------------------------------------------------------


async def test_batches_are_bounded_and_in_order() -> None:
    threads: list[int] = []
    taken = 0

    def begin() -> Iterator[int]:
        nonlocal taken
        for number in range(25):
            taken += 1
            threads.append(threading.get_ident())
            yield number

    batches = Batches(begin, None, 10)
    assert await anext(batches) == 0
    assert taken <= 10
    assert [number async for number in batches] == list(range(1, 25))
    assert threading.main_thread().ident not in threads
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_first_item_does_not_wait_for_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock._fileio.listing.SECONDS", 0)
    gate = Gate()

    def begin() -> Iterator[int]:
        yield 1
        gate.wait()
        yield 2

    batches = Batches(begin, None)
    assert await anext(batches) == 1
    gate.open()
    assert await anext(batches) == 2


async def test_items_before_an_error_come_first() -> None:
    def begin() -> Iterator[int]:
        yield 1
        raise LookupError

    batches = Batches(begin, None)
    assert await anext(batches) == 1
    with pytest.raises(LookupError):
        await anext(batches)
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_cancelled_step_loses_nothing() -> None:
    gate = Gate()
    found: list[int] = []

    def begin() -> Iterator[int]:
        gate.wait()
        yield from range(5)

    async def take_all() -> None:
        found.extend([number async for number in batches])

    batches = Batches(begin, None)
    async with penstock.create_task_group() as tg:
        tg.start_soon(anext, batches)
        await gate.reached()
        tg.cancel_scope.cancel()
    async with penstock.create_task_group() as tg:
        tg.start_soon(take_all)  # while the abandoned thread is still inside
        for _ in range(20):  # long enough for another thread
            await to_thread.run_sync(int)
        gate.open()
    assert found == list(range(5))


async def test_pending_cancellation_takes_no_item(folder: Path) -> None:
    paths = folder.iterdir()
    first = await anext(paths)
    with penstock.CancelScope() as scope:
        scope.cancel()
        await anext(paths)
    assert scope.cancelled_caught
    rest = [path async for path in paths]
    assert sorted([first, *rest]) == sorted(sync(folder).iterdir())


# -- limiters ----------------------------------------------------------------------------------


async def test_limiter_goes_with_what_is_made(folder: Path) -> None:
    limiter = CapacityLimiter(1)
    path = Path(folder, limiter=limiter)
    assert path.limiter is limiter
    made = [path / "x", path.parent, path.with_name("x"), await path.resolve()]
    made += [await anext(path.iterdir()), await (path / "file").rename(path / "moved")]
    assert {id(path.limiter) for path in made} == {id(limiter)}
    async with limiter:
        for call in (path.exists, path.read_bytes, path.open, path.iterdir().__anext__):
            with penstock.CancelScope() as scope:
                async with penstock.create_task_group() as tg:
                    tg.start_soon(call)
                    await penstock.wait_all_tasks_blocked()
                    assert limiter.statistics().tasks_waiting == 1
                    scope.cancel()


def test_what_is_no_limiter_is_an_error() -> None:
    with pytest.raises(TypeError, match="limiter must be a CapacityLimiter or None, not 5"):
        Path("x", limiter=5)  # type: ignore[arg-type]
