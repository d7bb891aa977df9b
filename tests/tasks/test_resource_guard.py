"""Resource guards."""

import pytest

from penstock import BusyResourceError, ResourceGuard


def test_guard_lets_one_in_at_a_time() -> None:
    guard = ResourceGuard()
    for _ in range(2):
        with guard:
            with pytest.raises(BusyResourceError, match="already using this resource"):
                with guard:
                    raise AssertionError
            with pytest.raises(BusyResourceError), guard:
                raise AssertionError


def test_guard_names_what_is_done() -> None:
    guard = ResourceGuard("reading from")
    assert guard.action == "reading from"
    with guard, pytest.raises(BusyResourceError, match="already reading from this resource"):
        with guard:
            raise AssertionError


def test_guard_is_left_by_an_exception() -> None:
    guard = ResourceGuard()
    with pytest.raises(ZeroDivisionError), guard:
        raise ZeroDivisionError
    with guard:
        pass
