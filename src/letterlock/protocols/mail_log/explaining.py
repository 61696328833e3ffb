"""Explains one delivery of Postfix's, or of ours, from all that the log says that belongs to it.

Pure, and without memory: `tying` says what belongs to it.
"""

from collections.abc import Iterable
from itertools import takewhile

from letterlock.protocols.mail_log.causes import SECOND_MX, Cause
from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tls
from letterlock.protocols.mail_log.postfix import (
    CertificateFault,
    Ended,
    Event,
    HandshakeError,
    HostFailed,
    LibraryError,
    Noted,
    TlsUp,
    find_subject,
    is_about,
    split_relay,
)
from letterlock.protocols.mail_log.reasons import (
    find_certificate_cause,
    find_handshake_cause,
    find_outcome_cause,
)

Said = tuple[Event, str]
"""An event, and the text that it was read from."""

_VERIFIED = "Verified"
_SENT = "sent"


def explain(stamp: str, ended: Ended, events: Iterable[Said]) -> LoggedDelivery:
    """Give the delivery that ended, with its cause; `events` are in the order of the log."""
    facts = _Facts(ended, events)
    host, ip, port = split_relay(ended.relay)
    cause = facts.explain_sent() if ended.status == _SENT else facts.explain_failure()
    return LoggedDelivery(
        stamp,
        ended.queue_id,
        ended.recipient,
        host,
        ip,
        ended.level,
        facts.tls,
        ended.status,
        ended.dsn,
        cause,
        ended.text,
        facts.evidence(),
        port,
    )


class _Facts:
    """The events of one delivery, by the host that they are about."""

    def __init__(self, ended: Ended, events: Iterable[Said]) -> None:
        self._ended = ended
        self._events = [
            (event, text)
            for event, text in events
            # Of another message of the same process, which this one follows.
            if not (isinstance(event, HostFailed) and event.queue_id not in ("", ended.queue_id))
        ]
        self.tls = self._find_tls()

    def evidence(self) -> tuple[str, ...]:
        texts = [text for event, text in self._events if not isinstance(event, TlsUp)]
        if self._ended.status != _SENT:
            texts.append(self._ended.text)
        return tuple(texts)

    def explain_sent(self) -> str:
        cause = self._explain_protection()
        failed = self._find_failed_host()
        return cause if failed is None else f"{SECOND_MX}{failed}"

    def explain_failure(self) -> Cause:
        return self._explain(self._ended.text, self._ended.relay)

    def _find_tls(self) -> Tls | None:
        """Find the handshake with the host that took or refused the mail: the last one."""
        for event, _ in reversed(self._events):
            if isinstance(event, TlsUp) and event.peer == self._ended.relay:
                return Tls(event.trust, event.version, event.cipher)
            if isinstance(event, HandshakeError | HostFailed) and is_about(
                event.peer, self._ended.relay
            ):
                return None
        return None

    def _explain_protection(self) -> Cause:
        level = self._ended.level
        if self.tls is None:
            if self._failed_at(self._ended.relay):
                return Cause.OK_PLAINTEXT_FALLBACK
            return Cause.OK_PLAINTEXT_BY_POLICY
        if self.tls.trust != _VERIFIED:
            return Cause.OK
        is_dane = level.lstrip("!").startswith(("dane", "half-dane", "halfdane"))
        has_matched = any(
            isinstance(event, Noted) and "Matched " in text and "DANE" in text
            for event, text in self._events
        )
        return Cause.OK_DANE if is_dane or has_matched else Cause.OK_VERIFIED

    def _failed_at(self, relay: str) -> bool:
        """Say if TLS failed with a host before the mail went there."""
        for event, text in self._events:
            if isinstance(event, HandshakeError) and event.peer == relay:
                return True
            is_here = isinstance(event, HostFailed) and is_about(event.peer, relay)
            if is_here and ("start TLS" in text or "TLS handshake failed" in text):
                return True
        return False

    def _find_failed_host(self) -> Cause | None:
        """Find why an MX host before this one failed; other addresses of this one don't count."""
        taken = split_relay(self._ended.relay)[0]
        for event, _ in self._events:
            if not isinstance(event, HostFailed) or (not event.peer and not event.queue_id):
                continue
            peer = event.peer or self._find_last_peer(event)
            host = split_relay(peer)[0]
            if host and host.lower() != taken.lower():
                return self._explain(event.text, peer)
        return None

    def _find_last_peer(self, failed: HostFailed) -> str:
        """Find whom a failure is about that names no host: the last that was spoken with before."""
        before = takewhile(lambda said: said[0] is not failed, self._events)
        named = [peer for event, _ in before if (peer := find_subject(event))]
        return named[-1] if named else ""

    def _explain(self, text: str, relay: str) -> Cause:
        if "certificate not verified" in text:
            return self._explain_certificate(relay)
        if "Cannot start TLS" in text:
            return self._explain_handshake(relay)
        cause = find_outcome_cause(text) or self._explain_notes()
        if cause is Cause.POLICY_TABLE_WRONG:
            return self._explain_notes() or cause
        if cause is Cause.LOST_AFTER_TLS:
            return self._explain_loss(relay)
        return cause or Cause.UNKNOWN

    def _explain_certificate(self, relay: str) -> Cause:
        faults = [
            event.text
            for event, _ in self._events
            if isinstance(event, CertificateFault) and event.peer == relay
        ]
        notes = [text for event, text in self._events if isinstance(event, Noted)]
        cause = find_certificate_cause(faults, notes)
        if cause is None:
            is_anonymous = self.tls is not None and self.tls.trust == "Anonymous"
            return Cause.NO_CERTIFICATE if is_anonymous else Cause.NOT_VERIFIED
        return _sharpen(cause, self._ended.level)

    def _explain_handshake(self, relay: str) -> Cause:
        errors = [
            event.text
            for event, _ in self._events
            if isinstance(event, LibraryError)
            or (isinstance(event, HandshakeError) and is_about(event.peer, relay))
        ]
        return find_handshake_cause(errors)

    def _explain_loss(self, relay: str) -> Cause:
        errors = [event.text for event, _ in self._events if isinstance(event, LibraryError)]
        if errors and (cause := find_handshake_cause(errors)) is not Cause.HANDSHAKE_FAILED:
            return cause
        has_tls = any(
            isinstance(event, TlsUp) and is_about(event.peer, relay) for event, _ in self._events
        )
        return Cause.LOST_AFTER_TLS if has_tls else Cause.LOST_WITHOUT_TLS

    def _explain_notes(self) -> Cause | None:
        """Find a policy's fault, which Postfix tells in a line of its own."""
        for event, text in self._events:
            if not isinstance(event, Noted):
                continue
            if "tls_policy_maps" in text and "lookup error" not in text:
                return Cause.POLICY_TABLE_WRONG
            cause = find_outcome_cause(text)
            if cause is not None:
                return cause
        return None


def _sharpen(cause: Cause, level: str) -> Cause:
    """Say more where the level is known: Postfix has one text for three faults."""
    if cause is Cause.TLSA_MISMATCH and "fingerprint" in level:
        return Cause.FINGERPRINT_MISMATCH
    if cause is Cause.TLSA_MISMATCH and "secure" in level:
        return Cause.TRUST_ANCHOR_MISMATCH
    if cause is Cause.NAME_MISMATCH and "dane" in level:
        return Cause.DANE_TA_NAME_MISMATCH
    return cause
