"""A bar on standard error for what takes long; a line now and then where it is no terminal."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from letterlock.base.clock import Clock

BAR_CHARACTERS = 30
PROGRESS_SECONDS = 0.2
SELDOM_SECONDS = 5.0
"""Where nobody looks at a terminal."""


class ProgressBar:
    """Shows how far one piece of work is; `text` says which, and is printable."""

    def __init__(self, clock: "Clock", text: str) -> None:
        self._clock = clock
        self._text = text
        self._is_live = sys.stderr.isatty()
        self._last = clock.monotonic()
        self._is_shown = False

    def show(self, done: int, total: int) -> None:
        """Show it, if it is time to; with a total of 0 there is no telling how far it is."""
        now = self._clock.monotonic()
        if now - self._last < (PROGRESS_SECONDS if self._is_live else SELDOM_SECONDS):
            return
        self._last, self._is_shown = now, True
        part = min(1.0, done / total) if total else 0.0
        text = f"{self._text}: {part:4.0%}"
        if self._is_live:
            filled = int(part * BAR_CHARACTERS)
            text = f"\r\x1b[K[{'#' * filled:{BAR_CHARACTERS}}] {text}"
        click.echo(text, err=True, nl=not self._is_live)

    def end(self) -> None:
        """Clear the line, if there is one."""
        if self._is_live and self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
