"""What the ready budget promises, asked of each twin in turn."""

import gc
import weakref

import pytest
from fakes import in_thread

KIBIBYTES_256 = 262_144


def spend_all(budget):
    """Return how many operations go ahead."""
    spent = 0
    while budget.spend():
        spent += 1
    budget._check()
    return spent


def test_new_budget_lets_its_size_of_operations_through(twin):
    budget = twin.ReadyBudget(3)
    assert (budget.size, budget.left, budget.exhausted) == (3, 3, False)
    assert spend_all(budget) == 3
    assert (budget.left, budget.exhausted) == (0, True)


def test_size_defaults_to_256(twin):
    assert spend_all(twin.ReadyBudget()) == 256


@pytest.mark.parametrize("size", [0, -1, -(10**30)])
def test_size_below_one_is_an_error_and_changes_nothing(twin, size):
    budget = twin.ReadyBudget(3)
    budget.spend()
    with pytest.raises(ValueError, match=f"must be at least 1, not {size}"):
        budget.resize(size)
    assert (budget.size, budget.left) == (3, 2)


def test_size_that_no_counter_holds_is_an_error_and_changes_nothing(twin):
    budget = twin.ReadyBudget(3)
    with pytest.raises(ValueError, match=f"must be at most .*, not {10**30}"):
        budget.resize(10**30)
    assert (budget.size, budget.left) == (3, 3)


@pytest.mark.parametrize("size", [1.0, "1", None])
def test_size_that_is_no_integer_is_an_error(twin, size):
    with pytest.raises(TypeError, match=f"must be an integer, not {size!r}"):
        twin.ReadyBudget(size)


def test_budget_is_alert_while_held(twin):
    budget = twin.ReadyBudget(1)
    assert not budget.alert
    budget.hold()
    budget.hold()
    budget.release()
    assert budget.alert
    budget.release()
    assert not budget.alert


def test_budget_is_alert_while_its_probe_says_so(twin):
    pending = []
    budget = twin.ReadyBudget(probe=lambda: bool(pending))
    assert budget.alert is False
    pending.append(1)
    assert budget.alert is True
    assert budget.left == 256


def test_resize_refills(twin):
    budget = twin.ReadyBudget(3)
    spend_all(budget)
    budget.resize(5)
    assert budget.size == 5
    assert spend_all(budget) == 5


def test_size_one_declines_every_operation_until_it_is_granted(twin):
    budget = twin.ReadyBudget(1)
    assert not budget.spend()
    assert budget.exhausted
    budget.grant()
    assert spend_all(budget) == 1
    assert budget.exhausted


def test_revoke_takes_back_what_was_granted_and_not_used(twin):
    budget = twin.ReadyBudget(3)
    budget.hold()
    budget.grant()
    budget.revoke()
    assert not budget.spend()
    budget.release()
    assert spend_all(budget) == 3


def test_revoke_leaves_what_was_not_granted(twin):
    budget = twin.ReadyBudget(3)
    budget.revoke()
    assert spend_all(budget) == 3


def test_turn_at_size_one_takes_an_unused_grant_back(twin):
    budget = twin.ReadyBudget(1)
    budget.grant()
    budget.turn()
    assert not budget.spend()
    assert budget.exhausted


def test_turn_refills(twin):
    budget = twin.ReadyBudget(3)
    spend_all(budget)
    budget.turn()
    assert spend_all(budget) == 3


def test_grant_lets_one_operation_through(twin):
    budget = twin.ReadyBudget(3)
    spend_all(budget)
    budget.grant()
    assert spend_all(budget) == 1


def test_grant_adds_nothing_while_operations_are_left(twin):
    budget = twin.ReadyBudget(3)
    budget.grant()
    assert spend_all(budget) == 3


# -- bytes ---------------------------------------------------------------------------------


def test_byte_work_of_256_kib_uses_the_budget_up(twin):
    budget = twin.ReadyBudget(64)
    budget.spend_bytes(KIBIBYTES_256 - 1)
    assert not budget.exhausted
    budget.spend_bytes(1)
    assert budget.exhausted
    assert not budget.spend()
    budget._check()


@pytest.mark.parametrize("renew", ["refill", "turn"])
def test_byte_work_is_counted_anew_after(twin, renew):
    budget = twin.ReadyBudget(64)
    budget.spend_bytes(KIBIBYTES_256 - 1)
    getattr(budget, renew)()
    budget.spend_bytes(KIBIBYTES_256 - 1)
    assert not budget.exhausted


def test_grant_after_byte_work_lets_one_operation_through(twin):
    budget = twin.ReadyBudget(64)
    budget.spend_bytes(KIBIBYTES_256)
    budget.grant()
    assert budget.spend()
    budget.spend_bytes(KIBIBYTES_256 - 1)
    budget._check()


def test_byte_work_while_held_uses_the_stash_up(twin):
    budget = twin.ReadyBudget(64)
    budget.hold()
    budget.spend_bytes(KIBIBYTES_256)
    assert budget.exhausted
    budget._check()


# -- holding -------------------------------------------------------------------------------


def test_hold_declines_and_keeps_what_is_left(twin):
    budget = twin.ReadyBudget(3)
    budget.spend()
    budget.hold()
    budget._check()
    assert not budget.spend()
    assert not budget.exhausted
    budget.release()
    assert spend_all(budget) == 2


def test_hold_twice_needs_two_releases(twin):
    budget = twin.ReadyBudget(3)
    budget.hold()
    budget.hold()
    budget.release()
    assert not budget.spend()
    budget.release()
    assert spend_all(budget) == 3


def test_grants_while_held_come_to_an_end(twin):
    budget = twin.ReadyBudget(3)
    budget.hold()
    for _ in range(3):
        assert not budget.exhausted
        budget.grant()
        assert spend_all(budget) == 1
    assert budget.exhausted


@pytest.mark.parametrize("renew", ["refill", "turn"])
def test_renewing_while_held_goes_on_declining(twin, renew):
    budget = twin.ReadyBudget(3)
    budget.hold()
    getattr(budget, renew)()
    assert not budget.spend()
    budget._check()
    budget.release()
    assert spend_all(budget) == 3


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_resize_while_held_declines_until_released(twin, before, after):
    budget = twin.ReadyBudget(before)
    budget.hold()
    budget.resize(after)
    assert not budget.spend()
    budget._check()
    budget.release()
    budget._check()
    assert budget.left == (after if after > 1 else 0)


# -- threads and probes --------------------------------------------------------------------


def test_spend_in_another_thread_declines_and_takes_nothing(twin):
    budget = twin.ReadyBudget(3)
    assert in_thread(lambda: (budget.foreign, budget.spend())) == (True, False)
    assert not budget.foreign
    assert budget.left == 3


def test_retired_budget_declines_whatever_is_done_to_it(twin):
    budget = twin.ReadyBudget(3)
    assert not budget.retired
    budget.retire()
    for renew in (budget.grant, budget.refill, budget.turn, budget.hold, budget.release):
        renew()
        budget._check()
        assert (budget.retired, budget.foreign, budget.exhausted) == (True, True, True)
        assert (budget.left, budget.spend()) == (0, False)
    budget.resize(5)
    assert (budget.left, budget.spend()) == (0, False)


def test_probe_that_says_yes_declines_and_takes_nothing(twin):
    answers = [True, False]
    budget = twin.ReadyBudget(3, lambda: answers.pop(0))
    assert not budget.spend()
    assert budget.left == 3
    assert budget.spend()
    assert budget.left == 2


def test_probe_is_not_asked_when_nothing_is_left(twin):
    asked = []
    budget = twin.ReadyBudget(1, lambda: asked.append(1))
    assert not budget.spend()
    assert not asked


def test_probe_is_not_asked_in_another_thread(twin):
    asked = []
    budget = twin.ReadyBudget(3, lambda: asked.append(1))
    in_thread(budget.spend)
    assert not asked


def test_probe_that_fails_takes_nothing(twin):
    budget = twin.ReadyBudget(3, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        budget.spend()
    assert budget.left == 3


class SlottedTask:
    __slots__ = ("_cancel_status",)

    def __init__(self, status):
        self._cancel_status = status


class SlottedStatus:
    __slots__ = ("effectively_cancelled",)

    def __init__(self, flag):
        self.effectively_cancelled = flag


class PlainTask:
    def __init__(self, status):
        self._cancel_status = status


class PlainStatus:
    def __init__(self, flag):
        self.effectively_cancelled = flag


@pytest.mark.parametrize("task", [SlottedTask, PlainTask])
@pytest.mark.parametrize("status", [SlottedStatus, PlainStatus])
def test_trio_probe_follows_what_is_there_now(twin, task, status):
    variables = {}
    probe = twin.TrioProbe(variables)
    budget = twin.ReadyBudget(probe=probe)
    assert probe() is budget.alert is True  # nobody there
    for _ in range(2):
        for flag in (False, True, False, 0, 1):
            variables["task"] = task(status(flag))
            assert [probe(), budget.alert, budget.spend()] == [flag, flag, not flag]
        variables["task"]._cancel_status = status(True)
        assert not budget.spend()
        variables["task"]._cancel_status.effectively_cancelled = False
        assert budget.spend()
        del variables["task"]._cancel_status.effectively_cancelled
        assert not budget.spend()
        del variables["task"]._cancel_status
        assert not budget.spend()
        del variables["task"]
        assert not budget.spend()
    assert budget.left == 256 - 8
    budget._check()


def test_trio_probe_is_not_misled_by_objects_of_other_types(twin):
    variables = {}
    probe = twin.TrioProbe(variables)
    for flag in (False, True, False):
        for task in (SlottedTask, PlainTask):
            for status in (PlainStatus, SlottedStatus):
                variables["task"] = task(status(flag))
                assert probe() is flag
                assert probe() is flag


def test_trio_probe_lets_other_errors_out(twin):
    class Status:
        @property
        def effectively_cancelled(self):
            raise ZeroDivisionError

    budget = twin.ReadyBudget(probe=twin.TrioProbe({"task": PlainTask(Status())}))
    with pytest.raises(ZeroDivisionError):
        budget.spend()
    assert budget.left == 256


def test_trio_probe_wants_a_dictionary(twin):
    with pytest.raises(TypeError, match="variables must be a dictionary, not list"):
        twin.TrioProbe([])


def test_trio_probe_that_refers_to_its_budget_is_collected(twin):
    variables = {}
    variables["budget"] = twin.ReadyBudget(probe=twin.TrioProbe(variables))
    variables["gone"] = gone = SlottedSet()
    seen = weakref.ref(gone)
    del variables, gone
    gc.collect()
    assert seen() is None


class SlottedSet(set):
    """Something that can be referred to weakly."""
