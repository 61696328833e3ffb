"""What `init` and `config check --outside` tell of the host that they run on."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from letterlock.base.printable import make_printable
from letterlock.cli.story_text import WIDTH

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.services.publish.first_look import Remark

_INDENT = "  "


def describe_remark_keys(path: str) -> dict[str, str]:
    """Say what is in the remarks of a JSON answer, which are at `path`."""
    return {
        f"{path}[].code": "what to look at; the words stay",
        f"{path}[].text": "what was seen",
        f"{path}[].fix": "what to change",
    }


def look_at_host(config: "Config", *, is_new: bool) -> "tuple[Remark, ...]":
    """Look at this host, and say on standard error that it may take a moment."""
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.first_look import run  # noqa: PLC0415 - as above
    from letterlock.services.publish.first_looking import SECONDS  # noqa: PLC0415 - as above

    click.echo(f"letterlock: looking at this host: at most {2 * SECONDS:.0f} s", err=True)
    return run(config, SystemClock(), is_new=is_new)


def describe_remarks(remarks: "Sequence[Remark]") -> list[dict[str, str]]:
    """Give the part of the JSON answer."""
    return [{"code": each.code, "text": each.text, "fix": each.fix} for each in remarks]


def format_remarks(remarks: "Sequence[Remark]") -> Iterator[str]:
    """Give lines for people."""
    for each in remarks:
        text = make_printable(f"{each.code}: {each.text}")
        yield textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent=_INDENT)
        fix = make_printable(f"do: {each.fix}")
        yield textwrap.fill(fix, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
