"""How what an operation costs grows with what it works on: ``python -m benchmarks growth``."""
