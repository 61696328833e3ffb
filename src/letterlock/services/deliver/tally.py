"""What a delivery's connections count as in TLS reports, gathered on its way.

RFC 8460 §4.2. Each connection that is made counts once, for the domain whose mail it was made for:
further messages over it are no sessions of their own. What each counts as is decided in
`protocols.policy.session_results`. Mail that is to go in spite of TLS (TLS-Required: No), as
reports are, is not counted (RFC 8460 §3).
"""

from letterlock.base.domains import Domain
from letterlock.network.smtp_client import Connected, Dialled, TlsFailed
from letterlock.network.smtp_login import NotLoggedIn
from letterlock.network.smtp_speaker import Refused, Unreachable
from letterlock.protocols.policy.facts import NOTHING_PUBLISHED
from letterlock.protocols.policy.requirement import HostUnusable
from letterlock.protocols.policy.session_results import Place, count_session, count_unusable
from letterlock.protocols.tls.handshake import Handshake
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.services.deliver.pool import ConnectionKey
from letterlock.services.discover.hop_policy import HostPolicy
from letterlock.services.discover.routes import MxHost


class Tally:
    """The sessions of one delivery to a domain."""

    def __init__(self, domain: Domain) -> None:
        self.sessions: list[Session] = []
        self._domain = domain
        self._published = NOTHING_PUBLISHED

    def begin_host(self, host: MxHost, policy: HostPolicy) -> None:
        """Go on with another host; one that its policy shuts out counts."""
        self._published = policy.published
        if isinstance(policy.decision, HostUnusable) and host.name is not None:
            self._add(count_unusable(self._domain, policy.decision, policy.published, host.name))

    def add(self, key: ConnectionKey, dialled: Dialled) -> None:
        """Count a connection that was asked for TLS, unless it broke before that."""
        source: str | None = None
        helo = ""
        match dialled:
            case Connected(verdict=verdict, handshake=handshake):
                if verdict.findings:
                    source, helo = dialled.source, dialled.capabilities.name
            case TlsFailed(verdict, handshake):
                source, helo = dialled.source, dialled.helo
            case (
                Refused(secured=secured)
                | Unreachable(secured=secured)
                | NotLoggedIn(secured=secured)
            ) if secured is not None:
                verdict, handshake = secured.verdict, secured.handshake
            case _:
                return
        place = Place(key.target.host, key.target.ip, source, helo)
        is_secured = isinstance(handshake, Handshake)
        self._add(
            count_session(
                self._domain,
                key.requirement,
                self._published,
                verdict,
                place,
                is_secured=is_secured,
            )
        )

    def forget(self) -> None:
        """Begin anew: what was counted was held to a policy that is not the domain's any more."""
        self.sessions.clear()

    def _add(self, session: Session | None) -> None:
        if session is not None:
            self.sessions.append(session)
