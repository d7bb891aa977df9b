"""All checks of one kind of stream, and how they are run: one way, or both ways."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.testing._check_lines import Line
from penstock.testing._checking import Check, Maker, refuse_unknown, run_checks

__all__ = ("Suite",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The checks of one kind of stream, by what they need."""

    one_way: Sequence[Check] = ()
    #: What needs a pair on which a send waits.
    one_way_clogged: Sequence[Check] = ()
    #: What is about both directions at once.
    both_ways: Sequence[Check] = ()
    both_ways_clogged: Sequence[Check] = ()

    async def check_one_way(
        self,
        maker: Maker,
        clogged_maker: Maker | None,
        line: Callable[[Any, Any], Line],
        *,
        without: Collection[str],
        timeout: float,
    ) -> None:
        """Check streams that go one way.

        Args:
            maker: Makes a pair, the sending end first.
            clogged_maker: Makes one on which a send waits, if there is such a thing.
            line: Makes of a pair what a check is about.
            without: Names of checks to leave out.
            timeout: How long one check may take, in seconds.
        """
        refuse_unknown(without, self.one_way, self.one_way_clogged)
        options: dict[str, Any] = {"about": "one way", "without": without, "timeout": timeout}
        await run_checks(self.one_way, maker, line, **options)
        if clogged_maker is not None:
            await run_checks(self.one_way_clogged, clogged_maker, line, **options)

    async def check_both_ways(
        self,
        maker: Maker,
        clogged_maker: Maker | None,
        line: Callable[[Any, Any], Line],
        *,
        without: Collection[str],
        timeout: float,
    ) -> None:
        """Check streams that go both ways, there and back; the arguments are the same."""
        there_is = (self.one_way, self.one_way_clogged, self.both_ways, self.both_ways_clogged)
        refuse_unknown(without, *there_is)

        def back(near: Any, far: Any) -> Line:
            return line(far, near)

        for about, way in (("there", line), ("back", back)):
            options: dict[str, Any] = {"about": about, "without": without, "timeout": timeout}
            await run_checks((*self.one_way, *self.both_ways), maker, way, **options)
            if clogged_maker is not None:
                clogged = (*self.one_way_clogged, *self.both_ways_clogged)
                await run_checks(clogged, clogged_maker, way, **options)
