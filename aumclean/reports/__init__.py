"""Renderers: a verdict in, text or bytes out. Each format is a file of its own and touches no disk.

`write` is the exception: it puts a run's own files in their places.
"""
