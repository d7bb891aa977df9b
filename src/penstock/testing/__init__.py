"""What authors of streams prove theirs with: streams in memory, faults on purpose, checks.

Public names only.  Works on every event loop that penstock runs on, under any test framework.
"""

from penstock.testing._sequencer import Sequencer as Sequencer

__all__ = ("Sequencer",)
