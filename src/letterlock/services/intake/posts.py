"""Reports that are posted over HTTPS: to the path of a domain of ours, bounded, then kept.

RFC 8460 §5.4: any 2xx says that a report is ours, so it is only said when it is committed. Nobody
proves who posts: a report counts for the domain of its path alone, and its submitter, which only
the report itself tells, is marked (`storage.received_reports`). HTTP is `network.post_server`'s.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus

from letterlock.base.client_keys import client_key
from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service, make_value
from letterlock.network.http_server import HttpAsked
from letterlock.network.post_server import NOT_FOUND, PostAnswer, TakeBody
from letterlock.protocols.http.posts import PostHead
from letterlock.protocols.tlsrpt.finding import Found, read_file
from letterlock.protocols.tlsrpt.mail import GZIP_TYPE, JSON_TYPE
from letterlock.protocols.tlsrpt.report import Fault, ReadReport
from letterlock.protocols.tlsrpt.unpacking import is_packed
from letterlock.services.intake.group_keeping import GroupKeeper
from letterlock.services.intake.hourly_limits import HourlyLimit
from letterlock.services.intake.keeping import find_submitter
from letterlock.services.intake.post_paths import PostPaths
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.received_reports import ReceivedReport, Standing, Way

RETRY_SECONDS = 300
"""After which who came while the database was away is asked to come again."""
OCTETS_OF_ONE = 64 * 1024
"""A report counts once against the limits for each so much of JSON."""
READ_AT_ONCE_OCTETS = 16 * 1024
PACKED_AT_ONCE_OCTETS = 4 * 1024
"""What is no longer is read in a few milliseconds; the rest in a thread, one at a time."""
MAX_REASONS = 3

_ENCODINGS = frozenset(("", "identity", "gzip", "x-gzip"))
_STATUSES = {Fault.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
_BAD_ENCODING = PostAnswer(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content encoding is none, or gzip; not this one"
)
_TOMORROW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PostRules:
    """Who may post what. `hosts` are our MX hosts, whose results may be in a domain's reports."""

    paths: PostPaths
    hosts: Collection[Domain]
    per_client: int
    per_domain: int
    keep: timedelta


class PostIntake:
    """Takes reports that are posted. Fulfils `network.post_server.Taker`."""

    def __init__(self, rules: PostRules, keeper: GroupKeeper, clock: Clock, log: Log) -> None:
        self._rules = rules
        self._keeper = keeper
        self._clock = clock
        self._log = log
        self._clients = HourlyLimit(rules.per_client, clock)
        self._domains = HourlyLimit(rules.per_domain, clock)
        # One at a time is unpacked in memory.
        self._reading = asyncio.Lock()
        self._fault = ""

    def begin(self, asked: HttpAsked, head: PostHead, client: str) -> PostAnswer | TakeBody:
        domain = self._rules.paths.find(asked.path)
        if domain is None:
            return NOT_FOUND
        if head.content_encoding not in _ENCODINGS:
            return _BAD_ENCODING
        key = client_key(client)
        wait = max(self._clients.find_wait(key), self._domains.find_wait(domain))
        if wait:
            status = HTTPStatus.TOO_MANY_REQUESTS
            return PostAnswer(status, f"too many reports; come again in {wait} seconds", wait)
        self._clients.take_found(key)
        self._domains.take_found(domain)
        return partial(self._take_body, domain, head, client)

    async def _take_body(
        self, domain: Domain, head: PostHead, client: str, body: bytes
    ) -> PostAnswer:
        most = PACKED_AT_ONCE_OCTETS if is_packed(body) else READ_AT_ONCE_OCTETS
        found = read_file(body) if len(body) <= most else await self._read_aside(body)
        now = self._clock.now()
        reports = _make_reports(found, head, now)
        if more := sum([len(each.octets) for each in reports]) // OCTETS_OF_ONE:
            self._clients.take(client_key(client), more)
            self._domains.take(domain, more)
        refused = _find_unreadable(found) or self._find_foreign(reports, domain, now)
        if refused is not None:
            self._tell(domain, client, f"refused: {refused.text}")
            return refused
        try:
            are_new = await self._keeper.keep(reports)
        except StoreUnavailable as error:
            return self._send_away(domain, error)
        except Exception as error:  # noqa: BLE001 - one report's fault is not the server's
            self._tell(domain, client, f"error: {error!r}")
            return PostAnswer(HTTPStatus.INTERNAL_SERVER_ERROR, "it cannot be kept")
        self._fault = ""
        for report, is_new in zip(reports, are_new, strict=True):
            self._tell(domain, client, _describe(report, is_new=is_new))
        return PostAnswer(HTTPStatus.OK, "kept" if any(are_new) else "kept before")

    async def _read_aside(self, body: bytes) -> Sequence[Found]:
        async with self._reading:
            return await asyncio.to_thread(read_file, body)

    def _find_foreign(
        self, reports: Sequence[ReceivedReport], domain: Domain, now: datetime
    ) -> PostAnswer | None:
        """Refuse what is about others, or about days that nothing is kept of."""
        first, last = (now - self._rules.keep).date(), (now + _TOMORROW).date()
        for each in reports:
            for policy in each.report.policies if each.report is not None else ():
                name = policy.domain
                if name and name != domain and not self._is_ours(name, domain):
                    text = (
                        f"it is about other domains than {domain}, to whose address it was posted"
                    )
                    return PostAnswer(HTTPStatus.UNPROCESSABLE_ENTITY, text)
            if not first <= each.day <= last:
                text = f"it is about {each.day}, a day that no reports are kept of"
                return PostAnswer(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        return None

    def _is_ours(self, name: str, domain: Domain) -> bool:
        return name.endswith(f".{domain}") or name in self._rules.hosts

    def _send_away(self, domain: Domain, error: StoreUnavailable) -> PostAnswer:
        if str(error) != self._fault:
            text = f"warning: reports that are posted cannot be kept now: {error}"
            self._log.write(Service.TLSRPT, text)
        self._fault = str(error)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return PostAnswer(status, f"a report about {domain} cannot be kept now", RETRY_SECONDS)

    def _tell(self, domain: Domain, client: str, text: str) -> None:
        line = f"report by https: to={domain}, client={client}, {text}"
        self._log.write(Service.TLSRPT, line, client=client)


def _find_unreadable(found: Sequence[Found]) -> PostAnswer | None:
    errors = [each for each in found if not isinstance(each, ReadReport)]
    if not errors:
        return None
    status = _STATUSES.get(errors[0].fault, HTTPStatus.BAD_REQUEST)
    return PostAnswer(status, "; ".join(map(str, errors[:MAX_REASONS])))


def _make_reports(found: Sequence[Found], head: PostHead, now: datetime) -> list[ReceivedReport]:
    notes = _judge_type(head)
    return [
        ReceivedReport(
            *(now, Way.HTTPS, Standing.COUNTED, find_submitter(each.report)),
            *(each.report, each.raw, notes + each.repairs),
        )
        for each in found
        if isinstance(each, ReadReport)
    ]


def _judge_type(head: PostHead) -> tuple[str, ...]:
    """Name what is not as RFC 8460 §5.4 has it about the request."""
    if head.media_type in {GZIP_TYPE, JSON_TYPE}:
        return ()
    kind = make_value(head.media_type) or "missing"
    return (f"post: the report's media type is {kind}, not {GZIP_TYPE} or {JSON_TYPE}",)


def _describe(report: ReceivedReport, *, is_new: bool) -> str:
    whose = make_value(report.submitter) or "somebody"
    if not is_new:
        return f"from={whose}, kept before"
    policies = len(report.report.policies) if report.report is not None else 0
    return f"from={whose}, day={report.day}, policies={policies}, {report.standing.value}"
