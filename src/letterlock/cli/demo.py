"""`letterlock demo`: the whole journey on loopback."""

import click


@click.command()
@click.option("--once", is_flag=True, help="End when it is shown: 0 when every step held, else 1.")
@click.option("--incident", is_flag=True, help="Show at last how certificates are revoked.")
def demo(*, once: bool, incident: bool) -> int:
    """Show a message's whole journey on loopback: no root, no network, no set-up."""
    from letterlock.demo import run  # noqa: PLC0415 - what it starts is not loaded for -h

    return run(once=once, has_incident=incident)
