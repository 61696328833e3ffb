"""`letterlock send` in the list of commands and the reference; `letterlock.send` does the work."""

import click

from letterlock.send.command import main

_AS_SENDMAIL = {
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": ["--help"],
}


@click.command(context_settings=_AS_SENDMAIL)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ADDRESS]...")
def send(arguments: tuple[str, ...]) -> int:
    """Hand in a message on standard input, as sendmail(1) does.

    It takes sendmail's options (`--help` lists them) and gives the exit codes of sysexits.h. The
    node may be down. `letterlock-sendmail` is the same program.
    """
    return main(list(arguments))
