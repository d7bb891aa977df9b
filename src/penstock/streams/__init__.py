"""Streams with a purpose of their own: one kind per module, imported from there."""
