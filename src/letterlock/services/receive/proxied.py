"""Clients that come by a proxy, and messages that others tell the origin of.

Postfix's XCLIENT_README and XFORWARD_README.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from letterlock.base.domains import Domain
from letterlock.network.smtp_owner import Peer, may_have_rights
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.smtp.server_events import ClientNamed
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.receive.names import ClientName, ClientNames
from letterlock.services.receive.recipients import RelayClients

UNKNOWN = "unknown"
NO_LOGIN = reply(550, "5.7.0", "LOGIN is for the ports for submission")
LOOKS = frozenset({"ehlo", "helo", "noop", "rset", "quit", "starttls"})
"""The commands by which a proxy looks whether we are well: every few seconds, so not logged."""
# A comma or a space would make further facts of it.
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]")


def may_name_clients(peer: Peer, proxies: RelayClients) -> bool:
    """Say whether a client is listed among those that tell of others (XCLIENT, XFORWARD)."""
    # With XCLIENT it may go on: it has no rights then, and its own address still.
    is_itself = peer.has_rights or (peer.ip == peer.via and not peer.is_proxy)
    return bool(proxies.networks) and is_itself and not peer.is_named and proxies.may_relay(peer.ip)


def begin_name(peer: Peer, names: ClientNames) -> ClientName:
    """Give a client's name as its proxy told it, or begin to look it up."""
    if peer.is_proxy:
        return ClientName()
    if peer.name is None:
        return names.begin(peer.ip)
    return ClientName(Domain(peer.name) if peer.name else None)


def name_client(
    proxy: Peer, event: ClientNamed, proxies: RelayClients, tls: Handshake | None
) -> Peer:
    """Give the client that a proxy names with XCLIENT; what it does not say stays as it was.

    But for rights: where no address is told, it is the proxy's own, which gives none. Whoever has
    an address or a login so has no word about others: what is said from here on is the client's,
    and only passed on.
    """
    attributes = event.attributes
    is_named = proxy.is_named or "ADDR" in attributes or bool(attributes.get("LOGIN"))
    client = replace(
        proxy,
        port=int(attributes.get("PORT") or 0),
        via=proxy.ip,
        told="",
        has_rights=False,
        name=attributes.get("NAME", None if "ADDR" in attributes else proxy.name),
        tls=tls,
        is_named=is_named,
    )
    if "ADDR" not in attributes:
        return client
    ip = attributes["ADDR"] or UNKNOWN
    return replace(client, ip=ip, has_rights=may_have_rights(ip) and not proxies.may_relay(ip))


def describe_origin(told: Mapping[str, str]) -> str:
    """Give what the log tells of a message's origin, in Postfix's words."""
    origin = ""
    if told.get("IDENT"):
        origin = f", orig_queue_id={_NOT_IN_ID.sub('?', told['IDENT'])}"
    if told.keys() & {"NAME", "ADDR"}:
        origin += f", orig_client={format_origin(told)}"
    return origin


def format_origin(told: Mapping[str, str]) -> str:
    """Give the client that a message came from first: `name[address]`."""
    return f"{told.get('NAME') or UNKNOWN}[{told.get('ADDR') or UNKNOWN}]"


def describe_way(peer: Peer) -> str:
    """Give what the log tells of the proxy that a client came by."""
    if peer.via is None:
        return ""
    told = f", which it reached by {peer.told}" if peer.told else ""
    return f" by proxy [{peer.via}]{told}"
