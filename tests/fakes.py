"""In-memory twins of what a test must hold still: the clock, and the log."""

from datetime import UTC, datetime, timedelta

from letterlock.base.log import Service

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def move(self, step: timedelta) -> None:
        """Let time pass."""
        self._now += step
        self._elapsed += step.total_seconds()

    def set_wall(self, moment: datetime) -> None:
        """Set the wall clock, backwards too: the monotonic one does not follow."""
        self._now = moment


class FakeLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[Service, str | None, str]] = []

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        del fields
        self.lines.append((service, queue_id, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.lines]
