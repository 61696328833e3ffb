"""What a mail log says of deliveries, read the same way from Postfix's log and from ours."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEFT_WITHOUT_MAIL = r"disconnect from \S+ (?!.*\bmail=).*\behlo="
"""The end of a session that had no MAIL; those of sessions before it may come late."""

_ENDED = re.compile(r"to=<[^@>]+@([^>]+)>.* dsn=(\S+), status=(\w+) \((.*)\)(?: tls=\S+)?$")
_TLS = re.compile(
    r" (\w+) TLS connection established to \S+?(\[\S+\]:\d+): (\S+) with cipher (\S+)"
)
_DIAGNOSIS = re.compile(
    r"(?:certificate verification failed for|SSL_connect error to) \S+?(\[\S+\]:\d+): (.*)"
)

_CERTIFICATE_FAULTS = {
    "expired": r"certificate has expired|expired at",
    "not yet valid": r"certificate not yet valid|is not valid before",
    "wrong name": r"hostname mismatch|; wanted: ",
    "self-signed": r"self[- ]signed certificate",
    "unknown issuer": r"untrusted issuer|unable to get local issuer",
    "issuer is no authority": r"invalid CA certificate",
    "wrong purpose": r"not designated for use as a server|may not be used for servers",
    "weak key": r"the key of .* is weak",
}
# The first that is found counts.
_REASONS = {
    "TLS not offered": r"TLS is required, but .*not offered",
    "STARTTLS refused": r"refused to start TLS",
    "handshake failed": r"TLS handshake failed|Cannot start TLS",
    "refused to talk": r"refused to talk to me",
    "reply": r"said: ",
    "time-out": r"timed out",
    "lost": r"lost connection|closed by peer|reset by peer",
    "no connection": r"[Cc]onnection refused",
    "not SMTP": r"not an SMTP reply",
    "sent": r"^250 ",
}
_STAGES = {
    "greeting": r"while .*greeting",
    "EHLO": r"while .*EHLO",
    "STARTTLS": r"while .*STARTTLS",
    "MAIL": r"(while|in reply to) .*MAIL FROM|in reply to MAIL",
    "RCPT": r"(while|in reply to) .*RCPT TO|in reply to RCPT",
    "the end": r"(while sending|in reply to) end of (data|DATA)",
    "DATA": r"(while|in reply to) .*DATA",
}
_STAGED = ("reply", "time-out", "lost")


@dataclass(frozen=True, slots=True)
class Told:
    """What a log says of one delivery; `tls` is word, version and cipher, or empty."""

    status: str
    dsn: str
    tls: str
    reason: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.status, self.dsn, self.tls, self.reason)))


def find_decisions(lines: Sequence[str], relays: Mapping[str, str]) -> dict[str, Told]:
    """Give what is told of each domain whose delivery was tried; `relays`: `[ip]:port` of each."""
    ends: dict[str, tuple[str, str, str]] = {}
    tls: dict[str, str] = {}
    diagnoses: dict[str, list[str]] = {}
    for line in map(str.rstrip, lines):
        if (found := _ENDED.search(line)) and found[1] in relays:
            ends.setdefault(found[1], (found[3], found[2], found[4]))
        elif found := _TLS.search(line):
            tls[found[2]] = f"{found[1]} {found[3]} {found[4]}"
        elif found := _DIAGNOSIS.search(line):
            diagnoses.setdefault(found[1], []).append(found[2])
    told = {}
    for domain, (status, dsn, text) in ends.items():
        relay = relays[domain]
        reason = _classify(text, diagnoses.get(relay, []))
        told[domain] = Told(status, dsn, tls.get(relay, ""), reason)
    return told


def _classify(text: str, diagnoses: Sequence[str]) -> str:
    """Name the reason; where it is the certificate, all that is said to be wrong with it."""
    everything = "\n".join([text, *diagnoses])
    faults = [name for name, said in _CERTIFICATE_FAULTS.items() if re.search(said, everything)]
    if faults:
        return f"certificate: {' and '.join(faults)}"
    reason = next((name for name, said in _REASONS.items() if re.search(said, text)), text)
    if reason not in _STAGED:
        return reason
    stage = next((name for name, said in _STAGES.items() if re.search(said, text)), "?")
    return f"{reason} at {stage}"
