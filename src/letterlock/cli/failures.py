"""How a command says that it failed: the exit codes, and one line on standard error."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's end means; others script against it."""

    FINE = 0
    BAD_NEWS = 1
    """The answer is not what one wants: a finding, a message that is not there."""
    WRONG_USAGE = 2
    """Of the command or in the configuration."""
    UNDECIDED = 3
    """It could not be found out: no permission, no answer, no network."""


class CommandFailed(Exception):  # noqa: N818 - an end, not always a mistake
    """Ends a command. Each line of the text is one error: what, where, what to do."""

    def __init__(self, text: str, code: ExitCode = ExitCode.UNDECIDED) -> None:
        super().__init__(text)
        self.code = code
