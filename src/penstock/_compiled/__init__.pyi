# The pure twin is the typed reference for both; tests/hotpath/test_parity.py holds them equal.
from penstock._pure import NOTHING as NOTHING
from penstock._pure import ItemQueue as ItemQueue
from penstock._pure import Poller as Poller
from penstock._pure import ReadyBudget as ReadyBudget
from penstock._pure import ReceiveBuffer as ReceiveBuffer
from penstock._pure import Registration as Registration
from penstock._pure import TrioProbe as TrioProbe
