"""`letterlock`: the list of commands, and what becomes of their errors."""

import errno
import os
import sys
from collections.abc import Sequence

import click

from letterlock import __version__
from letterlock.base.errors import (
    LocalError,
    OutputError,
    describe_defect,
    explain_failed_import,
)
from letterlock.base.printable import make_printable
from letterlock.base.streams import open_missing_streams
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup

TRACEBACK_VARIABLE = "LETTERLOCK_TRACEBACK"
INTERRUPTED = 130
"""As a shell shows a program that SIGINT ended."""
PIPE_BROKEN = 141
"""As a shell shows a program that SIGPIPE ended."""
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

COMMANDS = {
    "init": LazyCommand("init:init", "Write a configuration, a certificate and the DNS records."),
    "config": LazyCommand("config:config", "Check the configuration, show what it says."),
    "serve": LazyCommand("serve:serve", "Run the node."),
    "demo": LazyCommand("demo:demo", "Show a message's whole journey on loopback."),
    "send": LazyCommand("send:send", "Hand in a message, as sendmail(1) does."),
    "queue": LazyCommand("queue:queue", "List, explain and change what waits."),
    "policy": LazyCommand("policy:policy", "Explain what TLS mail must have; tell a Postfix."),
    "cert": LazyCommand("cert:cert", "Look after our own certificates."),
    "dns": LazyCommand("dns:dns", "Give the DNS records to publish, check those published."),
    "check": LazyCommand("check:check", "Check any domain as its senders see it."),
    "inbound": LazyCommand("inbound:inbound", "See how other servers send, at hosts with faults."),
    "log": LazyCommand("log:log", "Tell what mail logs say, and what to mend."),
    "tlsrpt": LazyCommand("tlsrpt:tlsrpt", "Tell what reports on TLS say."),
    "ca": LazyCommand("ca:ca", "Run an authority of our own."),
    "caa": LazyCommand("caa:caa", "Tell which certificates CAA records allow."),
    "incident": LazyCommand("incident:incident", "Tell whether an incident affects certificates."),
    "table": LazyCommand("table:table", "Tell what aliases and other tables say."),
    "user": LazyCommand("user:user", "Keep the accounts of those who submit mail."),
    "backup": LazyCommand("backup:backup", "Write all that the node keeps to one archive."),
    "restore": LazyCommand("restore:restore", "Make a backup a node's data again, or check it."),
    "status": LazyCommand("status:status", "Show the node on one screen."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has its own -h.",
)
@click.version_option(__version__, message="letterlock %(version)s")
def root() -> None:
    """Carry mail between servers over verified TLS, and explain what was done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code; no traceback reaches a user."""
    open_missing_streams()
    try:
        code = root.main(arguments, prog_name="letterlock", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        first = _find_first(error)
        if (ended := _explain(first)) is not None:
            return ended
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        _complain(_describe_defect(first))
        return ExitCode.UNDECIDED
    return code if isinstance(code, int) else ExitCode.FINE


def _find_first(error: BaseException) -> BaseException:
    """Give what a task ended with: a group of tasks wraps it, though it be one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain(error: BaseException) -> int | None:
    """Tell the user of what may end a command, and give its exit code; None: it is a defect."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED
        case BrokenPipeError() | SystemExit():
            # What reads us has seen enough. click makes SystemExit of it, and of nothing else here.
            _drop_output()
            return PIPE_BROKEN
        case OutputError():
            _drop_output()
            code, text = ExitCode.UNDECIDED, str(error)
        case OSError() if _is_of_output(error):
            _drop_output()
            code, text = ExitCode.UNDECIDED, str(OutputError(error))
        case CommandFailed():
            code, text = error.code, str(error)
        case LocalError():
            code, text = ExitCode.WRONG_USAGE, str(error)
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return ExitCode.WRONG_USAGE
        case click.ClickException():
            text = f"{error.format_message().removesuffix('.')}{_name_help(error)}"
            code = ExitCode.WRONG_USAGE
        case _:
            return None
    _complain(text)
    return code


def _is_of_output(error: OSError) -> bool:
    """Say whether an error is of writing to a stream: a file that is opened has a name."""
    return error.filename is None and error.errno in _NOT_WRITTEN


def _drop_output() -> None:
    """Let what cannot be written go: Python's flush at exit must not complain of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    # An argument, a file's name or a server's words may be in it.
    for line in text.splitlines():
        print(f"letterlock: {make_printable(line)}", file=sys.stderr)


def _name_help(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "letterlock"
    return f" (see {path} -h)"


def _describe_defect(error: BaseException) -> str:
    if unreadable := explain_failed_import(error):
        return unreadable
    return f"{describe_defect(error)}; set {TRACEBACK_VARIABLE}=1 to see where, and report it"
