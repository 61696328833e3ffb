"""The demo's screen: headings, facts with a label, quotations, and claims that hold or do not."""

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from letterlock.base.errors import OutputError
from letterlock.base.printable import make_printable

MAX_WIDTH = 80
MIN_WIDTH = 40
_LABEL_WIDTH = 13
_NAME_WIDTH = 21
_STATE_WIDTH = 5


class Screen:
    """Writes to a console; colours only where it is a terminal, and never with NO_COLOR."""

    def __init__(self, console: Console) -> None:
        self._console = console
        is_terminal = console.is_terminal
        width = console.width if is_terminal else MAX_WIDTH
        self._width = max(MIN_WIDTH, min(width, MAX_WIDTH))
        self._steps = 0
        self.claims = 0
        self.broken: list[str] = []
        """The claims that did not hold."""

    def say(self, text: str) -> None:
        """Write a paragraph."""
        for line in self._wrap(text):
            self._write(Text(line))

    def begin_step(self, heading: str) -> None:
        """Begin the next step, with a line above it."""
        self._steps += 1
        self._write(Text())
        self._write(Text(f"{self._steps}. {heading}", style="bold"))

    def explain(self, text: str) -> None:
        """Write why a step is there, below its heading."""
        for line in self._wrap(text, "   "):
            self._write(Text(line))

    def tell(self, label: str, *facts: str) -> None:
        """Write facts, a line or more for each; the label stands before the first."""
        head = f"   {label:{_LABEL_WIDTH}}"
        for fact in facts:
            first, *others = self._wrap(fact, " " * len(head)) or [head]
            self._write(Text.assemble((head, "cyan"), first[len(head) :]))
            for line in others:
                self._write(Text(line))
            head = " " * len(head)

    def quote(self, lines: Iterable[str]) -> None:
        """Write lines as they are, set off."""
        for line in lines:
            self._write(Text(f"   {make_printable(line)}".rstrip(), style="dim"))

    def offer(self, purpose: str, *commands: str) -> None:
        """Write commands to be copied: each on a line of its own, however long."""
        self._write(Text(f"   {purpose}", style="cyan"))
        for command in commands:
            self._write(Text(f"     {make_printable(command)}"))

    def claim(self, text: str, *, holds: bool) -> None:
        """Say what must be so, and whether it is."""
        self.claims += 1
        if not holds:
            self.broken.append(text)
        mark = ("holds", "green") if holds else ("DOES NOT HOLD", "bold red")
        first, *others = self._wrap(text, " " * (_LABEL_WIDTH + 3))
        label = Text.assemble("   ", mark, " " * max(1, _LABEL_WIDTH - len(mark[0])))
        self._write(label + first.lstrip())
        for line in others:
            self._write(Text(line))

    def sum_up(self, name: str, state: str, reason: str) -> None:
        """Write one line of the end: what became of something, and why; a line more if need be."""
        head = f"   {name:{_NAME_WIDTH}} {state:{_STATE_WIDTH}} "
        first, *others = self._wrap(reason, " " * len(head)) or [head]
        self._write(Text(head + first[len(head) :]))
        for line in others:
            self._write(Text(line))

    def fail(self, text: str) -> None:
        """Say what went wrong."""
        for line in self._wrap(text):
            self._write(Text(line, style="bold red"))

    def leave_line(self) -> None:
        self._write(Text())

    def _wrap(self, text: str, indent: str = "") -> list[str]:
        # A long path is left whole: it is there to be copied.
        return textwrap.wrap(
            make_printable(text),
            self._width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )

    def _write(self, text: Text) -> None:
        try:
            self._console.print(text, soft_wrap=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from error
