"""Ids of accounts as arguments: one in 64 begins with a hyphen, and is no option for that.

They are random, in base64url (RFC 4648 §5).
"""

import re

import click

_HYPHENED = re.compile(r"-[A-Za-z0-9_-]{15,63}\Z")
"""As long as ids are; none of the options of these commands is."""
_MARK = "\0"
"""No argument of a process has one."""


class AccountIdCommand(click.Command):
    """A command whose arguments may be ids, taken by `take_account_id`; no option takes one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        marked = [f"{_MARK}{each}" if _HYPHENED.match(each) else each for each in args]
        return super().parse_args(ctx, marked)


def take_account_id(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Give an argument as it was written: an id, or what else is taken in its place."""
    del ctx, param
    return value.removeprefix(_MARK)
