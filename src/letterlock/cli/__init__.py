"""The command line: one module for each command, loaded when it is used.

Importing this loads neither asyncio, TLS, DNS nor cryptography: `letterlock -h` starts at once.
"""

from letterlock.cli.root import main

__all__ = ["main"]
