"""How commands are told where a root's key is, when it is out of its safe."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from letterlock.node.ca.root_work import RootPlace


def root_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--key`, `--passphrase-file` and `--root`."""
    options = (
        click.option(
            "--key",
            required=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The root's key, out of its safe.",
        ),
        click.option(
            "--passphrase-file",
            required=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The file with its passphrase.",
        ),
        click.option(
            "--root",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The root's certificate. Default: that of the settings.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_place(key: Path, passphrase_file: Path, root: Path | None) -> "RootPlace":
    """Join what the options say."""
    from letterlock.node.ca.root_work import RootPlace  # noqa: PLC0415 - not loaded for -h
    from letterlock.services.ca.keys.opening import KeyFile  # noqa: PLC0415 - as above

    return RootPlace(KeyFile(key, passphrase_file), root)
