"""The page of `letterlock check --html`: written as the answers come, in place when it is whole."""

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from letterlock.cli.check_html import format_domain, format_foot, format_head
from letterlock.cli.failures import CommandFailed

if TYPE_CHECKING:
    from letterlock.base.clock import Clock


class Page:
    """A file, under another name until `finish`. An error of the file ends the command."""

    def __init__(self, path: Path, title: str, clock: "Clock") -> None:
        self._path = path
        self._clock = clock
        # What is no file, such as /dev/stdout, cannot be replaced by one.
        is_file = path.is_file() or not path.exists()
        self._partial = path.with_name(f".{path.name}.{os.getpid()}") if is_file else path
        try:
            self._file: IO[str] = self._partial.open("w", encoding="utf-8")
        except OSError as error:
            raise self._fail(error) from None
        self._write(format_head(title))

    def add(self, document: dict[str, Any]) -> None:
        """Write the part of one domain."""
        self._write("".join(format_domain(document)))

    def finish(self) -> None:
        """Write the end, and put the page where it belongs."""
        from letterlock.base.clock import format_time  # noqa: PLC0415 - lazy, for -h

        self._write(format_foot(format_time(self._clock.now())))
        try:
            self._file.close()
            if self._partial != self._path:
                self._partial.replace(self._path)
        except OSError as error:
            raise self._fail(error) from None

    def drop(self) -> None:
        """Leave nothing of a page that did not become whole; after `finish`, nothing happens."""
        self._file.close()
        if self._partial != self._path:
            self._partial.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise self._fail(error) from None

    def _fail(self, error: OSError) -> CommandFailed:
        reason = error.strerror or str(error)
        return CommandFailed(f"{self._path}: cannot be written: {reason}")
