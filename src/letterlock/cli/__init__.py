"""The command line: one module for each command, loaded when it is used.

Importing this loads neither asyncio, TLS, DNS nor cryptography: `letterlock -h` starts at once.
`letterlock send` is run for each message of cron and PHP, and does without click too.
"""

import sys


def main(arguments: list[str] | tuple[str, ...] | None = None) -> int:
    """Run a command and give its exit code; no traceback reaches a user."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["send"]:
        from letterlock.send.command import main as send  # noqa: PLC0415 - no other command needs it

        return send(words[1:])
    from letterlock.cli.root import main as run  # noqa: PLC0415 - see above

    return run(words)


__all__ = ["main"]
