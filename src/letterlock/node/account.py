"""The user that a node runs as, once everything that needs root is open."""

import grp
import os
import pwd

from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config


def find_account(config: Config) -> pwd.struct_passwd | None:
    """Give the user to become; None: stay who we are."""
    if config.node.user is None:
        return None
    try:
        account = pwd.getpwnam(config.node.user)
    except KeyError:
        message = f"there is no user {config.node.user!r}"
        raise refuse_setting(("node", "user"), message) from None
    return account if os.geteuid() == 0 else None


def drop_privileges(config: Config) -> None:
    """Become `node.user`, when root: everything that needed root is open by now."""
    account = find_account(config)
    if account is None:
        return
    groups = [entry.gr_gid for entry in grp.getgrall() if account.pw_name in entry.gr_mem]
    os.setgroups([account.pw_gid, *groups])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
