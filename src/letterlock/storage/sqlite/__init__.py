"""The queue in a SQLite file: one writer thread, group commit, read by others at any time.

`queue` is the engine, `reader` what looks in from outside, without asyncio.
"""
