"""The pure-Python twins of the kernels: the reference in words and in types for both."""

from penstock._pure.budget import ReadyBudget as ReadyBudget
from penstock._pure.budget import TrioProbe as TrioProbe
from penstock._pure.buffer import ReceiveBuffer as ReceiveBuffer
from penstock._pure.poller import Poller as Poller
from penstock._pure.queue import NOTHING as NOTHING
from penstock._pure.queue import ItemQueue as ItemQueue
from penstock._pure.registration import Registration as Registration
