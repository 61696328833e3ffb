"""Letterlock carries mail between servers over verified TLS, and explains what it did.

The folders are floors: each imports only from those below it. `docs/architecture.md` is the map.
"""

__version__ = "0.1.0"
