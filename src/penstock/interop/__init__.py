"""Adapters to the streams of other libraries; each is imported by its own name."""
