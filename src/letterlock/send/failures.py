"""How a submission fails: the exit codes of sysexits.h, and one line on standard error.

No IntEnum: to load enum takes a fourth of the time that the whole program may take.
"""

USAGE = 64
DATA_ERROR = 65
UNAVAILABLE = 69
OS_ERROR = 71
CANNOT_CREATE = 73
IO_ERROR = 74
TRY_LATER = 75
NO_PERMISSION = 77
CONFIG_ERROR = 78


class SendError(Exception):
    """Ends the program; the text is for people, one line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
