"""Delivery to other hosts: route, requirement, connection, transaction, host by host.

RFC 5321 §5.1, §4.2.5; RFC 3207 §4; RFC 4954 §6; RFC 8689 §4.2. For each address in turn: decide
what TLS it must have, connect and judge, log in where we have an account, send; and go on to the
next while recipients are left that another host may take. What is sent on one connection is in
`sending`. Nothing is sent before the judgement.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.network.smtp_client import (
    Connected,
    Dialer,
    Dialled,
    TlsFailed,
    Unusable,
)
from letterlock.network.smtp_login import NotLoggedIn
from letterlock.network.smtp_speaker import Refused, Unreachable
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.policy.judge import NOT_OFFERED, may_fall_back, trust_word
from letterlock.protocols.policy.password_demand import HopSecret
from letterlock.protocols.policy.requirement import (
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
)
from letterlock.protocols.policy.told_level import Kept
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.deliver.anchors import AnchorFiles, AnchorsUnusable
from letterlock.services.deliver.journey import Journey
from letterlock.services.deliver.logins import Login, LoginUnknown, RelayLogins
from letterlock.services.deliver.outgoing import (
    MAX_ADDRESSES,
    RemoteSettings,
    is_starttls_refused,
    keep_from_clear,
    may_pass,
)
from letterlock.services.deliver.pool import ConnectionKey, ConnectionPool
from letterlock.services.deliver.sending import Sender
from letterlock.services.deliver.story import Story, describe_chain
from letterlock.services.deliver.tally import Tally
from letterlock.services.deliver.unreachable_hosts import UnreachableHosts
from letterlock.services.discover.hop_policy import HopPolicy, HostPolicy
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.routes import HostAddress, MxHost, NoRoute, Route, RouteFinder
from letterlock.services.queue.outcomes import Delivery
from letterlock.storage.queue import Claim, QueueStore

MAX_SESSIONS = 2
"""Sessions that leave recipients deferred before the rest waits; as in Postfix."""


@dataclass(frozen=True, slots=True)
class RemoteDelivery:
    """Delivers claims to the hosts of a next hop."""

    finder: RouteFinder
    dialer: Dialer
    pool: ConnectionPool
    sender: Sender
    unreachable: UnreachableHosts
    policy: HopPolicy
    anchors: AnchorFiles
    settings: RemoteSettings
    clock: Clock
    log: Log
    logins: RelayLogins | None = None

    async def deliver(
        self,
        claim: Claim,
        next_hop: NextHop,
        store: QueueStore,
        *,
        is_relay: bool = False,
        is_chosen: bool = False,
    ) -> Delivery:
        """Try the next hop's hosts in order; what none took is deferred, with the last reason.

        `is_relay`: it is the relay host of all mail, or of the sender's. `is_chosen` as in ToHost.
        """
        login: Login = None
        if self.logins is not None:
            login = self.logins.find(next_hop, claim.sender, is_relay=is_relay)
        if isinstance(login, LoginUnknown):
            journey = Journey(claim, store, self.clock)
            journey.defer_for_login(login.reason)
            return journey.end()
        journey = Journey(claim, store, self.clock, login, self._make_tally(claim, next_hop))
        route = await self.finder.find(next_hop, is_chosen=is_chosen)
        match route:
            case NoRoute():
                journey.end_without_route(route)
            case Route():
                journey.is_host_chosen = route.is_chosen
                try:
                    await self._try_route(journey, route)
                except Exception as error:
                    if not journey.break_off(error):
                        raise
            case _:
                assert_never(route)
        return journey.end()

    async def _try_route(self, journey: Journey, route: Route) -> None:
        """Try the hosts; once more if they failed by a policy that is not the domain's any more."""
        unmet = await self._try_hosts(journey, route)
        if unmet is not None and await self.policy.has_newer(unmet):
            if journey.tally is not None:
                journey.tally.forget()
            await self._try_hosts(journey, route)

    async def _try_hosts(self, journey: Journey, route: Route) -> MtaStsFacts | None:
        """Try the hosts in order; gives the MTA-STS policy that one did not meet, if any."""
        decided: tuple[MxHost, HostPolicy] | None = None
        unmet: MtaStsFacts | None = None
        tried, out = 0, None
        for host, address in _addresses(journey, route):
            is_over = tried >= MAX_ADDRESSES or journey.sessions >= MAX_SESSIONS
            if is_over or not journey.waiting:
                break
            target = self.settings.find_target(route.next_hop, host, address)
            if decided is None or decided[0] is not host:
                decided = (
                    host,
                    await self.policy.decide(
                        route, host, journey.tls_demand, self._find_secret(journey)
                    ),
                )
                if journey.tally is not None:
                    journey.tally.begin_host(*decided)
            requirement, mta_sts = decided[1].decision, decided[1].published.mta_sts
            if isinstance(requirement, RequirementInvalid):
                journey.defer_for_policy(f"{requirement.where}: {requirement.reason}")
                break
            if isinstance(requirement, HostUnusable):
                if host is not out:  # once, whatever its addresses: none of them is tried
                    journey.note_unusable(target.relay, requirement)
                out, unmet = host, mta_sts if requirement.may_be_outdated else unmet
                continue
            tried += 1
            anchors = self.anchors.load(requirement.trust_files)
            if isinstance(anchors, AnchorsUnusable):
                journey.defer_for_policy(anchors.reason)
                break
            key = ConnectionKey(target, requirement, journey.credentials)
            is_met = await self._try_target(journey, key, anchors)
            if not is_met and requirement.mta_sts is not None and requirement.mta_sts.is_enforced:
                unmet = mta_sts
        return unmet if journey.waiting else None

    async def _try_target(
        self, journey: Journey, key: ConnectionKey, anchors: TrustAnchors
    ) -> bool:
        """Send over a connection kept from before, or else over a new one.

        False when it did not meet the requirement; another address of the host may.
        """
        while (connection := self.pool.take(key)) is not None:
            journey.start_attempt()
            self._log_tls(connection, key.requirement, is_reused=True)
            if await self._send(journey, key, connection, is_reused=True):
                return True
            # It had been closed meanwhile, before our MAIL was answered.
        journey.note_level(key.requirement, Kept.UNDECIDED)
        reason = self.unreachable.find_reason(key.target.address)
        if reason is not None:
            text = f"delivery temporarily suspended: connect to {key.target.relay}: {reason}"
            journey.note_problem(key.target.relay, "4.4.1", text)
            return True
        if (refusal := self._find_refusal(key)) is not None:
            text = f"{key.target.relay}: not tried, refused some minutes ago: {refusal}"
            journey.note_problem(key.target.relay, "4.7.8", text)
            return True
        journey.start_attempt()
        dialled = await self._dial(key, anchors)
        if journey.tally is not None:
            journey.tally.add(key, dialled)
        may_go_clear = self._may_go_clear(journey, key)
        if isinstance(dialled, Connected) and is_starttls_refused(dialled) and not may_go_clear:
            dialled = await keep_from_clear(dialled)
        elif isinstance(dialled, TlsFailed) and dialled.handshake is not None and may_go_clear:
            self._note_tls_failure(journey, key, dialled, then="trying again in clear")
            journey.start_attempt()
            dialled = await self.dialer.dial(
                key.target, key.requirement, anchors, is_tls_wanted=False
            )
        await self._use(journey, key, dialled)
        return not isinstance(dialled, TlsFailed)

    async def _dial(self, key: ConnectionKey, anchors: TrustAnchors) -> Dialled:
        with self.unreachable.trial(key.target.address) as trial:
            dialled = await self.dialer.dial(
                key.target, key.requirement, anchors, credentials=key.credentials
            )
            if isinstance(dialled, Unreachable) and dialled.is_silent:
                trial.fail(dialled.detail)
            elif not isinstance(dialled, Unusable):
                trial.succeed()
        return dialled

    async def _use(self, journey: Journey, key: ConnectionKey, dialled: Dialled) -> None:
        relay = key.target.relay
        match dialled:
            case Connected():
                self._log_tls(dialled, key.requirement, is_reused=False)
                await self._send(journey, key, dialled, is_reused=False)
            case TlsFailed():
                self._note_tls_failure(journey, key, dialled, then=None)
            case Refused(reply):
                self._note_secured(journey, key, dialled)
                text = f"host {relay} refused to talk to me: {reply.text}"
                journey.note_refused(relay, reply, text)
                self._end_early(journey, key, dialled, text)
            case Unreachable(detail, stage=stage):
                self._note_secured(journey, key, dialled)
                status = "4.4.1" if stage == "connecting" else "4.4.2"
                text = (
                    f"connect to {relay}: {detail}" if status == "4.4.1" else f"{relay}: {detail}"
                )
                journey.note_problem(relay, status, text)
                self._end_early(journey, key, dialled, text)
            case NotLoggedIn():
                self._note_secured(journey, key, dialled)
                self._note_no_login(journey, key, dialled)
            case Unusable(reason):
                journey.defer_for_policy(reason, relay=relay, requirement=key.requirement)
            case _:
                assert_never(dialled)

    def _note_secured(
        self, journey: Journey, key: ConnectionKey, ended: Refused | Unreachable | NotLoggedIn
    ) -> None:
        if ended.secured is not None:
            journey.note_level(key.requirement, Kept.MET)

    def _make_tally(self, claim: Claim, next_hop: NextHop) -> Tally | None:
        is_waived = claim.tls_demand is TlsDemand.TLS_REQUIRED_NO
        if not self.settings.is_counting or is_waived or next_hop.domain is None:
            return None
        return Tally(next_hop.domain)

    def _find_secret(self, journey: Journey) -> HopSecret:
        if self.logins is None or journey.credentials is None:
            return HopSecret.NONE
        return self.logins.secret

    def _find_refusal(self, key: ConnectionKey) -> str | None:
        if self.logins is None or key.credentials is None:
            return None
        return self.logins.find_refusal(key.target, key.credentials)

    def _note_no_login(self, journey: Journey, key: ConnectionKey, failed: NotLoggedIn) -> None:
        """Have mail wait, also for a reply of class 5: the account may be put right."""
        text = f"{key.target.relay}: {failed.reason}"
        if failed.is_refused and self.logins is not None and key.credentials is not None:
            self.logins.note_refusal(key.target, key.credentials, failed.reason)
        journey.note_problem(key.target.relay, "4.7.8" if failed.reply else "4.7.0", text)
        self.log.write(Service.SMTP, f"warning: {text}")
        self._end_early(journey, key, failed, text)

    def _end_early(
        self,
        journey: Journey,
        key: ConnectionKey,
        ended: Refused | Unreachable | NotLoggedIn,
        text: str,
    ) -> None:
        """End an attempt that came to no transaction; of TLS, if it came so far, is told too."""
        handshake = verdict = None
        if ended.secured is not None:
            handshake, verdict = ended.secured.handshake, ended.secured.verdict
            self._log_handshake(trust_word(key.requirement, verdict), key.target.relay, handshake)
        story = Story(key.requirement, handshake, verdict, ended.dialogue, text)
        journey.end_attempt(key.target.relay, text, story)

    async def _send(
        self, journey: Journey, key: ConnectionKey, connection: Connected, *, is_reused: bool
    ) -> bool:
        """Send; False when a connection kept from before was gone: nothing was sent."""
        journey.note_connected()
        kept = Kept.MET if connection.handshake is not None else Kept.IN_CLEAR
        journey.note_level(key.requirement, kept)
        try:
            sent = await self.sender.send(journey, connection)
        except BaseException:
            # The content cannot be read further, or we are to end: without its final dot it is
            # no message.
            connection.abort()
            raise
        if is_reused and sent.is_stale:
            connection.abort()
            return False
        story = Story(
            key.requirement,
            connection.handshake,
            connection.verdict,
            connection.take_dialogue(),
            sent.summary,
            is_reused,
        )
        journey.end_attempt(key.target.relay, sent.summary, story, numbers=sent.numbers)
        if sent.must_close:
            connection.abort()
        elif sent.is_usable and not _is_clear_by_fallback(connection, key.requirement):
            await self.pool.keep(key, connection)
        else:
            await connection.quit()
        return True

    def _may_go_clear(self, journey: Journey, key: ConnectionKey) -> bool:
        age = self.clock.now() - journey.claim.received
        if journey.tls_demand is TlsDemand.TLS_REQUIRED_NO:
            age = timedelta.max  # RFC 8689 §4.2.2: TLS that fails is not waited for
        return may_fall_back(key.requirement, self.settings.clear_fallback, age)

    def _note_tls_failure(
        self, journey: Journey, key: ConnectionKey, failed: TlsFailed, *, then: str | None
    ) -> None:
        verdict, relay = failed.verdict, key.target.relay
        journey.note_level(key.requirement, Kept.UNMET)
        status = "4.7.5" if failed.handshake is not None else "4.7.4"
        summary = f"{relay}: {verdict.reason}" + (f"; {then}" if then else "")
        story = Story(key.requirement, failed.handshake, verdict, failed.dialogue, summary)
        is_required = journey.tls_demand is TlsDemand.REQUIRETLS
        if then is None and is_required and not may_pass(failed):
            text = f"{relay}: encryption needed (REQUIRETLS): {verdict.reason}"
            journey.note_unfit(relay, "5.7.10", text, verdict.result_type)
        elif then is None:
            journey.note_problem(relay, status, f"{relay}: {verdict.reason}", verdict.result_type)
        journey.end_attempt(relay, summary, story)
        if isinstance(failed.handshake, Handshake):
            self._log_handshake(trust_word(key.requirement, verdict), relay, failed.handshake)
        if (secured := failed.secured) is not None:
            word = trust_word(key.requirement, secured.verdict)
            self._log_handshake(word, relay, secured.handshake)
        if failed.handshake is None:
            # No TLS was spoken; the line with the recipient's status says why.
            return
        for finding in verdict.findings:
            self.log.write(
                Service.SMTP,
                f"certificate verification failed for {relay}: {finding.text}"
                if isinstance(failed.handshake, Handshake)
                else f"SSL_connect error to {relay}: {finding.text}",
                result_type=finding.result_type.value,
                reason_code=finding.reason_code,
            )

    def _log_tls(self, connection: Connected, requirement: Requirement, *, is_reused: bool) -> None:
        if connection.handshake is None:
            return
        word = trust_word(requirement, connection.verdict)
        relay = connection.target.relay
        self._log_handshake(word, relay, connection.handshake, is_reused=is_reused)

    def _log_handshake(
        self, word: str, relay: str, handshake: Handshake, *, is_reused: bool = False
    ) -> None:
        how = "reused" if is_reused else "established"
        bits = handshake.cipher_bits
        exchange = f" key-exchange {handshake.group}" if handshake.group else ""
        self.log.write(
            Service.SMTP,
            f"{word} TLS connection {how} to {relay}: {handshake.version} with cipher "
            f"{handshake.cipher} ({bits}/{bits} bits){exchange}",
            sni=handshake.sni,
        )
        if self.settings.is_verbose and not is_reused:
            for line in describe_chain(handshake.chain):
                self.log.write(Service.SMTP, f"{relay}: {line}")


def _is_clear_by_fallback(connection: Connected, requirement: Requirement) -> bool:
    """Say if TLS failed before this: if mail may then go in clear is asked for each message."""
    return (
        requirement.level is Level.MAY
        and connection.handshake is None
        and connection.verdict.reason_code != NOT_OFFERED
    )


def _addresses(journey: Journey, route: Route) -> Iterator[tuple[MxHost, HostAddress]]:
    """Give the addresses in the order in which they are tried; notes the hosts that have none."""
    for host in route.hosts:
        if host.error is not None:
            journey.note_unknown_host(host)
        for address in host.addresses:
            yield host, address
