"""`letterlock serve`: run the node."""

from pathlib import Path

import click

from letterlock.cli.options import config_option, load_config_or_fail


@click.command()
@config_option
def serve(config_path: Path | None) -> int:
    """Run the node, in the foreground.

    SIGTERM lets it finish what it has begun; SIGHUP makes it read configuration and certificates
    again. The mail log goes to standard error.
    """
    config = load_config_or_fail(config_path)
    # Loaded when the configuration is known to be right.
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - as said
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - as said
    from letterlock.node.serving import serve as serve_node  # noqa: PLC0415 - as said

    found = find_config(config_path)
    try:
        return serve_node(config, found)
    except SettingFaults as faults:
        raise found.place(faults) from None
