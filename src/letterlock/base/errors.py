"""What is wrong on our own side: set-up, files, another process in the way."""

import os

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
    """Say on one line that something raised what it never should: our fault, nobody else's.

    What is the operator's after all is told as that.
    """
    if unreadable := explain_failed_import(error):
        return unreadable
    text = " ".join(str(error).split())[:_SHOWN_CHARACTERS]
    return f"a defect of letterlock, {type(error).__name__}: {text}"


def explain_failed_import(error: BaseException) -> str:
    """Say why a module could not be imported, where we may not read the files; empty: else."""
    return explain_unreadable_code() if isinstance(error, ImportError) else ""


def explain_unreadable_code() -> str:
    """Say that who we are now cannot read Python or ourselves, as from root's home; empty: it can.

    What root imported before goes on; what is imported later is missing.
    """
    for path in (os.__file__, __file__):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            return (
                f"{path}: {error.strerror} for user {os.geteuid()}, who needs Python and this "
                "folder to go on: use a clone that it can read, as /opt/letterlock, with a .venv "
                "made by a Python that it can read (make venv PYTHON=/usr/bin/python3)"
            )
    return ""
