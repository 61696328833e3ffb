"""Reports that arrive as mail, at the addresses that our TLSRPT records name: proved, then kept.

RFC 8460 §3 (a report without a valid signature is to be ignored; the key's service type `tlsrpt`),
§5.3; RFC 6376 §3.5 (l=, which would leave room for another report behind the signed one). What
proves a report is a signature of its author's domain; it counts for that domain, whatever it says
of itself. The mail goes on to its mailbox in any case.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.network.dns import Resolver
from letterlock.protocols.dkim.author import find_author_domains
from letterlock.protocols.dkim.fields import find_authors
from letterlock.protocols.dkim.results import DkimResult, SignatureResult
from letterlock.protocols.dkim.verifying import Verifier
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.smtp.xtext import XtextError, decode_xtext
from letterlock.protocols.tlsrpt.finding import FORWARDED, Found, read_file
from letterlock.protocols.tlsrpt.report import Fault, ReportError
from letterlock.services.discover.dkim_keys import DkimKeyFinder
from letterlock.services.intake.keeping import KEEP_UNPROVED, find_date_fault
from letterlock.storage.queue import Claim, QueueId, QueueStore, StoreUnavailable
from letterlock.storage.received_reports import ReceivedReport, ReceivedStore, Standing, Way

SERVICE = "tlsrpt"
PATIENCE = timedelta(hours=4)
"""For so long a mail waits for a key that cannot be looked up; then it is kept, and not counted."""
MAX_OCTETS = 8 * 1024 * 1024
"""Of a mail that is read, which is whole in memory then; real ones have a hundredth of it. One that
is larger can be imported."""
MAX_TAKEN = 10_000
"""Mails whose reports are kept, and which may be tried again where they go on to."""
MAX_KEPT_OCTETS = 1024 * 1024
"""Of what is refused: it is there to be looked at."""


class Proof(Struct, frozen=True):
    """Whose mail it is. `domain` is empty where that is not proved; `reason` says why.

    `is_final` False: it may be proved later.
    """

    domain: str
    reason: str = ""
    is_final: bool = True


def judge_signatures(authors: Sequence[str], results: Sequence[SignatureResult]) -> Proof:
    """Say whose mail it is: of one author, whose domain, or one above it, signed all of it."""
    if len(authors) != 1:
        return Proof("", f"it has {len(authors)} authors")
    (author,) = authors
    reasons = []
    is_final = True
    for each in results:
        reason = _find_fault(author, each)
        if reason is None:
            return Proof(author)
        if each.result is DkimResult.TEMPERROR:
            is_final = False
        reasons.append(f"{each.domain or 'a signature'}: {reason}")
    return Proof("", "; ".join(reasons) or "it is not signed", is_final)


def _find_fault(author: str, result: SignatureResult) -> str | None:
    if result.result is not DkimResult.PASS:
        return result.reason
    if author != result.domain and not author.endswith(f".{result.domain}"):
        return f"its author is of {author}"
    if result.has_length:
        return "it signs a part only (l=)"
    if result.is_testing:
        return "its key is only for tests (t=y)"
    return None


@dataclass(frozen=True, slots=True)
class _Read:
    """What was in a mail, and what is left to be verified: no more of it is needed."""

    found: Sequence[Found]
    verifier: Verifier
    authors: tuple[str, ...]
    beginning: bytes


class MailIntake:
    """Takes reports out of mail that is being delivered. Fulfils `deliver.delivery.ReportTaker`."""

    def __init__(
        self,
        addresses: frozenset[str],
        make_store: Callable[[], ReceivedStore],
        resolver: Resolver,
        clock: Clock,
        log: Log,
        keep: timedelta,
    ) -> None:
        """Take those at some addresses, in lower case; forget those on days before `keep`.

        Each store that is made is opened once.
        """
        self._addresses = addresses
        self._make_store = make_store
        self._keys = DkimKeyFinder(resolver)
        self._clock = clock
        self._log = log
        self._keep_for = keep
        # One at a time is whole in memory.
        self._reading = asyncio.Lock()
        self._taken: dict[QueueId, None] = {}

    def wants(self, recipient: Recipient) -> bool:
        """Say if reports may come to a recipient, by its address or the one whose alias it is."""
        named = (recipient.address, _find_original(recipient))
        return any(each.lower() in self._addresses for each in named)

    async def take(self, claim: Claim, store: QueueStore) -> str | None:
        """Keep the reports of a message. None: it can go on; else why it has to wait.

        A message that has none, or was taken before, can go on. Raises what reading it does.
        """
        if claim.queue_id in self._taken:
            return None
        if claim.size > MAX_OCTETS:
            self._tell(claim, f"{claim.size} octets are too large for one: import it if it is")
            return None
        read = await self._read(claim, store)
        if read is None:
            return None
        now = self._clock.now()
        proof = await self._prove(read)
        if not proof.domain and not proof.is_final and now < claim.received + PATIENCE:
            return f"whose report it is cannot be verified now: {proof.reason}"
        reports = [_make(each, proof, read.beginning, now) for each in read.found]
        try:
            are_new = await self._keep(reports)
        except StoreUnavailable as error:
            return f"reports cannot be kept now: {error}"
        for report, is_new in zip(reports, are_new, strict=True):
            self._tell(claim, _describe(report, is_new=is_new))
        if len(self._taken) >= MAX_TAKEN:
            del self._taken[next(iter(self._taken))]
        self._taken[claim.queue_id] = None
        return None

    async def _read(self, claim: Claim, store: QueueStore) -> _Read | None:
        """Read what is in a mail; None where that is no report."""
        async with self._reading:
            mail = b"".join([piece async for piece in store.read_body(claim.queue_id)])
            # The largest take a second, in which others go on.
            found = await asyncio.to_thread(read_file, mail)
        if all(isinstance(each, ReportError) and each.fault is Fault.NO_REPORT for each in found):
            return None
        head, _, body = mail.partition(b"\r\n\r\n")
        header = head + b"\r\n"
        verifier = Verifier(header, self._clock.now(), SERVICE)
        verifier.receive(body)
        authors = [name for each in find_authors(header) for name in find_author_domains(each)]
        return _Read(found, verifier, tuple(authors), mail[:MAX_KEPT_OCTETS])

    async def _prove(self, read: _Read) -> Proof:
        verifier = read.verifier
        results = verifier.finish(await self._keys.find(verifier.key_names))
        return judge_signatures(read.authors, results)

    async def _keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        store = self._make_store()
        await store.open()
        try:
            are_new = await store.keep(reports)
            now = self._clock.now()
            await store.forget((now - self._keep_for).date(), now - KEEP_UNPROVED)
            return are_new
        finally:
            await store.close()

    def _tell(self, claim: Claim, text: str) -> None:
        self._log.write(Service.TLSRPT, f"report by mail: {text}", queue_id=str(claim.queue_id))


def _find_original(recipient: Recipient) -> str:
    """Give the address that the mail was for before aliases (RFC 3461 §4.2); "" without one."""
    kind, _, address = (recipient.orcpt or "").partition(";")
    if kind.lower() != "rfc822":
        return ""
    try:
        return decode_xtext(address)
    except XtextError:
        return ""


def _make(found: Found, proof: Proof, beginning: bytes, now: datetime) -> ReceivedReport:
    if isinstance(found, ReportError):
        return ReceivedReport(
            now, Way.MAIL, Standing.REFUSED, proof.domain, None, beginning, note=str(found)
        )
    standing, note = Standing.COUNTED, ""
    if not proof.domain:
        standing, note = Standing.UNAUTHENTICATED, proof.reason
    elif FORWARDED in found.repairs:
        standing, note = Standing.UNAUTHENTICATED, "it was forwarded: who signs did not write it"
    made = ReceivedReport(
        *(now, Way.MAIL, standing, proof.domain, found.report, found.raw, found.repairs, note)
    )
    fault = find_date_fault(made.day, now)
    if fault is None:
        return made
    return replace(made, standing=Standing.REFUSED, report=None, note=fault)


def _describe(report: ReceivedReport, *, is_new: bool) -> str:
    if not is_new:
        return f"from={report.submitter or 'somebody'}, kept before"
    why = f" ({report.note})" if report.note else ""
    policies = len(report.report.policies) if report.report is not None else 0
    whose = report.submitter or "somebody"
    return f"from={whose}, day={report.day}, policies={policies}, {report.standing.value}{why}"
