"""How a host speaks up to TLS and under it: what is slow, hidden, offered twice or taken back.

RFC 5321 §4.5.3.2 (time-outs), RFC 3207 §4 and §4.2 (STARTTLS, and EHLO once more under TLS), RFC
4954 §4 (passwords). Nothing here stops a sender that does all as it should; each costs time, or
some of its mail. But for the times only the probe that asks as such a sender does is looked at.
"""

import re
from collections.abc import Iterator

from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    Probe,
    ProbeStep,
    State,
)
from letterlock.protocols.check.findings import Finding, FindingId, Severity
from letterlock.protocols.check.findings import make_finding as _make
from letterlock.protocols.smtp.capabilities import Capabilities, parse_capabilities
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.tls.handshake import Handshake

SLOW_SECONDS = 5.0
"""A reply that takes as long is meant to be slow, or waits for a lookup that nobody answers."""
BAD_SECONDS = 15.0
"""RFC 5321 §4.5.3.2.1 has senders wait for minutes; many a program hangs up after 30 seconds."""

_PASSWORDS = frozenset({"PLAIN", "LOGIN"})
# What a firewall puts in the place of words that it does not want to be seen.
_MASK = re.compile(r"X{4,}[A-Z]?")
_ANSWERS = {
    ProbeStep.EHLO: "EHLO",
    ProbeStep.STARTTLS: "STARTTLS",
    ProbeStep.EHLO_UNDER_TLS: "EHLO under TLS",
}


def find_manners(domain: DomainFacts) -> Iterator[Finding]:
    """Find them at each address that was talked to."""
    for host in domain.hosts:
        for address in host.addresses:
            where = f"{host.name or address.ip}[{address.ip}]"
            yield from _check_times(address, where)
            own = address.find(AskedSni.OWN)
            if own is not None and own.hello is not None:
                yield from _check_clear(own, own.hello, where)
                if isinstance(own.handshake, Handshake) and own.hello_under_tls is not None:
                    yield from _check_both(own.hello, own.hello_under_tls, where)


def _check_times(address: AddressFacts, where: str) -> Iterator[Finding]:
    banners = _list_seconds(address, ProbeStep.BANNER)
    if max(banners, default=0.0) >= SLOW_SECONDS:
        shown = ", ".join(f"{seconds:.1f}" for seconds in banners)
        evidence = f"the banner came after {shown} seconds"
        fix = "wait less before it, or for new senders only (greet delay, reverse DNS, blocklists)"
        yield _make(FindingId.BANNER_SLOW, _grade(max(banners)), where, evidence, fix)
    for step, words in _ANSWERS.items():
        slowest = max(_list_seconds(address, step), default=0.0)
        if slowest >= SLOW_SECONDS:
            evidence = f"{words} was answered after {slowest:.1f} seconds"
            fix = "see which lookup the server waits for (reverse DNS, blocklists)"
            yield _make(FindingId.ANSWERS_SLOW, _grade(slowest), where, evidence, fix)


def _list_seconds(address: AddressFacts, step: ProbeStep) -> list[float]:
    """Give how long a step took in each probe where it was answered: there it went on."""
    return [
        seconds
        for probe in address.probes
        if (seconds := probe.find_seconds(step)) is not None
        and (probe.state is State.OK or probe.times[-1].step is not step)
    ]


def _grade(seconds: float) -> Severity:
    return Severity.NOTICE if seconds >= BAD_SECONDS else Severity.INFO


def _check_clear(own: Probe, hello: Reply, where: str) -> Iterator[Finding]:
    mask = next((line for line in hello.lines[1:] if _MASK.fullmatch(line)), None)
    if mask is not None:
        evidence = (
            f"the answer to EHLO has {mask} in the place of a word: it was changed on the way"
        )
        fix = "switch SMTP inspection off in the firewall before it (Cisco: no inspect esmtp)"
        yield _make(FindingId.EHLO_MASKED, Severity.NOTICE, where, evidence, fix)
    if isinstance(own.unoffered, Handshake):
        evidence = f"STARTTLS is not offered, but taken: {own.unoffered.version} works"
        fix = "have it offered: see the server's list of hidden words, and firewalls before it"
        yield _make(FindingId.STARTTLS_HIDDEN, Severity.NOTICE, where, evidence, fix)
    passwords = sorted(parse_capabilities(hello).auth & _PASSWORDS)
    if passwords:
        evidence = f"AUTH {' '.join(passwords)} is offered in clear"
        fix = "offer AUTH under TLS only (Postfix: smtpd_tls_auth_only = yes)"
        yield _make(FindingId.PASSWORDS_IN_CLEAR, Severity.NOTICE, where, evidence, fix)


def _check_both(clear: Reply, under_tls: Reply, where: str) -> Iterator[Finding]:
    before, after = parse_capabilities(clear), parse_capabilities(under_tls)
    if after.starttls:
        evidence = "STARTTLS is offered once more under TLS"
        fix = "update what ends TLS, or tell it that TLS is there already"
        yield _make(FindingId.STARTTLS_TWICE, Severity.NOTICE, where, evidence, fix)
    lost = list(_list_lost(before, after))
    if lost:
        evidence = f"offered in clear, and not under TLS: {', '.join(lost)}"
        fix = "have both answered by the same server, with the same settings"
        yield _make(FindingId.EXTENSIONS_LOST, Severity.NOTICE, where, evidence, fix)


def _list_lost(before: Capabilities, after: Capabilities) -> Iterator[str]:
    """Give what mail may need and has in clear alone: some of it is returned then, or changed."""
    if before.eightbitmime and not after.eightbitmime:
        yield "8BITMIME"
    if before.smtputf8 and not after.smtputf8:
        yield "SMTPUTF8"
    is_limited = before.has_size and after.size is not None
    if is_limited and (before.size is None or before.size > (after.size or 0)):
        yield f"SIZE {before.size or 'without a limit'} (but {after.size})"
