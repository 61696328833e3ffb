"""The node's database in SQLite, as commands and the node itself open it.

A command may come before the node ever ran, as root: what it makes is the node's all the same.
"""

from letterlock.base.clock import Clock
from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.sections import Config
from letterlock.node.account import find_account, make_data_dir
from letterlock.storage.sqlite.node import NodeDatabase


def make_own_database(config: Config, clock: Clock) -> NodeDatabase:
    """Make it, not opened yet; root makes the folder before, where it is not there.

    Files in it are its owner's (`storage.durable`). Without `node.user`, or without such an
    account, or where the folder cannot be made, nothing is done: whoever opens it tells.
    """
    try:
        if find_account(config) is not None:
            make_data_dir(config)
    except SettingFaults:
        pass
    return NodeDatabase(config.node_database, clock)
