"""Accounts at other servers: Postfix's smtp_sasl_password_maps as a text file.

A line has a next hop or a sender's address, and `user:password`. As the file is full of secrets,
nothing of a line is in what is told about it, and nothing but the account is kept.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.sasl.preparation import MAX_NAME_OCTETS
from letterlock.protocols.tables.lines import (
    Entry,
    Table,
    TableError,
    TableMaker,
    WrongEntry,
    decoded_lines,
    split_pair,
)
from letterlock.protocols.tables.lookup import normal_address_key

MAX_PASSWORD_OCTETS = 1000
"""Tokens that stand in for passwords are longer than these."""

_FORM = 'a line is "HOST USER:PASSWORD" or "SENDER USER:PASSWORD"; it is not shown here'

LoginTable = Table[Credentials]
KeyReader = Callable[[str], str]
"""Gives the normal key of a next hop; raises ValueError for a text that is none."""


def parse_logins(content: bytes, file: str, read_next_hop: KeyReader) -> LoginTable:
    """Read a table of accounts; never raises. `file` is its name in `where`."""
    maker: TableMaker[Credentials] = TableMaker(file)
    for number, line in decoded_lines(content):
        try:
            if isinstance(line, TableError):
                raise line
            key, text = split_pair(line)
            normal = normal_address_key(key) if "@" in key else read_next_hop(key)
        except ValueError:
            maker.add_fault(number, _FORM)
        else:
            maker.add(number, normal, text, partial(_read_login, f"{file}:{number}"))
    return _without_secrets(maker.finish())


def _read_login(where: str, text: str) -> Credentials:
    user, colon, password = text.partition(":")
    if not user or not colon or not password:
        raise TableError(_FORM)
    if len(user.encode()) > MAX_NAME_OCTETS or len(password.encode()) > MAX_PASSWORD_OCTETS:
        raise TableError("the user or the password is too long")
    if "\0" in text or "\r" in text or "\n" in text:
        raise TableError("the user or the password has a line end in it")
    return Credentials(user, password, where)


def _without_secrets(table: LoginTable) -> LoginTable:
    """Leave out what stands in the file. A wrong line may have its password anywhere."""
    entries: dict[str, Entry[Credentials] | WrongEntry] = {}
    for key, entry in table.entries.items():
        if isinstance(entry, WrongEntry):
            entries[key] = WrongEntry("", _FORM, "", entry.where)
        else:
            entries[key] = replace(entry, text="")
    return Table(table.file, entries, table.faults)
