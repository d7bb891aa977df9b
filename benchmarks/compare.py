"""Every workload, and how the figures stand beside the targets."""

from peers.runner import main
from peers.workloads import WORKLOADS

if __name__ == "__main__":
    raise SystemExit(main(*WORKLOADS))
