"""Options that several commands take, and the configuration they stand for."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from letterlock.cli.failures import CommandFailed, ExitCode

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.base.config.values import ResolverAddress

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_JSON_KEYS = "json_keys"


def config_option(command: Decorated) -> Decorated:
    """Add `--config`; the command gets `config_path`, None when it wasn't given."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The configuration. Default: /etc/letterlock/letterlock.toml, then ./letterlock.toml.",
    )(command)


def resolver_option(command: Decorated) -> Decorated:
    """Add `--resolver`; the command gets `resolver`, a text for `take_resolver`."""
    return click.option(
        "--resolver", metavar="HOST[:PORT]", help="Ask this one instead of the configured one."
    )(command)


def json_option(keys: Mapping[str, str]) -> Callable[[Decorated], Decorated]:
    """Add `--json`. `keys` documents the answer: a path such as `messages[].size`, its meaning."""

    def decorate(command: Decorated) -> Decorated:
        setattr(command, _JSON_KEYS, keys)
        return click.option(
            "--json", "as_json", is_flag=True, help="Answer with one JSON document."
        )(command)

    return decorate


def find_json_keys(command: click.Command) -> Mapping[str, str]:
    """Give what `json_option` documented; empty for a command that has no JSON answer."""
    keys: Mapping[str, str] = getattr(command.callback, _JSON_KEYS, {})
    return keys


def load_config_or_fail(path: Path | None) -> "Config":
    """Read the configuration; with mistakes in it the command ends with all of them."""
    from letterlock.base.config.load import ConfigErrors, find_config  # noqa: PLC0415 - lazy, -h

    try:
        return find_config(path).load()
    except ConfigErrors as errors:
        raise CommandFailed(str(errors), ExitCode.WRONG_USAGE) from None


def find_config_or_defaults(
    path: Path | None, *, is_owner_later: bool = False
) -> tuple["Config", list[str]]:
    """Give the settings; where there are none, or none for us to read, the defaults.

    For commands that somebody without a node can use too. The texts are for people. It is gone on
    as the owner of the data unless `is_owner_later`: who reads files first, that only root may.
    """
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.explaining import make_default_config  # noqa: PLC0415 - as above

    if path is None:
        found = find_config().path
        if not os.path.lexists(found):
            return make_default_config(), []
        if not os.access(found, os.R_OK):
            note = f"{found} cannot be read by this user: the defaults are used, not its settings"
            return make_default_config(), [note]
    config = load_config_or_fail(path)
    if not is_owner_later:
        act_as_owner(config.data_dir)
    return config, []


def take_resolver(text: str | None) -> "ResolverAddress | None":
    """Take `--resolver`; None when it wasn't given."""
    from letterlock.base.config.values import parse_resolver_address  # noqa: PLC0415 - lazy, for -h

    if text is None:
        return None
    try:
        return parse_resolver_address(text)
    except ValueError as error:
        raise click.UsageError(f"--resolver: not {error}") from None


def use_resolver(config: "Config", address: "ResolverAddress | None") -> "Config":
    """Give settings with the resolver that `take_resolver` gave, or as they are."""
    from dataclasses import replace  # noqa: PLC0415 - lazy, for -h

    return config if address is None else replace(config, dns=replace(config.dns, resolver=address))


def act_as_owner(data_dir: Path) -> None:
    """Go on as the owner of the data when started as root.

    Files that root makes beside the queue would be in the node's way.
    """
    if os.geteuid() != 0:
        return
    try:
        status = data_dir.stat()
    except OSError:
        return
    if status.st_uid != 0:
        os.setegid(status.st_gid)
        os.seteuid(status.st_uid)


def print_json(document: Mapping[str, object]) -> None:
    """Print one document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))
