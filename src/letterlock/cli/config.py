"""`letterlock config`: check the configuration, show what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.first_look import (
    describe_remark_keys,
    describe_remarks,
    format_remarks,
    look_at_host,
)
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import (
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
    resolver_option,
    take_resolver,
    use_resolver,
)

if TYPE_CHECKING:
    from letterlock.base.config.load import ConfigError, FoundConfig
    from letterlock.base.config.sections import Config
    from letterlock.services.publish.first_look import Remark

COMMANDS = {
    "check": LazyCommand("config:check", "Find every mistake in the configuration."),
    "show": LazyCommand("config:show", "Show every setting with its value."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def config() -> None:
    """Check the configuration, show what it says."""


@click.command()
@config_option
@click.option(
    "--outside",
    is_flag=True,
    help="Look at this host, too: its addresses and names in DNS, its ports, its way out.",
)
@resolver_option
@json_option(
    {
        "file": "the file that was read",
        "errors[].line": "line of the mistake, from 1; 0: the file as a whole",
        "errors[].column": "column of the mistake, from 1",
        "errors[].key": "the setting",
        "errors[].message": "what is wrong",
        "notes": "what is no mistake and should be known: entries whose last day is past, a node "
        "that would stay root",
        **describe_remark_keys("remarks"),
    }
)
def check(config_path: Path | None, *, outside: bool, resolver: str | None, as_json: bool) -> int:
    """Find every mistake: in the file, and in the certificates and tables it names.

    Each has its file, line and column. Exits with 2 when there is one. When root asks, files are
    read as the user that the node will be (`node.user`).

    --outside asks DNS, connects to this host's own ports, and to port 25 of gmail.com or
    outlook.com. What it finds is to be looked at, and is no mistake.
    """
    from letterlock.base.config.load import (  # noqa: PLC0415 - not loaded for -h
        ConfigError,
        ConfigErrors,
        find_config,
    )

    found = find_config(config_path)
    errors: tuple[ConfigError, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    asked = take_resolver(resolver)
    try:
        loaded = found.load()
    except ConfigErrors as wrong:
        errors = wrong.errors
        lines = [str(error) for error in errors]
    else:
        errors = tuple(_find_unusable(found, loaded))
        notes = (*_find_lapsed(loaded), *_explain_root(loaded))
        if outside:
            remarks = look_at_host(use_resolver(loaded, asked), is_new=False)
        lines = [str(error) if error.line else error.message for error in errors]
    if as_json:
        document = [
            {"line": e.line, "column": e.column, "key": e.key, "message": e.message} for e in errors
        ]
        answer = {"file": str(found.path), "errors": document, "notes": list(notes)}
        print_json(answer | {"remarks": describe_remarks(remarks)})
    elif lines:
        raise CommandFailed("\n".join(lines), ExitCode.WRONG_USAGE)
    else:
        told = [*(f"note: {note}" for note in notes), *format_remarks(remarks)]
        click.echo("\n".join([*told, f"{found.path}: fine"]))
    return ExitCode.WRONG_USAGE if errors else ExitCode.FINE


@click.command()
@config_option
@click.option("--non-default", is_flag=True, help="Only what differs from the default.")
@json_option({"settings": "each setting as `section.key`, with its value as TOML text"})
def show(config_path: Path | None, *, non_default: bool, as_json: bool) -> None:
    """Show every setting with its value; secrets are left out."""
    values = dict(_list_values(load_config_or_fail(config_path), is_changed_only=non_default))
    if as_json:
        print_json({"settings": values})
    else:
        for name, value in values.items():
            click.echo(f"{name} = {value}")


def _list_values(config: "Config", *, is_changed_only: bool) -> Iterator[tuple[str, str]]:
    from letterlock.base.config.describe import describe_values  # noqa: PLC0415 - not loaded for -h

    for value in describe_values(config):
        if value.is_changed or not is_changed_only:
            yield value.name, value.text


def _find_lapsed(config: "Config") -> tuple[str, ...]:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.policy import describe_lapsed, load_policy  # noqa: PLC0415 - as above

    return describe_lapsed(load_policy(config.policy).table, SystemClock().now().date())


def _explain_root(config: "Config") -> tuple[str, ...]:
    from letterlock.base.errors import explain_unreadable_code  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.account import acting_as_node, explain_root  # noqa: PLC0415 - as above

    with acting_as_node(config):
        unreadable = explain_unreadable_code()
    return tuple(filter(None, [explain_root(config), unreadable]))


def _find_unusable(found: "FoundConfig", config: "Config") -> Iterator["ConfigError"]:
    """Look at what the configuration names: what can't be used, and what keeps mail waiting.

    That is looked at as the node's user: what only root can read is no use to the node.
    """
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - not loaded for -h
    from letterlock.base.config.load import ConfigError  # noqa: PLC0415 - as above
    from letterlock.node.account import acting_as_node  # noqa: PLC0415 - not loaded for -h
    from letterlock.node.certificate_faults import (  # noqa: PLC0415 - loads OpenSSL
        find_waiting_certificates,
    )
    from letterlock.node.faults import find_faults, find_waiting  # noqa: PLC0415 - as above
    from letterlock.node.policy import load_policy  # noqa: PLC0415 - as above
    from letterlock.node.table_problems import find_table_problems  # noqa: PLC0415 - as above

    with acting_as_node(config):
        faults = [
            *find_faults(config),
            *find_waiting(config.policy),
            *find_waiting_certificates(config),
        ]
        tables, policy = find_table_problems(config), load_policy(config.policy)
    yield from sorted(found.place(SettingFaults(faults)).errors)
    for problem in tables:
        # Each says itself where it is.
        yield ConfigError(found.path, 0, 0, "", problem)
    told = (f"{found.path.absolute()}:", f"{config.policy.postfix_table}: ")
    for problem in policy.problems:
        # A line of the Postfix table says itself where it is.
        if not problem.startswith(told):
            yield ConfigError(found.path, 0, 0, "", problem)
