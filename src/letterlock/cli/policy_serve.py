"""`letterlock policy serve`: tell a Postfix which TLS its mail needs."""

from pathlib import Path

import click

from letterlock.cli.options import config_option, load_config_or_fail


@click.command()
@config_option
def serve(config_path: Path | None) -> int:
    """Tell a Postfix which TLS its mail needs, in the foreground.

    It asks by socketmap or tcp_table where `[policy_service]` says. SIGTERM ends it; SIGHUP makes
    it read the configuration again. What is answered, and why, goes to standard error.
    """
    config = load_config_or_fail(config_path)
    # Loaded when the configuration is known to be right.
    from letterlock.base.config.faults import SettingFaults  # noqa: PLC0415 - lazy, for -h
    from letterlock.base.config.load import find_config  # noqa: PLC0415 - lazy, for -h
    from letterlock.node.policy_serving import serve_policy  # noqa: PLC0415 - lazy, for -h

    found = find_config(config_path)
    try:
        return serve_policy(config, found)
    except SettingFaults as faults:
        raise found.place(faults) from None
