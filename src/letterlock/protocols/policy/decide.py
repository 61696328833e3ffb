"""Decide what TLS a connection to one MX host must have, from all that is known of it.

RFC 7672 §2.2 (DANE), RFC 8461 §5 (MTA-STS), RFC 8689 §4.2 (REQUIRETLS, TLS-Required: No), RFC 7435
§3. An entry of the operator's table for the next hop comes first, and alone. Else what DANE and
MTA-STS demand holds, each by itself and both together, on top of the default level: neither
cancels the other. All decisions in one table: docs/reference/tls-decisions.md.
"""

from dataclasses import replace

from letterlock.base.domains import Domain
from letterlock.protocols.policy.facts import NOTHING_PUBLISHED, Published
from letterlock.protocols.policy.published_demand import (
    DaneSays,
    Host,
    MtaStsSays,
    hear_dane,
    hear_mta_sts,
)
from letterlock.protocols.policy.requirement import (
    Decision,
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.policy.table import PolicyTable
from letterlock.protocols.policy.table_demand import Asked, ask_table
from letterlock.protocols.policy.tls_parameters import DEFAULT_MIN_VERSION
from letterlock.protocols.smtp.envelope import TlsDemand

_DANE_LEVELS = (Level.DANE, Level.DANE_ONLY)
_CHAIN_LEVELS = (Level.VERIFY, Level.SECURE)
_REQUIRETLS = "REQUIRETLS: the sender wants the host proved, and the option passed on"
_TLS_REQUIRED_NO = "TLS-Required: No, so that what is published is recorded and stops nothing"


def decide(
    next_hop_key: str,
    next_hop_domain: Domain | None,
    mx_host: str,
    table: PolicyTable,
    published: Published = NOTHING_PUBLISHED,
    demand: TlsDemand = TlsDemand.NORMAL,
) -> Decision:
    """Decide for one MX host of a next hop.

    `next_hop_key` is the next hop as the operator wrote it (`example.com`, `[mx.example.com]:587`),
    `next_hop_domain` its name without brackets and port, None when it is an address. `mx_host` is
    the host's name as its MX record has it, or its address where there is no name. `table` is that
    of the day. A notification (empty return-path) is not held to REQUIRETLS: its `demand` is NORMAL
    (RFC 8689 §4.2.1).
    """
    asked = ask_table(next_hop_key, next_hop_domain, mx_host, table)
    if isinstance(asked, RequirementInvalid):
        return asked
    host = Host(mx_host, next_hop_domain, published)
    if demand is TlsDemand.REQUIRETLS:
        return _tell(asked.exception, _decide_requiretls(asked, host))
    return _tell(asked.exception, _combine(asked, host, is_followed=demand is TlsDemand.NORMAL))


def needs_published(
    next_hop_key: str,
    next_hop_domain: Domain | None,
    mx_host: str,
    table: PolicyTable,
    demand: TlsDemand = TlsDemand.NORMAL,
) -> bool:
    """Say if `decide` goes by what is published, so that it must be looked up."""
    asked = ask_table(next_hop_key, next_hop_domain, mx_host, table)
    if isinstance(asked, RequirementInvalid):
        return False
    is_alone = asked.is_final and asked.requirement.level is not Level.DANE_ONLY
    return demand is TlsDemand.REQUIRETLS or not is_alone


def _combine(asked: Asked, host: Host, *, is_followed: bool = True) -> Requirement | HostUnusable:
    """Put what is published on top of what the table asks.

    `is_followed` False: it is judged and recorded only, but for what the operator made a must
    (RFC 8689 §4.2.2).
    """
    floor = asked.requirement
    is_mandatory = floor.level is Level.DANE_ONLY
    if (asked.is_final and not is_mandatory) or (
        host.published.is_silent and floor.level not in _DANE_LEVELS
    ):
        return _note_overruled(floor, host)
    dane = hear_dane(host, floor.level)
    sts = MtaStsSays() if asked.is_final else hear_mta_sts(host)
    findings = (*dane.findings, *sts.findings)
    if dane.is_out and (is_followed or is_mandatory):
        level = floor.level if is_mandatory else Level.DANE
        return HostUnusable(Source.DANE, dane.reason, findings, level=level)
    if sts.is_out and is_followed:
        return HostUnusable(Source.MTA_STS, sts.reason, findings)
    built = replace(floor, findings=findings) if findings else floor
    if floor.level is Level.DANE:
        # An entry that says `dane` asks for no more than is published.
        built = replace(built, level=Level.MAY)
    if not is_followed:
        built = replace(built, reason=f"{built.reason}; {_TLS_REQUIRED_NO}")
    built = _add_dane(built, dane, is_enforced=is_followed or is_mandatory)
    built = _add_mta_sts(built, sts, is_enforced=is_followed)
    if built.level is Level.NONE:
        # No handshake, nothing to record.
        return replace(built, dane=None, mta_sts=None)
    return built


def _tell(exception: str, decision: Requirement | HostUnusable) -> Requirement | HostUnusable:
    """Tell of the operator's exception also where another source decides."""
    if exception in decision.reason:
        return decision
    return replace(decision, reason=f"{decision.reason}; {exception}")


def _note_overruled(floor: Requirement, host: Host) -> Requirement:
    """Tell of what the operator's entry takes the place of."""
    if host.published.is_silent:
        return floor
    dane, sts = hear_dane(host, Level.MAY), hear_mta_sts(host)
    overruled = [
        name
        for name, is_asking in (
            ("DANE", dane.demand is not None or dane.is_out or dane.is_tls_asked),
            ("MTA-STS", sts.is_out or (sts.demand is not None and sts.demand.is_enforced)),
        )
        if is_asking
    ]
    if not overruled:
        return floor
    reason = f"{floor.reason}; in place of what is published: {' and '.join(overruled)}"
    return replace(floor, reason=reason)


def _add_dane(built: Requirement, dane: DaneSays, *, is_enforced: bool) -> Requirement:
    """Add what TLSA records ask: proof by them, or at least TLS."""
    if dane.demand is not None:
        demand = dane.demand if is_enforced else replace(dane.demand, is_enforced=False)
        has_own_names = built.level.is_authenticated and built.level is not Level.DANE_ONLY
        names = demand.names if is_enforced and not has_own_names else built.names
        # RFC 7672 §8.1: the TLSA base domain, which is the first name, whatever else is set.
        built = replace(built, dane=demand, sni=demand.names[0], names=names)
        return _add(built, Level.DANE, Source.DANE, dane.reason) if is_enforced else built
    if dane.is_tls_asked and is_enforced:
        return _add(built, Level.ENCRYPT, Source.DANE, dane.reason)
    return built


def _add_mta_sts(built: Requirement, sts: MtaStsSays, *, is_enforced: bool) -> Requirement:
    """Add what the MTA-STS policy asks: a chain and the host's name; recorded only in testing."""
    if sts.demand is None:
        return built
    # RFC 8461 §7.1: the MX host's name; but with DANE RFC 7672 §8.1 counts. Both are a MUST.
    is_sni_its = sts.demand.is_listed and built.dane is None
    sni = sts.demand.names[0] if is_sni_its else built.sni
    if not (is_enforced and sts.demand.is_enforced):
        demand = replace(sts.demand, is_enforced=False)
        reason = f"{built.reason}; {sts.reason}"
        return replace(built, mta_sts=demand, sni=sni, reason=reason)
    names = built.names if built.level.is_authenticated else sts.demand.names
    built = replace(_known_as_the_domains(built), mta_sts=sts.demand, sni=sni, names=names)
    return _add(built, Level.VERIFY, Source.MTA_STS, sts.reason)


def _known_as_the_domains(built: Requirement) -> Requirement:
    if built.dane is None or built.dane.is_of_domain:
        return built
    return replace(built, dane=replace(built.dane, is_of_domain=True))


def _add(built: Requirement, level: Level, source: Source, reason: str) -> Requirement:
    """Add a source: it sets the level where the level does not ask for as much by itself."""
    if built.level.is_authenticated or built.level is level:
        return _also(built, source, reason)
    # What `none` and `may` ask is met by anything.
    others = built.sources if built.level.is_tls_required else ()
    if others:
        reason = f"{reason}; {built.reason}"
    return replace(built, level=level, source=source, sources=(source, *others), reason=reason)


def _also(built: Requirement, source: Source, reason: str) -> Requirement:
    sources = tuple(dict.fromkeys((*built.sources, source)))
    return replace(built, sources=sources, reason=f"{built.reason}; {reason}")


def _decide_requiretls(asked: Asked, host: Host) -> Requirement | HostUnusable:
    """RFC 8689 §4.2.1: a host that is the domain's by DNSSEC or MTA-STS, and proves itself.

    An exception of the operator's below proof is for mail whose sender asked for nothing.
    """
    floor = asked.requirement
    if floor.level is Level.NONE:
        return _refuse(f"TLS is off for this next hop ({floor.reason})")
    if not floor.level.is_authenticated:
        asked = replace(asked, requirement=without_old_tls(floor), is_final=False)
    built = _combine(asked, host)
    if isinstance(built, HostUnusable):
        return built
    is_host_trusted = host.is_mx_secure or _is_known_otherwise(host)
    if is_host_trusted:
        built = _known_as_the_domains(built)
    if built.level.is_authenticated and (is_host_trusted or not _rests_on_host(asked, built)):
        return _also(built, Source.REQUIRETLS, _REQUIRETLS)
    if not is_host_trusted:
        return _refuse_unknown(host)
    built = replace(built, names=(host.name,))
    return _add(built, Level.VERIFY, Source.REQUIRETLS, _REQUIRETLS)


def without_old_tls(floor: Requirement) -> Requirement:
    """Leave out what only `may` allows, where nothing but clear text is worse (RFC 9325 §5.2)."""
    highest = floor.max_version
    return replace(
        floor,
        min_version=max(floor.min_version, DEFAULT_MIN_VERSION),
        max_version=highest if highest is None or highest >= DEFAULT_MIN_VERSION else None,
        ciphers=None if floor.level is Level.MAY else floor.ciphers,
    )


def _is_known_otherwise(host: Host) -> bool:
    """Say if the host is the domain's although its MX record is insecure.

    RFC 8689 §4.2.1 asks for a host that RFC 8461 §4.1 finds listed, whatever the mode.
    """
    demand = hear_mta_sts(host).demand
    return (demand is not None and demand.is_listed) or host.name == host.next_hop


def _rests_on_host(asked: Asked, built: Requirement) -> bool:
    """Say if what is proved is a name that the MX record gave, and not one that we know."""
    if built.source in (Source.TABLE, Source.DEFAULT) and built.level in _CHAIN_LEVELS:
        return asked.is_host_named
    return built.level is not Level.FINGERPRINT


def _refuse_unknown(host: Host) -> HostUnusable:
    refused = _refuse(f"neither DNSSEC nor MTA-STS says that {host.name} is {host.next_hop}'s")
    sts = host.published.mta_sts
    # A policy that could not be fetched may be there the next time.
    may_pass = sts is not None and sts.policy is None and sts.error is not None
    return replace(refused, is_permanent=not may_pass)


def _refuse(reason: str) -> HostUnusable:
    return HostUnusable(Source.REQUIRETLS, f"REQUIRETLS: {reason}", is_permanent=True)
