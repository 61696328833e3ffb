"""One claim on its way through the hosts of a route: who still waits, why, and what was tried.

Bookkeeping only: `remote` and `sending` tell it what happened. A recipient's last reason is the one
that is shown. A permanent refusal by a host as a whole counts only when no other host, tried in
the same delivery, had a problem that may pass (RFC 5321 §4.2.5 lets a client go on after 5yz), and
never where the operator chose the next hop.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.protocols.policy.judge import judge_unusable
from letterlock.protocols.policy.requirement import HostUnusable, Requirement
from letterlock.protocols.policy.told_level import UNKNOWN_LEVEL, Kept, tell_level
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.smtp.envelope import Envelope, TlsDemand
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.status_codes import status_of
from letterlock.protocols.smtp.transaction_result import RecipientOutcome, Stage
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.deliver.story import Story
from letterlock.services.deliver.tally import Tally
from letterlock.services.discover.routes import MxHost, NoRoute
from letterlock.services.queue.outcomes import Delivery, Outcome, Result
from letterlock.storage.queue import AttemptRecord, Claim, ClaimedRecipient, QueueStore


class Journey:
    """What is known so far of a claim's delivery."""

    def __init__(
        self,
        claim: Claim,
        store: QueueStore,
        clock: Clock,
        credentials: Credentials | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.claim = claim
        self.tally = tally
        """What connections count as in TLS reports; None: they do not."""
        self.credentials = credentials
        self.store = store
        self.waiting: dict[int, ClaimedRecipient] = {r.number: r for r in claim.recipients}
        self.sessions = 0
        self.is_host_chosen = False
        """The operator chose the next hop: that it wants nobody is not the message's fault."""
        self._level = ""
        self._clock = clock
        self._done: list[Outcome] = []
        self._attempts: list[AttemptRecord] = []
        self._problems: dict[int, Outcome] = {}
        self._has_passing_problem = False
        self._started = clock.now()
        self._began = self._connected = clock.monotonic()

    def start_attempt(self) -> None:
        """Begin with another address."""
        self._started = self._clock.now()
        self._began = self._connected = self._clock.monotonic()

    def note_level(self, asked: Requirement | HostUnusable, kept: Kept) -> None:
        """Note what the host that is tried now is held to, and if it was: it is in the log."""
        is_requiretls = self.claim.tls_demand is TlsDemand.REQUIRETLS and bool(self.claim.sender)
        self._level = tell_level(asked, kept, is_requiretls=is_requiretls)

    def note_connected(self) -> None:
        """Note that the connection is there, TLS included: what follows is the sending."""
        self._connected = self._clock.monotonic()

    @property
    def tls_demand(self) -> TlsDemand:
        """What hosts are held to. RFC 8689 §4.2.1, §5: a notification is not held to REQUIRETLS."""
        demand = self.claim.tls_demand
        is_waived = demand is TlsDemand.REQUIRETLS and not self.claim.sender
        return TlsDemand.NORMAL if is_waived else demand

    def envelope(self, recipients: Sequence[ClaimedRecipient]) -> Envelope:
        """Give the envelope for some of the recipients."""
        claim = self.claim
        return Envelope(
            sender=claim.sender,
            recipients=tuple(item.recipient for item in recipients),
            body_type=claim.body_type,
            smtputf8=claim.smtputf8,
            ret=claim.ret,
            envid=claim.envid,
            tls_demand=claim.tls_demand,
        )

    def read_body(self) -> AsyncGenerator[bytes, None]:
        """Give the message in pieces."""
        return self.store.read_body(self.claim.queue_id)

    def note_outcomes(self, relay: str, outcomes: Mapping[int, RecipientOutcome]) -> None:
        """Take what a transaction came to."""
        for number, outcome in outcomes.items():
            noted = self._note(number, relay, outcome)
            if noted.result is Result.DEFERRED:
                self._has_passing_problem = True
                self._problems[number] = noted
            else:
                del self.waiting[number]
                self._done.append(noted)

    def note_problem(
        self, relay: str, status: str, text: str, tls_result: ResultType | None = None
    ) -> None:
        """Note that nobody could be sent to at this address, for a reason that may pass."""
        self._has_passing_problem = True
        self._defer(relay, status, text, tls_result=tls_result)

    def note_unfit(
        self, relay: str, status: str, text: str, tls_result: ResultType | None = None
    ) -> None:
        """Note that this host must not have the message: it fails unless another may have it."""
        self._defer(relay, status, text, tls_result=tls_result)

    def note_refused(self, relay: str, reply: Reply, text: str) -> None:
        """Note that a host as a whole refused, by this reply."""
        self._has_passing_problem |= self.is_host_chosen or not reply.is_permanent
        # A greeting of 250 is no refusal that RFC 5321 §4.2.1 knows, and no success either.
        status = "4.5.0" if reply.is_positive else status_of(reply)
        self._defer(relay, status, text, reply=reply)

    def note_untried(self, relay: str, text: str, recipients: Sequence[ClaimedRecipient]) -> None:
        """Note that a session ended before these had their turn."""
        self._has_passing_problem = True
        connect, send = self._seconds()
        for item in recipients:
            self._problems[item.number] = Outcome(
                item.number,
                Result.DEFERRED,
                "4.4.2",
                f"{relay}: the session ended before this recipient's turn: {text}",
                relay,
                connect_seconds=connect,
                send_seconds=send,
                tls_level=self._level,
            )

    def note_unknown_host(self, host: MxHost) -> None:
        """Note that a host has no address; what another host said is the better reason."""
        text = host.error or "no address"
        self._has_passing_problem |= host.is_passing
        status = "4.4.3" if host.is_passing else "5.4.4"
        for number in self.waiting:
            unknown = Outcome(number, Result.DEFERRED, status, text)
            self._problems.setdefault(number, unknown)
        self.start_attempt()
        self.end_attempt("none", text, Story(outcome=text))

    def note_unusable(self, relay: str, unusable: HostUnusable) -> None:
        """Note that the policy lets no mail go to this host."""
        text = f"{relay}: not tried: {unusable.reason}"
        self.start_attempt()
        self.note_level(unusable, Kept.UNMET)
        if unusable.is_permanent:
            self.note_unfit(relay, "5.7.10", text, unusable.result_type)
        else:
            self.note_problem(relay, "4.7.5", text, unusable.result_type)
        self.end_attempt(relay, text, Story(verdict=judge_unusable(unusable), outcome=text))

    def defer_for_policy(
        self, reason: str, *, relay: str = "none", requirement: Requirement | None = None
    ) -> None:
        """Note that the policy for this next hop can't be used: its mail waits, whatever host."""
        text = f"TLS policy for this destination is unusable: {reason}"
        self.start_attempt()
        self._level = UNKNOWN_LEVEL
        self.note_problem(relay, "4.7.5", text)
        self.end_attempt(relay, text, Story(requirement, outcome=text))

    def defer_for_login(self, reason: str) -> None:
        """Note that it can't be known which account the next hop wants."""
        text = f"the account for this destination is unknown: {reason}"
        self.start_attempt()
        self.note_problem("none", "4.7.0", text)
        self.end_attempt("none", text, Story(outcome=text))

    def break_off(self, error: Exception) -> bool:
        """Keep what some were answered though the rest broke; False: nobody was answered yet.

        What a server took must not be sent again because the store went away behind it.
        """
        if not self._done:
            return False
        relay, text = self._done[-1].relay, f"local error: {error!r}"
        self.note_problem(relay, "4.3.0", text)
        everyone = [item.number for item in self.claim.recipients]
        self.end_attempt(relay, text, Story(outcome=text), numbers=everyone)
        return True

    def end_without_route(self, route: NoRoute) -> None:
        """Note that there is no host to go to."""
        self._has_passing_problem = not route.is_permanent
        self._defer("none", route.status, route.reason)
        self.end_attempt("none", route.reason, Story(outcome=route.reason))

    def end_attempt(
        self, relay: str, summary: str, story: Story, *, numbers: Sequence[int] | None = None
    ) -> None:
        """Keep the story of what was tried since `start_attempt`."""
        seconds = self._clock.monotonic() - self._began
        recipients = tuple(self.waiting) if numbers is None else tuple(numbers)
        self._attempts.append(
            AttemptRecord(
                started=self._started,
                duration=timedelta(seconds=seconds),
                relay=relay,
                summary=summary,
                story=story.describe(),
                recipients=recipients,
            )
        )

    def end(self) -> Delivery:
        """Give an outcome for every recipient."""
        for number in tuple(self.waiting):
            problem = self._problems.get(number)
            if problem is None:
                problem = Outcome(number, Result.DEFERRED, "4.4.3", "no host could be tried")
            self._done.append(problem)
        return Delivery(
            tuple(self._settle_class(item) for item in self._done),
            tuple(self._attempts),
            tuple(self.tally.sessions) if self.tally is not None else (),
        )

    def _settle_class(self, outcome: Outcome) -> Outcome:
        """Make a permanent refusal by all hosts a failure."""
        if outcome.result is not Result.DEFERRED or not outcome.status.startswith("5"):
            return outcome
        if self._has_passing_problem:
            return replace(outcome, status=f"4{outcome.status[1:]}")
        return replace(outcome, result=Result.FAILED)

    def _defer(
        self,
        relay: str,
        status: str,
        text: str,
        *,
        reply: Reply | None = None,
        tls_result: ResultType | None = None,
    ) -> None:
        """Note why everyone who waits still waits."""
        connect, send = self._seconds()
        for number in self.waiting:
            self._problems[number] = Outcome(
                number,
                Result.DEFERRED,
                status,
                text,
                relay,
                remote=_speaker(relay) if reply else None,
                diagnostic=reply.transcript if reply else None,
                tls_result=tls_result,
                connect_seconds=connect,
                send_seconds=send,
                tls_level=self._level,
            )

    def _note(self, number: int, relay: str, outcome: RecipientOutcome) -> Outcome:
        reply, text = outcome.reply, outcome.reply.text
        if outcome.is_accepted:
            result = Result.DELIVERED
        else:
            is_final = reply.is_permanent and not outcome.may_follow
            result = Result.FAILED if is_final else Result.DEFERRED
            text = text if outcome.is_ours else f"host {relay} said: {text}"
            if outcome.stage is not Stage.NONE:
                text = f"{text} (in reply to {outcome.stage})"
        connect, send = self._seconds()
        return Outcome(
            number,
            result,
            status_of(reply),
            text,
            relay,
            remote=None if outcome.is_ours else _speaker(relay),
            diagnostic=None if outcome.is_ours else reply.transcript,
            is_dsn_passed_on=outcome.is_accepted and not outcome.is_relayed,
            connect_seconds=connect,
            send_seconds=send,
            tls_level=self._level,
        )

    def _seconds(self) -> tuple[float, float]:
        now = self._clock.monotonic()
        return self._connected - self._began, now - self._connected


def _speaker(relay: str) -> str:
    """Give `host[ip]` of a relay, or `host[path]` of one that is a unix socket."""
    return relay[: relay.rfind("]") + 1]
