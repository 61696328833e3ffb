"""The sockets of ports 80 and 443: proofs for authorities, and the policies of our domains.

Opened once, as root where it must be, and kept over generations.
"""

import socket
from collections.abc import Sequence

from letterlock.base.config.choices import ChallengeKind
from letterlock.base.config.sections import Config
from letterlock.base.config.values import ListenAddress
from letterlock.node.listeners import Listeners

_HTTP = ("certificates", "http_listen")
_ALPN = ("certificates", "alpn_listen")
_POLICIES = ("publishing", "mta_sts", "listen")


class WebListeners:
    """All of them; an address that policies and proofs share is opened for policies."""

    def __init__(self) -> None:
        self._http = Listeners(key=_HTTP)
        self._alpn = Listeners(key=_ALPN)
        self._policies = Listeners(key=_POLICIES)

    @property
    def http(self) -> Sequence[socket.socket]:
        """Where http-01 is answered."""
        return _first(self._http)

    @property
    def alpn(self) -> Sequence[socket.socket]:
        """Where tls-alpn-01 is answered, and nothing else."""
        return _first(self._alpn)

    @property
    def policies(self) -> Sequence[socket.socket]:
        """Where policies are served, reports posted, and tls-alpn-01 is answered."""
        return _first(self._policies)

    @property
    def policy_addresses(self) -> Sequence[ListenAddress]:
        """The addresses of `policies`, with the ports that they have."""
        return self._policies.addresses

    def open(self, config: Config) -> None:
        """Listen as the settings say from now on. Raises SettingFaults."""
        policies = find_policies(config)
        self._policies.open(policies, 1)
        self._http.open(find_http(config), 1)
        self._alpn.open([each for each in find_alpn(config) if each not in policies], 1)

    def close(self) -> None:
        """Close them all."""
        for listeners in (self._http, self._alpn, self._policies):
            listeners.close()


def find_policies(config: Config) -> tuple[ListenAddress, ...]:
    """Find where policies are to be served, and posts to be taken."""
    section = config.publishing.mta_sts
    return section.listen if section.domains or config.tlsrpt.posts.enabled else ()


def find_http(config: Config) -> Sequence[ListenAddress]:
    """Find where http-01 is to be answered; nowhere where it is not used, or by files."""
    section = config.certificates
    is_used = section.authorities and ChallengeKind.HTTP in section.challenges
    return section.http_listen if is_used and section.webroot is None else ()


def find_alpn(config: Config) -> Sequence[ListenAddress]:
    """Find where tls-alpn-01 is to be answered."""
    section = config.certificates
    is_used = section.authorities and ChallengeKind.ALPN in section.challenges
    return section.alpn_listen if is_used else ()


def _first(listeners: Listeners) -> Sequence[socket.socket]:
    return listeners.groups[0] if listeners.groups else ()
