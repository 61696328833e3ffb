"""Write docs/reference: the settings, from `base.config.sections`, and the commands, from `cli`.

`--check` writes nothing and fails when a page is not what it would write.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from letterlock.base.config.describe import (
    SectionText,
    Setting,
    describe_sections,
)
from letterlock.cli.options import find_json_keys
from letterlock.cli.root import root

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"

CONFIGURATION_HEAD = """\
# Configuration

One TOML file: the one that `--config` names, else `/etc/letterlock/letterlock.toml`, else
`./letterlock.toml`, if it is the caller's own and nobody else can write to it. `letterlock init`
writes one; `letterlock config check` finds every mistake in it, with line and column; an unknown
key is a mistake. A running node reads it again on SIGHUP, and keeps what it has if the new one is
wrong.

Four keys must be given; the rest has safe defaults. Durations are texts such as `"90s"`, `"5m"`,
`"1h30m"` or `"5d"`; sizes such as `"512KiB"` or `"50MiB"`. Relative paths start at the file's
folder. `""` is the same as leaving a key out where the default is `""`.

This page is made from the program; `make docs` fails when it is not current.
"""

COMMANDS_HEAD = """\
# Commands

Every command takes `-h`. Exit codes: 0 fine; 1 the answer is bad news; 2 wrong usage or
configuration; 3 it could not be decided (no permission, no answer, no network). Errors are lines on
standard error that say what is wrong, where, and what to do. With `--json` the answer is one
document on standard output; keys are added, never changed. Times are RFC 3339 in UTC.

This page is made from the program; `make docs` fails when it is not current.
"""


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    is_check = parser.parse_args().check
    stale = [path for path, text in make_pages().items() if _read(path) != text]
    for path in stale:
        if is_check:
            print(f"{path.relative_to(ROOT)}: not current; run python -m tools.reference")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(make_pages()[path], "utf-8")
    sys.exit(1 if is_check and stale else 0)


def make_pages() -> dict[Path, str]:
    """Give each page with its text."""
    return {
        FOLDER / "configuration.md": format_configuration(),
        FOLDER / "commands.md": format_commands(),
    }


def format_configuration() -> str:
    """Write the page of settings."""
    parts = [CONFIGURATION_HEAD]
    for section in describe_sections():
        parts += _format_section(section)
    return "\n".join(parts)


def _format_section(section: SectionText) -> Iterator[str]:
    yield f"## `[{section.name}]`\n" if section.name else "## Above all tables\n"
    if section.text:
        yield f"{section.text}\n"
    for setting in section.settings:
        yield _format_setting(setting)
        for element in setting.elements:
            text = " ".join(element.text.split())
            yield f"- **`{element.name}`** ({element.kind}; {_format_default(element)}): {text}\n"


def _format_setting(setting: Setting) -> str:
    return f"**`{setting.name}`** ({setting.kind}; {_format_default(setting)})\n\n{setting.text}\n"


def _format_default(setting: Setting) -> str:
    return "must be given" if setting.default is None else f"default `{setting.default}`"


def format_commands() -> str:
    """Write the page of commands."""
    with click.Context(root, info_name="letterlock", **root.context_settings) as context:
        return "\n".join([COMMANDS_HEAD, *_format_group(root, context)])


def _format_group(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        with click.Context(command, info_name=name, parent=context) as inner:
            if isinstance(command, click.Group):
                yield from _format_group(command, inner)
            else:
                yield _format_command(command, inner)


def _format_command(command: click.Command, context: click.Context) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    text = f"## `{context.command_path}`\n\n    {context.command_path} {pieces}\n\n"
    text += f"{_clean(command.help)}\n\n"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1]:
            text += f"- `{record[0]}`: {record[1]}\n"
    if keys := find_json_keys(command):
        text += "\nIts JSON document:\n\n"
        text += "".join(f"- `{key}`: {meaning}\n" for key, meaning in keys.items())
    return text


def _clean(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    main()
