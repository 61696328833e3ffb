"""Our own verification of DKIM signatures on mail from outside, as a filter among the others.

What came of it goes into an Authentication-Results field of ours: RFC 8601 §2.7.1, §4.1. It never
refuses anything (RFC 6376 §6.3): a broken signature is as good as none. For SPF, DMARC and ARC
there are other programs.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.protocols.dkim.results import SignatureResult
from letterlock.protocols.dkim.verifying import KeyAnswer, Verifier
from letterlock.protocols.smtp.authentication_results import (
    AuthenticationResults,
    MethodResult,
    Property,
    format_results,
)
from letterlock.protocols.smtp.field_edits import InsertField
from letterlock.protocols.smtp.header_fields import format_field, make_safe
from letterlock.services.filter.contract import (
    Answer,
    FilterClient,
    FilterMail,
    FilterMessage,
    Judgement,
    Passed,
)

KeyFinder = Callable[[Collection[Domain]], Awaitable[Mapping[Domain, KeyAnswer]]]
"""Looks up keys: `services.discover.dkim_keys`."""

_NAME = "Authentication-Results"
_PASSED = Passed()
_UNSIGNED = MethodResult("dkim", "none")


class DkimResultsFilter(Struct, frozen=True):
    """Verifies, and says so in the name `authserv_id`."""

    authserv_id: str
    find_keys: KeyFinder
    clock: Clock
    log: Log

    @property
    def name(self) -> str:
        return "dkim.verify"

    def begin(self, client: FilterClient) -> "DkimVerification":  # noqa: ARG002 - all are equal
        return DkimVerification(self)


class DkimVerification:
    """One session. There is nothing between its messages that could be ended or closed."""

    def __init__(self, own: DkimResultsFilter) -> None:
        self._own = own

    async def begin(self, mail: FilterMail) -> Answer:  # noqa: ARG002 - signatures know no sender
        return _PASSED

    async def take_recipient(
        self,
        address: str,  # noqa: ARG002
        parameters: tuple[str, ...],  # noqa: ARG002
    ) -> Answer:
        return _PASSED

    async def judge(self, message: FilterMessage) -> Judgement:
        """Verify. Raises what reading the message raises."""
        own = self._own
        verifier = Verifier(message.header, own.clock.now())
        names = verifier.key_names
        if names:
            async for piece in message.read_body():
                verifier.receive(piece)
        found = verifier.finish(await own.find_keys(names) if names else {})
        for each in found:
            text = f"DKIM verification: {each.result} (s={each.selector}, d={each.domain})"
            own.log.write(Service.SMTPD, make_safe(text), queue_id=message.queue_id)
        results = tuple(map(_describe, found)) or (_UNSIGNED,)
        field = format_field(_NAME, format_results(AuthenticationResults(own.authserv_id, results)))
        value = field.removeprefix(f"{_NAME}:").removesuffix("\r\n")
        return Judgement(edits=(InsertField(0, _NAME, value.encode()),))

    def abort(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""


def _describe(found: SignatureResult) -> MethodResult:
    properties = (
        ("d", found.domain),
        ("s", found.selector),
        ("a", found.algorithm),
        ("i", found.auid),
    )
    return MethodResult(
        "dkim",
        found.result,
        make_safe(found.reason) or None,
        tuple(
            Property("header", name, make_safe(value, may_be_utf8=True))
            for name, value in properties
            if value
        ),
    )
