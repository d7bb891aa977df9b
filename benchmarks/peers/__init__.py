"""Libraries compared on the same workloads, each in processes of its own."""
