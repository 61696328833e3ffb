"""In-memory twins of what a test must hold still: the clock, the log, DNS and proofs."""

from datetime import UTC, datetime, timedelta

from letterlock.base.domains import Domain
from letterlock.base.log import Service
from letterlock.protocols.acme.identifiers import ChallengeType, make_server_name
from letterlock.protocols.dns.answers import Answer, Existence, Record, Security
from letterlock.storage.challenges import PendingChallenge

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


class FixtureResolver:
    """DNS as a table. A name with records of other types gives NODATA, an unknown one NXDOMAIN."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answer] = {}
        self.asked: list[tuple[str, str]] = []

    def set(
        self, name: str, rdtype: str, *records: Record, security: Security = Security.INSECURE
    ) -> None:
        """Let a question have these records; none at all: NODATA."""
        existence = Existence.RECORDS if records else Existence.NODATA
        owner = Domain(name)
        self.put(Answer(owner, rdtype, security, existence, records, owner=owner, ttl=60))

    def put(self, answer: Answer) -> None:
        """Let a question have this answer."""
        self._answers[answer.name, answer.rdtype] = answer

    def fail(self, name: str, rdtype: str, security: Security = Security.FAILED) -> None:
        """Let a question fail."""
        reason = "DNSSEC validation failed" if security is Security.BOGUS else "no answer"
        self.put(Answer(Domain(name), rdtype, security, reason=reason))

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self.asked.append((name, rdtype))
        if answer := self._answers.get((name, rdtype)):
            return answer
        is_known = any(known == name for known, _ in self._answers)
        existence = Existence.NODATA if is_known else Existence.NXDOMAIN
        return Answer(name, rdtype, Security.INSECURE, existence, owner=name, ttl=60)


class FakeChallengeStore:
    """Fulfils `storage.challenges.ChallengeStore`. With a `fault` it is not available."""

    def __init__(self) -> None:
        self.challenges: dict[tuple[ChallengeType, str], PendingChallenge] = {}
        self.fault: Exception | None = None

    async def put(self, challenge: PendingChallenge, now: datetime) -> None:
        self._fail()
        self.challenges = {key: one for key, one in self.challenges.items() if one.until > now}
        self.challenges[challenge.kind, challenge.token] = challenge

    async def find_by_token(
        self, kind: ChallengeType, token: str, now: datetime
    ) -> PendingChallenge | None:
        self._fail()
        found = self.challenges.get((kind, token))
        return found if found is not None and found.until > now else None

    async def find_by_server_name(
        self, kind: ChallengeType, server_name: str, now: datetime
    ) -> PendingChallenge | None:
        self._fail()
        found = [
            each
            for each in self.challenges.values()
            if each.kind == kind
            and make_server_name(each.identifier) == server_name
            and each.until > now
        ]
        return max(found, key=lambda each: each.until, default=None)

    async def remove(self, kind: ChallengeType, token: str) -> None:
        self._fail()
        self.challenges.pop((kind, token), None)

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault
