"""The user that a program runs as, once everything that needs root is open."""

import errno
import grp
import os
import pwd
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from letterlock.base.config.faults import SettingFaults, refuse_setting
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.sections import Config
from letterlock.base.errors import explain_unreadable_code
from letterlock.base.log import LineLog, Service
from letterlock.storage.durable import make_folder

MAX_LINKS = 40
"""On the way to a file, as in Linux (path_resolution(7))."""


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


def explain_root(config: Config) -> str:
    """Say that what is started by who we are would stay root; empty: it would not."""
    if os.geteuid() != 0 or config.node.user is not None:
        return ""
    return (
        "node.user is not set: what root starts stays root, and whatever gets into it is "
        "root; name an account there, or have one start it, as the unit for systemd in README does"
    )


@contextmanager
def acting_as_node(config: Config) -> Iterator[None]:
    """Do something as `node.user`, with all its groups, when root; without one as who we are.

    Where there is no such user it is done as who we are: that is a fault of its own.
    """
    try:
        account = find_account(config)
    except SettingFaults:
        account = None
    owner = None if account is None else (account.pw_uid, account.pw_gid)
    with acting_as(owner, () if account is None else _find_groups(account)):
        yield


@contextmanager
def acting_as(owner: tuple[int, int] | None, groups: Sequence[int] = ()) -> Iterator[None]:
    """Do something as a user and group, and with further `groups`, when root; None: as who we are.

    Files that root makes beside a node's would be in its way, and what it reads there is not its.
    """
    if owner is None or os.geteuid() != 0 or owner[0] == 0:
        yield
        return
    user, group = os.geteuid(), os.getegid()
    others = os.getgroups()
    os.setgroups([owner[1], *groups])
    os.setegid(owner[1])
    os.seteuid(owner[0])
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        os.setgroups(others)


def find_owner(folder: Path) -> tuple[int, int]:
    """Give user and group of a folder. Raises OSError."""
    status = folder.stat()
    return status.st_uid, status.st_gid


def find_writer(path: Path) -> tuple[int, int] | None:
    """Give user and group of whom, beside root, could have led a path elsewhere; None: nobody.

    That is the first who owns a folder or link on the way, or the file. Raises OSError.
    """
    left = list(reversed(path.absolute().parts))
    at, links = Path("/"), 0
    while left:
        at /= left.pop()
        status = at.lstat()
        if status.st_uid != 0:
            return status.st_uid, status.st_gid
        if stat.S_ISLNK(status.st_mode):
            if (links := links + 1) > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            left += reversed(at.readlink().parts)
            at = at.parent
    return None


def give_socket(listener: socket.socket, path: Path, owner: str | None, key: KeyPath) -> None:
    """Give a socket's file to `user` or `user:group`; None: it stays ours.

    One that cannot be given is closed and removed. Raises SettingFaults, for the setting `key`.
    """
    if owner is None:
        return
    user, _, group = owner.partition(":")
    try:
        shutil.chown(path, user, group or None)
    except (OSError, LookupError) as error:
        listener.close()
        path.unlink(missing_ok=True)
        message = f"{owner} cannot be given {path}: {error}; start as root"
        raise refuse_setting(key, message) from error


def make_data_dir(config: Config) -> None:
    """Make the folder of the data where it is not there, for `node.user`, who then can write there.

    Raises SettingFaults.
    """
    account = find_account(config)
    try:
        is_new = not config.data_dir.exists()
        make_folder(config.data_dir)
        if is_new and account is not None:
            os.chown(config.data_dir, account.pw_uid, account.pw_gid, follow_symlinks=False)
    except OSError as error:
        message = f"{error.filename or config.data_dir}: {error.strerror}"
        raise refuse_setting(("data_dir",), message) from error


def drop_privileges(config: Config, log: LineLog) -> None:
    """Become `node.user`, when root: everything that needed root is open by now.

    What stays root says so in its log, and so does who cannot read Python.
    """
    account = find_account(config)
    if account is None:
        if warning := explain_root(config):
            log.write(Service.NODE, f"warning: {warning}")
        return
    os.setgroups([account.pw_gid, *_find_groups(account)])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if unreadable := explain_unreadable_code():
        log.write(Service.NODE, f"warning: {unreadable}")


def _find_groups(account: pwd.struct_passwd) -> list[int]:
    """Give the groups of a user, besides its own."""
    return [entry.gr_gid for entry in grp.getgrall() if account.pw_name in entry.gr_mem]
