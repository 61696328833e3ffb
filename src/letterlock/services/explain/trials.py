"""Trying hosts as a delivery would, up to the judgement of their TLS and the login, and no further.

RFC 3207 §4.1, RFC 4954 §4, RFC 8689 §4.2.1. Nothing that begins a transaction is ever said: after
the second EHLO, or the login where we have an account, comes QUIT.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from typing import assert_never

from letterlock.network.smtp_client import Connected, Dialer, Dialled, TlsFailed, Unusable
from letterlock.network.smtp_login import NotLoggedIn
from letterlock.network.smtp_speaker import Refused, Secured, Target, Unreachable
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.judge import ClearFallback, may_fall_back
from letterlock.protocols.policy.requirement import Requirement
from letterlock.protocols.policy.verdict import Outcome
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.smtp.envelope import Envelope, TlsDemand
from letterlock.protocols.smtp.plan import find_host_refusal
from letterlock.services.deliver.outgoing import (
    MAX_ADDRESSES,
    RemoteSettings,
    is_proved,
    is_starttls_refused,
    keep_from_clear,
    may_pass,
)
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.routes import MxHost
from letterlock.services.explain.explanation import Fate, Trial

MAX_AT_A_TIME = 8
"""Connections under way."""


@dataclass(frozen=True, slots=True)
class TrialTerms:
    """What a connection is held to."""

    requirement: Requirement
    anchors: TrustAnchors
    demand: TlsDemand
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Trials:
    """Tries addresses, a few at a time."""

    dialer: Dialer
    settings: RemoteSettings
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_A_TIME))

    async def run(self, target: Target, terms: TrialTerms) -> Trial:
        """Try one address, as for a message that came just now."""
        requirement = terms.requirement
        async with self.slots:
            dialled = await self.dialer.dial(
                target, requirement, terms.anchors, credentials=terms.credentials
            )
            may_go_clear = _may_go_clear(terms, self.settings.clear_fallback)
            if isinstance(dialled, Connected):
                if is_starttls_refused(dialled) and not may_go_clear:
                    dialled = await keep_from_clear(dialled)
                else:
                    await dialled.quit()
        trial = _describe(dialled, terms.demand, _begin(target))
        if isinstance(dialled, Connected) and terms.credentials is not None:
            trial = replace(trial, reason=f"{trial.reason}; logged in as {terms.credentials.user}")
        if not isinstance(dialled, TlsFailed):
            return trial
        if dialled.handshake is not None and may_go_clear:
            return _go_clear(trial)
        sts = requirement.mta_sts
        return replace(trial, is_policy_unmet=sts is not None and sts.is_enforced)

    def find_targets(self, next_hop: NextHop, host: MxHost) -> list[Target]:
        """Say where to dial for a host: each of its addresses, in their order."""
        return [self.settings.find_target(next_hop, host, address) for address in host.addresses]


def skip(target: Target) -> Trial:
    """Leave out an address that a delivery would leave out too."""
    reason = f"not tried: one delivery tries {MAX_ADDRESSES} addresses at most"
    return replace(_begin(target), fate=Fate.UNDECIDABLE, reason=reason)


def _begin(target: Target) -> Trial:
    return Trial(ip_address(target.ip), target.relay, Fate.DEFER, "")


def _describe(dialled: Dialled, demand: TlsDemand, trial: Trial) -> Trial:
    """Say what came of it; the reasons are those that the mail log would have."""
    relay = trial.relay
    match dialled:
        case Connected(verdict=verdict, handshake=handshake):
            fate, reason = Fate.DELIVER, verdict.reason
            envelope = Envelope(sender="somebody@invalid", recipients=(), tls_demand=demand)
            refusal = find_host_refusal(
                envelope, dialled.capabilities, may_require_tls=is_proved(dialled)
            )
            if refusal is not None:
                fate, reason = Fate.BOUNCE, refusal.text
            return replace(trial, fate=fate, reason=reason, handshake=handshake, verdict=verdict)
        case TlsFailed(verdict, handshake):
            is_final = demand is TlsDemand.REQUIRETLS and not may_pass(dialled)
            return replace(
                trial,
                fate=Fate.BOUNCE if is_final else Fate.DEFER,
                reason=verdict.reason,
                handshake=handshake,
                verdict=verdict,
            )
        case Refused(reply, secured=secured):
            fate = Fate.BOUNCE if reply.is_permanent else Fate.DEFER
            reason = f"host {relay} refused to talk to me: {reply.text}"
            return _add_tls(replace(trial, fate=fate, reason=reason), secured)
        case Unreachable(detail, stage=stage, secured=secured, is_silent=is_silent):
            is_out_of_reach = stage == "connecting" or is_silent
            fate = Fate.UNDECIDABLE if is_out_of_reach else Fate.DEFER
            reason = f"connect to {relay}: {detail}" if is_out_of_reach else f"{relay}: {detail}"
            return _add_tls(replace(trial, fate=fate, reason=reason), secured)
        case NotLoggedIn(reason, secured=secured):
            return _add_tls(replace(trial, reason=f"{relay}: {reason}"), secured)
        case Unusable(reason):
            return replace(trial, reason=f"our own settings for this host are wrong: {reason}")
        case _:
            assert_never(dialled)


def _add_tls(trial: Trial, secured: Secured | None) -> Trial:
    if secured is None:
        return trial
    return replace(trial, handshake=secured.handshake, verdict=secured.verdict)


def _may_go_clear(terms: TrialTerms, setting: ClearFallback) -> bool:
    # RFC 8689 §4.2.2: TLS that fails is not waited for.
    age = timedelta.max if terms.demand is TlsDemand.TLS_REQUIRED_NO else timedelta(0)
    return may_fall_back(terms.requirement, setting, age)


def _go_clear(trial: Trial) -> Trial:
    """Mail would be tried again without TLS: level `may`, and the operator's clear_fallback."""
    reason = f"{trial.reason}; so mail goes in clear (deliver.clear_fallback)"
    verdict = trial.verdict
    if verdict is not None:
        verdict = replace(verdict, outcome=Outcome.CLEAR, reason=reason)
    return replace(trial, fate=Fate.DELIVER, reason=reason, verdict=verdict)
