"""penstock beside its peers: ``python -m benchmarks`` in a checkout.  See README.md."""
