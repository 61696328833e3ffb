"""What is wrong on our own side: set-up, files, another process in the way."""

_SHOWN_CHARACTERS = 300
"""Of what an error says that is a defect."""


class LocalError(Exception):
    """Something on this machine must be changed by its operator before we can go on.

    The text is one line: what is wrong, where, and what to do. `cli` prints it and exits 2.
    """


class OutputError(LocalError):
    """What is to be shown cannot be written: `cli` exits 3, as nobody saw the answer."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write the output: {error.strerror}")


def describe_defect(error: BaseException) -> str:
    """Say on one line that something raised what it never should: our fault, nobody else's."""
    text = " ".join(str(error).split())[:_SHOWN_CHARACTERS]
    return f"a defect of letterlock, {type(error).__name__}: {text}"
