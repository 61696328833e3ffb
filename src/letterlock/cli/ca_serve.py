"""`letterlock ca serve`: run the authority."""

from pathlib import Path

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import config_option, load_config_or_fail


@click.command()
@config_option
def serve(config_path: Path | None) -> int:
    """Run the authority, in the foreground.

    SIGTERM lets it finish what it has begun; SIGHUP makes it read settings and keys again. What it
    decides is in its audit log; what happens goes to standard error too.
    """
    config = load_config_or_fail(config_path)
    # Loaded when the configuration is known to be right.
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - lazy, for -h

    try:
        from letterlock.node.ca.program import serve_authority  # noqa: PLC0415 - lazy, for -h
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{error.name} is not installed: pip install 'letterlock[ca]'", ExitCode.WRONG_USAGE
        ) from None
    found = find_config(config_path)
    try:
        return serve_authority(config, found)
    except SettingFaults as faults:
        raise found.place(faults) from None
