"""What can be said of the public surface as a whole."""

import inspect
import subprocess
import sys

import pytest

import penstock
from penstock import abc, lowlevel, socket, testing, to_thread
from penstock.streams import broadcast, buffered, file, framed, memory, merge, stapled, text, tls

STREAMS = [broadcast, buffered, file, framed, memory, merge, stapled, text, tls]
PUBLIC = [penstock, abc, lowlevel, socket, testing, to_thread, *STREAMS]


def coroutine_functions():
    for module in PUBLIC:
        for name, member in vars(module).items():
            if name.startswith("_") or name not in getattr(module, "__all__", [name]):
                continue
            if inspect.iscoroutinefunction(member):
                yield f"{module.__name__}.{name}", member
            elif inspect.isclass(member) and member.__module__.startswith("penstock"):
                for method_name, method in inspect.getmembers(member, inspect.iscoroutinefunction):
                    if not method_name.startswith("_"):
                        yield f"{member.__module__}.{name}.{method_name}", method


@pytest.mark.parametrize("name", sorted(dict(coroutine_functions())))
def test_docstring_says_what_a_cancellation_does(name):
    owner = dict(coroutine_functions())[name]
    text = inspect.getdoc(owner)
    if text is None:  # the contract's, which getdoc() finds for methods of a class only
        module, _, path = name.rpartition(".")
        module, _, cls = module.rpartition(".")
        text = inspect.getdoc(getattr(getattr(sys.modules[module], cls), path))
    assert text is not None
    assert "cancel" in text.lower()


def test_modules_are_there_after_a_plain_import():
    program = """if True:
        import penstock
        penstock.to_thread.run_sync, penstock.lowlevel.checkpoint, penstock.abc.TaskGroup
        penstock.socket.AF_INET
    """
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_task_status_is_generic():
    async def serve(*, task_status: abc.TaskStatus[int] = penstock.TASK_STATUS_IGNORED):
        task_status.started(1)

    assert inspect.iscoroutinefunction(serve)
