"""What the tests of all checks share: how one check is picked out of its table."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.testing._checking import Check
from penstock.testing._suites import Suite


def all_checks(suite: Suite) -> list[Check]:
    """Return all checks of one kind of stream."""
    return [
        *suite.one_way,
        *suite.one_way_clogged,
        *suite.both_ways,
        *suite.both_ways_clogged,
    ]


def base_names(*tables: Iterable[Check]) -> set[str]:
    """Return the names of all checks, without those of their variants."""
    return {check.name.partition("[")[0] for table in tables for check in table}


def all_but(name: str, *tables: Iterable[Check]) -> set[str]:
    """Return what to leave out so that one check is left."""
    return base_names(*tables) - {name}
