"""The one place that chooses between the compiled and the pure hot path.

``PENSTOCK_HOTPATH`` decides: ``compiled`` requires the extension modules, ``pure`` ignores them,
unset or ``auto`` takes the extension modules if they were built.  Everybody else imports the
kernels from here and never from ``_pure`` or ``_compiled``.
"""

import os
from typing import TYPE_CHECKING

__all__ = (
    "IMPLEMENTATION",
    "NOTHING",
    "REASON",
    "ItemQueue",
    "Poller",
    "ReadyBudget",
    "ReceiveBuffer",
    "Registration",
    "TrioProbe",
)

_requested = os.environ.get("PENSTOCK_HOTPATH") or "auto"
if _requested not in ("auto", "compiled", "pure"):
    raise ImportError(f"PENSTOCK_HOTPATH must be 'auto', 'compiled' or 'pure', not {_requested!r}")

#: Why this implementation runs, for people: ``python -m penstock info`` prints it.
REASON = "the extension modules are built"

if TYPE_CHECKING or _requested == "pure":
    from penstock import _pure as _twin

    REASON = "PENSTOCK_HOTPATH=pure asks for it"
else:
    try:
        from penstock import _compiled as _twin
    except ModuleNotFoundError as exc:
        # Only "was never built" means fall back.  A module that exists and fails to load
        # (wrong ABI, undefined symbol) is a broken install: let it show.
        if not (exc.name or "").startswith("penstock._compiled."):
            raise
        _missing = (
            f"the extension module {exc.name} was not built: no C compiler or no Python headers "
            "at install time, or PENSTOCK_HOTPATH=pure then; an install with "
            "PENSTOCK_HOTPATH=compiled shows the compiler's error"
        )
        if _requested == "compiled":
            raise ImportError(
                f"PENSTOCK_HOTPATH=compiled asks for the compiled hot path, but {_missing}",
                name=exc.name,
            ) from exc
        from penstock import _pure as _twin

        REASON = _missing
    except ImportError as exc:
        exc.add_note(
            "An extension module of penstock exists but does not load: reinstall penstock, "
            "or set PENSTOCK_HOTPATH=pure."
        )
        raise

#: ``"compiled"`` or ``"pure"``.
IMPLEMENTATION: str = _twin.__name__.removeprefix("penstock._")
NOTHING = _twin.NOTHING
ItemQueue = _twin.ItemQueue
Poller = _twin.Poller
ReadyBudget = _twin.ReadyBudget
ReceiveBuffer = _twin.ReceiveBuffer
Registration = _twin.Registration
TrioProbe = _twin.TrioProbe
