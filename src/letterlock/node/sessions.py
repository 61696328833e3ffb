"""Builds sessions of clients by who they are, and says who may tell of other clients."""

from collections.abc import Callable
from dataclasses import replace

from letterlock.base.config.sections import Config
from letterlock.base.config.values import Network
from letterlock.base.log import Log, Service
from letterlock.network.proxy_gate import Proxies
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.message_data import BareNewline
from letterlock.protocols.smtp.server_session import ServerSession, SessionSettings
from letterlock.services.receive.proxied import may_name_clients
from letterlock.services.receive.recipients import RelayClients


def build_sessions(config: Config, *, has_tls: bool) -> Callable[[Peer], ServerSession]:
    """Give what makes a session for a client; bare newlines are taken from listed ones only."""
    receive = config.receive
    settings = SessionSettings(
        hostname=config.hostname,
        max_message_bytes=receive.max_message_bytes,
        max_recipients=receive.max_recipients,
        max_errors=receive.max_errors,
        bare_newline=BareNewline(receive.bare_newline.value),
        require_tls=receive.require_tls,
        offer_starttls=has_tls,
        offer_requiretls=receive.requiretls,
    )
    if not (receive.bare_newline_exceptions or receive.xclient_from or receive.xforward_from):
        # All may the same: nothing is to be asked about a client.
        return lambda _: ServerSession(settings)
    exceptions = RelayClients(receive.bare_newline_exceptions)
    proxies = RelayClients(receive.xclient_from)
    forwarders = RelayClients(receive.xforward_from)
    # So that replies are made once for all clients that may the same.
    known: dict[tuple[bool, bool, bool], SessionSettings] = {}

    def make_session(peer: Peer) -> ServerSession:
        rights = (
            peer.has_rights and exceptions.may_relay(peer.ip),
            may_name_clients(peer, proxies),
            may_name_clients(peer, forwarders),
        )
        if rights not in known:
            known[rights] = replace(
                settings,
                bare_newline=BareNewline.NORMALIZE if rights[0] else settings.bare_newline,
                may_name_clients=rights[1],
                may_tell_origins=rights[2],
            )
        return ServerSession(known[rights])

    return make_session


def build_proxies(networks: tuple[Network, ...], key: str, log: Log) -> Proxies | None:
    """Give who must tell of its clients, by a setting of that name; None: nobody may."""
    if not networks:
        return None

    def note_fault(ip: str, fault: str) -> None:
        log.write(Service.SMTPD, f"warning: proxy [{ip}] of {key}: {fault}; closed")

    return Proxies(RelayClients(networks).may_relay, note_fault)
