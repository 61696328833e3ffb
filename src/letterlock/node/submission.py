"""One worker's submission: its servers, and the accounts that they let in."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from socket import socket
from typing import assert_never

from letterlock.base.config.sections import Config
from letterlock.base.config.submission import AccountSource, SubmissionSection
from letterlock.base.log import Log, Service
from letterlock.base.shared_counters import SharedCounters
from letterlock.network.dovecot_auth import DovecotAuth
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.smtp_owner import Peer
from letterlock.network.smtp_server import SmtpServer
from letterlock.network.submission_server import SubmissionServer
from letterlock.node.building import build_server_limits
from letterlock.node.sessions import build_proxies
from letterlock.node.shared_database import name_process
from letterlock.node.submission_listeners import SubmissionSockets
from letterlock.node.users import make_accounts
from letterlock.protocols.smtp.message_data import BareNewline
from letterlock.protocols.smtp.server_session import SessionSettings
from letterlock.protocols.smtp.submission_session import SubmissionSession
from letterlock.services.receive import logins
from letterlock.services.receive.dovecot_accounts import DovecotAccounts
from letterlock.services.receive.guesses import Guesses, GuessLimits
from letterlock.services.receive.own_accounts import OwnAccounts, PasswordChecks
from letterlock.services.receive.proxied import may_name_clients
from letterlock.services.receive.quotas import QuotaLimits, Quotas
from letterlock.services.receive.recipients import RelayClients
from letterlock.services.receive.session import Receiver
from letterlock.services.receive.submission import Submitter, SubmittingSession
from letterlock.storage.queue import StoreUnavailable

REOPEN_SECONDS = 5.0


class SubmissionService:
    """Serves while `run` runs. `receiver` is the worker's; its relay clients count for nothing."""

    def __init__(
        self,
        config: Config,
        certificates: ServerCertificates,
        receiver: Receiver,
        counters: SharedCounters,
        number: int,
    ) -> None:
        section = config.submission
        clock = receiver.clock
        self._config = config
        self._certificates = certificates
        self._proxies = RelayClients(section.xclient_from)
        self._log: Log = receiver.log
        self._accounts = make_accounts(config, f"{name_process(config, number)}/users", clock)
        self._checks = PasswordChecks()
        source = self._make_source()
        self._submitter = Submitter(
            replace(receiver, relay=RelayClients(()), proxies=self._proxies),
            source,
            Guesses(_guess_limits(section), counters, number, clock),
            Quotas(_quota_limits(section), counters, number, clock),
            is_client_shown=section.show_client,
            is_author_checked=section.check_author,
            is_binding_offered=section.channel_binding,
        )
        self._settings = _session_settings(config, self._submitter.mechanisms)

    def _make_source(self) -> logins.AccountSource:
        users, section = self._accounts.users, self._config.submission
        match section.accounts:
            case AccountSource.OWN:
                return OwnAccounts(users, self._checks)
            case AccountSource.DOVECOT:
                service = DovecotAuth(section.dovecot_socket)
                return DovecotAccounts(service, users, self._config.domains)
            case _:
                assert_never(section.accounts)

    def list_servers(self, sockets: SubmissionSockets) -> list[tuple[SmtpServer, Sequence[socket]]]:
        """Give servers with what they are to listen on; whoever runs them ends them."""
        return [
            (self._server(is_implicit_tls=True), sockets.implicit_tls),
            (self._server(is_implicit_tls=False), sockets.starttls),
        ]

    async def run(self) -> None:
        """Keep the accounts open until cancelled; while they are away nobody can log in.

        Raises LocalError when the operator must act.
        """
        is_open = False
        try:
            while not is_open:
                is_open = await self._open()
            await asyncio.Event().wait()
        finally:
            self._checks.close()
            if is_open:
                await self._accounts.database.close()

    async def _open(self) -> bool:
        try:
            await self._accounts.database.open()
        except StoreUnavailable as error:
            self._log.write(Service.SMTPD, f"warning: accounts cannot be read: {error}")
            await asyncio.sleep(REOPEN_SECONDS)
            return False
        return True

    def _server(self, *, is_implicit_tls: bool) -> SubmissionServer:
        make = self._make_own(is_implicit_tls=is_implicit_tls)
        limits = build_server_limits(self._config, is_submission=True)
        networks = self._config.submission.proxy_from
        return SubmissionServer(
            make,
            self._certificates,
            limits,
            self._submitter.receiver.clock,
            build_proxies(networks, "submission.proxy_from", self._log),
        )

    def _make_own(
        self, *, is_implicit_tls: bool
    ) -> Callable[[Peer], tuple[SubmissionSession, SubmittingSession]]:
        settings, submitter = self._settings, self._submitter
        for_proxies = replace(settings, may_name_clients=True)

        def own(peer: Peer) -> tuple[SubmissionSession, SubmittingSession]:
            its = for_proxies if may_name_clients(peer, self._proxies) else settings
            session = SubmissionSession(its, is_implicit_tls=is_implicit_tls)
            return session, SubmittingSession(submitter, peer)

        return own


def _session_settings(config: Config, mechanisms: Sequence[str]) -> SessionSettings:
    receive = config.receive
    return SessionSettings(
        hostname=config.hostname,
        max_message_bytes=receive.max_message_bytes,
        max_recipients=config.submission.max_recipients,
        max_errors=receive.max_errors,
        bare_newline=BareNewline(receive.bare_newline.value),
        require_tls=True,
        offer_requiretls=receive.requiretls,
        auth_mechanisms=tuple(mechanisms),
    )


def _guess_limits(section: SubmissionSection) -> GuessLimits:
    return GuessLimits(section.max_failures_per_client, section.max_failures_per_account)


def _quota_limits(section: SubmissionSection) -> QuotaLimits:
    return QuotaLimits(section.max_messages_per_account, section.max_recipients_per_account)
