"""Sockets at the high level; their functions and types are public at the top of the package."""
