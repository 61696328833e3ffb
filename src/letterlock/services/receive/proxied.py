"""Clients that come by a proxy, as the log tells of them."""

from letterlock.network.smtp_owner import Peer

LOOKS = frozenset({"ehlo", "helo", "noop", "rset", "quit"})
"""The commands by which a proxy looks whether we are well: every few seconds, so not logged."""


def describe_way(peer: Peer) -> str:
    """Give what the log tells of the proxy that a client came by."""
    if peer.via is None:
        return ""
    told = f", which it reached by {peer.told}" if peer.told else ""
    return f" by proxy [{peer.via}]{told}"
