"""What a probe writes down while it runs, so that it is there however the probe ends.

When it began, how long each step took, and what was said (the dialogue of RFC 5321 §3.1, §3.2, and
of what is spoken before TLS elsewhere). What it means is not said here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from letterlock.base.clock import Clock
from letterlock.base.printable import make_printable
from letterlock.network.smtp_speaker import Dialogue
from letterlock.protocols.check.facts import Probe, ProbeStep, StepTime

MAX_LINES = 60
MAX_CHARACTERS = 1000
"""Of one line: what a reply to EHLO with thirty extensions has."""


class KeptDialogue(Dialogue):
    """A dialogue of which nothing is taken away: a probe wants all of it at its end."""

    def take(self) -> tuple[str, ...]:
        return tuple(self.lines)


@dataclass(slots=True)
class ProbeRecord:
    """Begins when it is made. `said` is filled by whoever talks."""

    clock: Clock
    begun: datetime = field(init=False)
    said: list[str] = field(default_factory=list)
    _seconds: dict[ProbeStep, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = self.clock.now()

    @contextmanager
    def timing(self, step: ProbeStep) -> Iterator[None]:
        """Count the time in it for a step, whatever ends it."""
        start = self.clock.monotonic()
        try:
            yield
        finally:
            spent = self.clock.monotonic() - start
            self._seconds[step] = self._seconds.get(step, 0.0) + spent

    def add_to(self, probe: Probe) -> Probe:
        """Give a probe with what is written down."""
        times = tuple(StepTime(step, seconds) for step, seconds in self._seconds.items())
        said = bound_transcript(self.said)
        return replace(probe, begun=self.begun, times=times, transcript=said)


def bound_transcript(lines: Sequence[str]) -> tuple[str, ...]:
    """Make what was said printable, and no longer than somebody would read."""
    shown = tuple(make_printable(line[:MAX_CHARACTERS]) for line in lines[:MAX_LINES])
    left = len(lines) - len(shown)
    return (*shown, f"! and {left} lines more") if left else shown
