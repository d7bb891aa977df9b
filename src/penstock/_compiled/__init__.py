"""The compiled twins of the kernels; the extension modules are built beside this file."""

from penstock._compiled.budget import ReadyBudget as ReadyBudget
from penstock._compiled.budget import TrioProbe as TrioProbe
from penstock._compiled.buffer import ReceiveBuffer as ReceiveBuffer
from penstock._compiled.poller import Poller as Poller
from penstock._compiled.queue import NOTHING as NOTHING
from penstock._compiled.queue import ItemQueue as ItemQueue
from penstock._compiled.registration import Registration as Registration
