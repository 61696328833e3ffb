"""Standard streams that whoever started us had closed (`>&-`)."""

import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_missing_streams() -> None:
    """Give each that is closed the null device.

    Else the next file or connection would get its number, and with it what is written to the
    stream, by us or by a program that we start.
    """
    for name, mode in _STREAMS:
        if getattr(sys, name) is None:
            # The lowest number that is free, which is the stream's own.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - by position alone
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
