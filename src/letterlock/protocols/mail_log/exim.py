"""What Exim's main log says: each line has its message's id, so that nothing need be guessed.

Exim 4.92 to 4.98, built with OpenSSL or GnuTLS, as in the chapter "Log files" of its specification:
`=>` and `->` for what was delivered, `==` for what was put off, `**` for what failed.
"""

import re
from collections import OrderedDict

from letterlock.protocols.mail_log.causes import SECOND_MX, Cause
from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tally, Tls
from letterlock.protocols.mail_log.patterns import Words

MAX_MESSAGES = 20_000
MAX_TEXTS = 40
"""Of one message: each host that was tried has a few."""

_LINE = re.compile(
    r"(?P<stamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?(?: [+-]\d{4})?) (?:\[\d{1,9}\] )?"
    r"(?P<id>\w{6}-\w{6}(?:\w{5})?-\w{2}(?:\w\w)?) (?P<text>.*)"
)
_MARKS = {"=> ": "sent", "-> ": "sent", ">> ": "sent", "== ": "deferred", "** ": "bounced"}
_RECIPIENT = re.compile(r"(?P<name>\S+)(?: <(?P<first>[^>]*)>)?")
_HOST = re.compile(
    r"\bH=(?P<host>\S+)(?: \([^)]*\))? \[(?P<ip>[^\]]+)\](?::\d{1,5})?:?(?: (?P<rest>.*))?"
)
_TLS = re.compile(r" X=(?P<version>[\w.]+):(?P<cipher>\S+?)(?::\d{1,4})?(?: |:|$)")
_VERIFIED = re.compile(r" CV=(\w+)")
_CODE = re.compile(r": (?P<code>[245]\d\d)[ -](?P<dsn>[245]\.\d{1,3}\.\d{1,3})?")

_WORDS = Words(
    (Cause.STARTTLS_NOT_OFFERED, (r"did not offer TLS support",)),
    (Cause.STARTTLS_REFUSED, (r"an attempt to start TLS failed",)),
    (Cause.NO_TLSA, (r"TLSA lookup for .*NXDOMAIN", r"no TLSA record")),
    (
        Cause.TLSA_LOOKUP_FAILED,
        (r"TLSA lookup (?:DEFER|failed)", r"tlsa lookup", r"DNSSEC"),
    ),
    (Cause.TLSA_MISMATCH, (r"DANE attempt failed", r"DANE error")),
    (Cause.SNI_REJECTED, (r"server name sent was not recognized", r"unrecognized name")),
    (Cause.NAME_MISMATCH, (r"certificate name mismatch",)),
    (Cause.CERTIFICATE_EXPIRED, (r"error=certificate has expired",)),
    (Cause.CERTIFICATE_NOT_YET_VALID, (r"error=certificate is not yet valid",)),
    (Cause.SELF_SIGNED, (r"error=self[- ]signed certificate cert",)),
    (Cause.UNTRUSTED_ISSUER, (r"error=unable to get (?:local )?issuer", r"error=self[- ]signed")),
    # GnuTLS: a chain that fails says "certificate invalid", a name that fails nothing more.
    (Cause.NAME_MISMATCH, (r"\(certificate verification failed\)(?!:)",)),
    (Cause.NOT_VERIFIED, (r"certificate verif(?:ication|y) failed", r"certificate invalid")),
    (Cause.CLIENT_CERTIFICATE_WANTED, (r"[Cc]ertificate (?:is )?required",)),
    (Cause.VERSION_TOO_LOW, (r"protocol version", r"unsupported protocol", r"version packet")),
    (
        Cause.TOO_OLD_CRYPTO,
        (r"Key usage violation", r"insufficient security", r"too small", r"legacy sigalg"),
    ),
    (Cause.NOT_TLS, (r"unexpected TLS packet", r"wrong version number", r"synch error")),
    (Cause.HANDSHAKE_TIMED_OUT, (r"\((?:gnutls_handshake|SSL_connect)\): timed out",)),
    (
        Cause.HANDSHAKE_CLOSED,
        tuple(
            r"\((?:gnutls_handshake|SSL_connect)\): .*" + end
            for end in ("non-properly", "pull function", "unexpected eof", "reset by", "closed")
        ),
    ),
    (Cause.HANDSHAKE_FAILED, (r"TLS session: \(",)),
    (
        Cause.LOST_AT_END_OF_DATA,
        (
            r"closed connection in response to (?:end of data|sending data|DATA \()",
            r"timeout after end of data",
        ),
    ),
    (Cause.TIMED_OUT, (r"SMTP timeout",)),
    (
        Cause.LOST_AFTER_TLS,
        (r"closed connection in response to", r"TLS error on connection", r"on first read"),
    ),
    (Cause.NOT_SMTP, (r"Malformed SMTP reply",)),
    (Cause.REFUSED, (r"SMTP error .*: 5\d\d",)),
    (Cause.PUT_OFF, (r"SMTP error .*: 4\d\d",)),
    (Cause.HELD_BACK, (r"retry time not reached",)),
    (
        Cause.CONNECTION_FAILED,
        (r"Connection (?:refused|timed out)", r"No route to host", r"is unreachable"),
    ),
    (Cause.NAME_SERVICE_FAILED, (r"lookup (?:deferred|did not complete)", r"host lookup")),
    (
        Cause.NO_ROUTE,
        (r"Unrouteable address", r"all relevant MX", r"lowest numbered MX", r"no host found"),
    ),
)
_PROTECTED = {
    "": Cause.OK_PLAINTEXT_BY_POLICY,
    "no": Cause.OK,
    "yes": Cause.OK_VERIFIED,
    "dane": Cause.OK_DANE,
}
"""By what stands behind `CV=`."""
_IN_CLEAR = "delivering unencrypted to"


class EximTier:
    """Takes lines in the order of the log, and gives deliveries as they end."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._messages: OrderedDict[str, list[str]] = OrderedDict()

    def take(self, line: str) -> LoggedDelivery | None:
        """Take a line; gives the delivery that it ends."""
        found = _LINE.match(line)
        if found is None:
            self._tally.unread += 1
            return None
        message, text = found["id"], found["text"]
        status = _MARKS.get(text[:3])
        if status is not None:
            return self._end(found["stamp"], message, status, text[3:])
        if text == "Completed":
            self._messages.pop(message, None)
        elif "] SSL verify error" in text or ("H=" in text and not text.startswith("<= ")):
            self._keep(message, text)
        return None

    def close(self) -> None:
        """Forget what waited for a delivery that did not come."""
        self._messages.clear()

    def _keep(self, message: str, text: str) -> None:
        texts = self._messages.setdefault(message, [])
        self._messages.move_to_end(message)
        if len(texts) < MAX_TEXTS:
            texts.append(text)
        if len(self._messages) > MAX_MESSAGES:
            _, forgotten = self._messages.popitem(last=False)
            self._tally.untied += len(forgotten)

    def _end(self, stamp: str, message: str, status: str, text: str) -> LoggedDelivery | None:
        before = self._messages.get(message, [])
        host = _HOST.search(text)
        if host is None and (status == "sent" or not (before or "retry time" in text)):
            # A mailbox here, a pipe, a file.
            return None
        recipient = _RECIPIENT.match(text)
        if recipient is None:
            return None
        tls, verified = _read_tls(text)
        if status == "sent":
            cause = _explain_sent(text, before, verified)
        else:
            cause = _explain_failure(text, before)
        code = _CODE.search(text)
        if status != "sent":
            self._messages.pop(message, None)
        return LoggedDelivery(
            stamp,
            message,
            recipient["first"] or recipient["name"].rstrip(":"),
            host["host"] if host else "",
            host["ip"] if host else "",
            "",
            tls,
            status,
            (code["dsn"] or "") if code else "",
            cause,
            text,
            (*before, *(() if status == "sent" else (text,))),
        )


def _read_tls(text: str) -> tuple[Tls | None, str]:
    found = _TLS.search(text)
    if found is None:
        return None, ""
    verified = _VERIFIED.search(text)
    word = verified[1] if verified else "no"
    version = found["version"].replace("TLS1", "TLSv1")
    trust = "Untrusted" if word == "no" else "Verified"
    return Tls(trust, version, found["cipher"]), word


def _explain_sent(text: str, before: list[str], verified: str) -> str:
    """Name how mail was protected; `verified` stands behind `CV=`, empty: there was no TLS."""
    if not verified and any(_IN_CLEAR in each for each in before):
        return Cause.OK_PLAINTEXT_FALLBACK
    cause = _PROTECTED.get(verified, Cause.OK_VERIFIED)
    failed = _find_failed_host(text, before)
    return cause if failed is None else f"{SECOND_MX}{failed}"


def _explain_failure(text: str, before: list[str]) -> Cause:
    cause = _WORDS.find(text)
    earlier = [found for each in before if (found := _WORDS.find(each)) is not None]
    if cause in (Cause.HELD_BACK, None) and earlier:
        cause = earlier[-1]
    if cause is Cause.NOT_VERIFIED:
        # OpenSSL's Exim tells why in a line of its own.
        exact = (each for each in earlier if each not in (cause, Cause.LOST_AFTER_TLS))
        return next(exact, cause)
    if cause is Cause.LOST_AFTER_TLS:
        if Cause.CLIENT_CERTIFICATE_WANTED in earlier:
            return Cause.CLIENT_CERTIFICATE_WANTED
        has_tls = " X=" in text or any("TLS error on connection" in each for each in before)
        return Cause.LOST_AFTER_TLS if has_tls else Cause.LOST_WITHOUT_TLS
    return cause or Cause.UNKNOWN


def _find_failed_host(text: str, before: list[str]) -> Cause | None:
    taken = _HOST.search(text)
    for each in before:
        host = _HOST.search(each)
        if host is None or taken is None or host["host"].lower() == taken["host"].lower():
            continue
        cause = _WORDS.find(each)
        if cause is not None:
            return cause
    return None
