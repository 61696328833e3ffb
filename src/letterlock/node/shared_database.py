"""The database that nodes may share: where it is, and what each process is called in it.

A module of its own, for the commands that need nothing else of a node.
"""

import os
import socket
import zlib

from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config

COMMAND_NUMBERS = 1_000_000
"""Commands have numbers behind those of a node's processes."""


def find_database(config: Config) -> str | None:
    """Give the address of the queue's database, None with SQLite; raises LocalError."""
    if config.queue.engine is not QueueEngine.POSTGRES:
        return None
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.configured import read_dsn  # noqa: PLC0415 - as said

    return read_dsn(config.queue)


def name_node(config: Config) -> str:
    """Give the name that this node alone has, of all that share a database.

    No other node on this machine has our data folder.
    """
    folder = zlib.crc32(bytes(config.data_dir.absolute()))
    return f"{socket.gethostname()}-{folder:08x}"


def name_process(config: Config, number: int) -> str:
    """Give the name that this process alone has: no other of this node has our number."""
    return f"{name_node(config)}/{number}"


def name_command(config: Config) -> str:
    """Give the name that a command's process alone has, beside those of any node."""
    return f"{name_process(config, COMMAND_NUMBERS + os.getpid())}/command"
