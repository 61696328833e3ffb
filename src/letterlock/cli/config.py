"""`letterlock config`: check the configuration, show what it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import (
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config

COMMANDS = {
    "check": LazyCommand("config:check", "Find every mistake in the configuration."),
    "show": LazyCommand("config:show", "Show every setting with its value."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def config() -> None:
    """Check the configuration, show what it says."""


@click.command()
@config_option
@json_option(
    {
        "file": "the file that was read",
        "errors[].line": "line of the mistake, from 1; 0: the file as a whole",
        "errors[].column": "column of the mistake, from 1",
        "errors[].key": "the setting",
        "errors[].message": "what is wrong",
    }
)
def check(config_path: Path | None, *, as_json: bool) -> int:
    """Find every mistake: in the file, and in the certificates and tables it names.

    Each has its file, line and column. Exits with 2 when there is one.
    """
    from letterlock.base.config.load import (  # noqa: PLC0415 - not loaded for -h
        ConfigError,
        ConfigErrors,
        find_config,
    )

    found = find_config(config_path)
    errors: tuple[ConfigError, ...] = ()
    try:
        loaded = found.load()
    except ConfigErrors as wrong:
        errors = wrong.errors
        lines = [str(error) for error in errors]
    else:
        lines = list(_find_wrong_files(loaded))
        errors = tuple(ConfigError(found.path, 0, 0, "", line) for line in lines)
    if as_json:
        document = [
            {"line": e.line, "column": e.column, "key": e.key, "message": e.message} for e in errors
        ]
        print_json({"file": str(found.path), "errors": document})
    elif lines:
        raise CommandFailed("\n".join(lines), ExitCode.WRONG_USAGE)
    else:
        click.echo(f"{found.path}: fine")
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


def _find_wrong_files(config: "Config") -> Iterator[str]:
    """Look at what the configuration names; what can't be used has a line."""
    from letterlock.base.errors import LocalError  # noqa: PLC0415 - not loaded for -h
    from letterlock.network.key_pairs import load_key_pair  # noqa: PLC0415 - loads OpenSSL
    from letterlock.node.policy import load_policy  # noqa: PLC0415 - as above

    pairs = [(pair.certificate, pair.key) for pair in config.tls.certificates]
    if config.deliver.client_certificate and config.deliver.client_key:
        pairs.append((config.deliver.client_certificate, config.deliver.client_key))
    for certificate, key in pairs:
        try:
            load_key_pair(certificate, key)
        except LocalError as error:
            yield str(error)
    for check in (_check_user, _check_ciphers, _check_database):
        try:
            check(config)
        except LocalError as error:
            yield str(error)
    for file in config.policy.trust_files:
        if reason := _find_unreadable(file):
            yield f"{file}: cannot be read: {reason}"
    yield from load_policy(config.policy).problems


def _check_user(config: "Config") -> None:
    import pwd  # noqa: PLC0415 - not loaded for -h

    from letterlock.base.errors import LocalError  # noqa: PLC0415 - as above

    if config.node.user is not None:
        try:
            pwd.getpwnam(config.node.user)
        except KeyError:
            raise LocalError(f"node.user: there is no user {config.node.user!r}") from None


def _check_ciphers(config: "Config") -> None:
    from letterlock.node.building import check_ciphers  # noqa: PLC0415 - loads OpenSSL

    check_ciphers(config.tls)


def _check_database(config: "Config") -> None:
    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - not loaded for -h
    from letterlock.base.config.choices import QueueEngine  # noqa: PLC0415 - as above
    from letterlock.storage.postgres.configured import (  # noqa: PLC0415 - as above
        make_postgres_queue,
    )

    if config.queue.engine is QueueEngine.POSTGRES:
        make_postgres_queue(config.queue, "", SystemClock())


def _find_unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return error.strerror
