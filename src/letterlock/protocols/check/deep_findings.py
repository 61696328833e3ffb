"""What `--deep` shows: old versions, weak suites and groups, and tricks that work.

RFC 9325 §3 and §4, RFC 7465 §2, RFC 8996 §4, RFC 3207 §4.2 (what came before TLS is forgotten), RFC
5321 §4.1.1.4 (what ends a message). A client takes the best that both have, so what is weak and
offered last harms only who has nothing better; it is worse where there is nothing better.
"""

from collections.abc import Iterator
from dataclasses import replace

from letterlock.protocols.check.deep import (
    OLD_VERSIONS,
    VERSIONS,
    DeepFacts,
    DeepTls,
    Ending,
    Injection,
    Offered,
    Order,
)
from letterlock.protocols.check.facts import AddressFacts, AskedSni, DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding, FindingId, Severity
from letterlock.protocols.check.findings import make_finding as _make
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.policy.dane import find_usable
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.groups import POST_QUANTUM, name_group
from letterlock.protocols.tls.handshake import Handshake
from letterlock.protocols.tls.hello_writer import SSL_3_0
from letterlock.protocols.tls.suites import Weakness, find_weaknesses, name_suite

GOOD_DH_BITS = 2048
_BROKEN_DH_BITS = 1024
"""Logjam: such primes have been broken, or can be by who has the means."""
_SHOWN = 4

_WEAK = {
    Weakness.NULL: (FindingId.NULL_SUITES, Severity.WARNING),
    Weakness.EXPORT: (FindingId.EXPORT_SUITES, Severity.WARNING),
    Weakness.RC4: (FindingId.RC4_SUITES, Severity.NOTICE),
    Weakness.SMALL_BLOCK: (FindingId.SMALL_BLOCK_SUITES, Severity.NOTICE),
    Weakness.ANONYMOUS: (FindingId.ANONYMOUS_SUITES, Severity.INFO),
}
_STARTTLS_RFCS = {Speech.IMAP: "RFC 9051 §6.2.1", Speech.POP3: "RFC 2595 §4"}
_CIPHER_FIX = "take them out of the server's list of ciphers"


def find_deep(domain: DomainFacts) -> Iterator[Finding]:
    """Find what many connections showed, where there were any."""
    for host in domain.hosts:
        for address in host.addresses:
            where = f"{host.name or address.ip}[{address.ip}]"
            if address.deep is not None:
                yield from _check_deep(address.deep, where)
                yield from _check_requiretls(domain, host, address, where)


def _check_deep(deep: DeepFacts, where: str) -> Iterator[Finding]:
    yield from _check_versions(deep.tls, where)
    yield from _check_suites(deep.tls, where)
    yield from _check_groups(deep.tls, where)
    yield from _check_rest(deep.tls, where)
    yield from _check_tricks(deep, where)
    if deep.stopped is not None:
        evidence = f"after {deep.connections} connections: {deep.stopped}; the rest is not tested"
        yield _make(FindingId.NOT_ALL_ASKED, Severity.INFO, where, evidence, "try again later")


def _check_versions(tls: DeepTls, where: str) -> Iterator[Finding]:
    has_good = tls.has_any((TLS_1_2, TLS_1_3))
    if tls.find(SSL_3_0) is Offered.YES:
        evidence = "SSL 3.0 is offered, which POODLE has broken"
        yield _make(FindingId.SSL_3_OFFERED, Severity.WARNING, where, evidence, "switch it off")
    old = [VERSIONS[version] for version in OLD_VERSIONS if tls.find(version) is Offered.YES]
    # Where there is nothing newer an ordinary connection has told that already.
    if old and has_good:
        evidence = f"{' and '.join(old)} are offered besides newer ones"
        fix = "switch them off, unless you know of senders that have no newer one"
        yield _make(FindingId.OLD_TLS_OFFERED, Severity.NOTICE, where, evidence, fix)
    if tls.find(TLS_1_3) is Offered.NO and tls.has_any(tuple(VERSIONS)):
        evidence = "TLS 1.3 is not offered"
        yield _make(FindingId.NO_TLS_1_3, Severity.NOTICE, where, evidence, "switch TLS 1.3 on")


def _check_suites(tls: DeepTls, where: str) -> Iterator[Finding]:
    suites = list(dict.fromkeys(each.suite for each in tls.suites))
    for weakness, (found, severity) in _WEAK.items():
        weak = [suite for suite in suites if weakness in find_weaknesses(suite)]
        if weak:
            yield _make(found, severity, where, _list(weak), _CIPHER_FIX)
    static = [suite for suite in suites if Weakness.NO_FORWARD_SECRECY in find_weaknesses(suite)]
    if static:
        is_all = tls.are_suites_complete and len(static) == len(suites)
        severity = Severity.WARNING if is_all else Severity.INFO
        evidence = f"{'nothing but' if is_all else 'also'} {_list(static)}"
        fix = "offer ECDHE suites first"
        yield _make(FindingId.NO_FORWARD_SECRECY, severity, where, evidence, fix)


def _check_groups(tls: DeepTls, where: str) -> Iterator[Finding]:
    bits = tls.dh_bits
    if bits is not None and bits < GOOD_DH_BITS:
        severity = Severity.WARNING if bits <= _BROKEN_DH_BITS else Severity.NOTICE
        evidence = f"a Diffie-Hellman prime of {bits} bits"
        fix = "use ffdhe2048 or larger, or offer no DHE suites"
        yield _make(FindingId.WEAK_DH, severity, where, evidence, fix)
    strong = [name_group(group) for group in tls.groups if group in POST_QUANTUM]
    if strong:
        evidence = f"{', '.join(strong)}: recorded mail is safe from later quantum computers"
        yield _make(FindingId.POST_QUANTUM_OFFERED, Severity.INFO, where, evidence)


def _check_rest(tls: DeepTls, where: str) -> Iterator[Finding]:
    if tls.order is Order.CLIENT:
        evidence = "the client's order of suites counts, and not the server's"
        fix = "have the server's order count, the best first"
        yield _make(FindingId.CLIENT_ORDER, Severity.INFO, where, evidence, fix)
    if tls.has_compression:
        evidence = "TLS compression is offered, which tells of what is encrypted"
        yield _make(FindingId.COMPRESSION, Severity.NOTICE, where, evidence, "switch it off")
    if tls.has_secure_renegotiation is False:
        evidence = "it does not know secure renegotiation"
        fix = "update its TLS library"
        yield _make(FindingId.INSECURE_RENEGOTIATION, Severity.NOTICE, where, evidence, fix)


def _check_tricks(deep: DeepFacts, where: str) -> Iterator[Finding]:
    if deep.injection in (Injection.EXECUTED, Injection.IN_CLEAR):
        is_executed = deep.injection is Injection.EXECUTED
        evidence = f"a command that came in clear behind STARTTLS was {deep.injection}"
        if is_executed:
            evidence += " under TLS: whoever is in the middle can speak for the client"
        severity = Severity.CRITICAL if is_executed else Severity.NOTICE
        fix = "update the mail server (CVE-2011-0411 and its like)"
        found = _make(FindingId.STARTTLS_INJECTION, severity, where, evidence, fix)
        yield replace(found, rfc=_STARTTLS_RFCS.get(deep.speech, found.rfc))
    taken = [each.text for each in deep.endings if each.ending is Ending.TAKEN]
    if taken:
        evidence = f"{', '.join(taken)} ends a message: a forged one can be hidden in another"
        fix = "update the mail server; refuse bare LF and CR (smtpd_forbid_bare_newline)"
        yield _make(FindingId.SMUGGLING, Severity.CRITICAL, where, evidence, fix)


def _check_requiretls(
    domain: DomainFacts, host: HostFacts, address: AddressFacts, where: str
) -> Iterator[Finding]:
    """RFC 8689 §4.2.1: such a message needs a host that DANE or MTA-STS vouches for."""
    has_tlsa = host.tlsa is not None and bool(find_usable(host.tlsa.records))
    has_policy = domain.mta_sts is not None and domain.mta_sts.policy is not None
    own = address.find(AskedSni.OWN)
    if own is None or not isinstance(own.handshake, Handshake) or own.offers_requiretls:
        return
    if has_tlsa or has_policy:
        evidence = "messages that require TLS on all their way are returned"
        fix = "switch REQUIRETLS on, if the server has it"
        yield _make(FindingId.NO_REQUIRETLS, Severity.INFO, where, evidence, fix)


def _list(suites: list[int]) -> str:
    named = ", ".join(name_suite(suite) for suite in suites[:_SHOWN])
    return named if len(suites) <= _SHOWN else f"{named} and {len(suites) - _SHOWN} more"
