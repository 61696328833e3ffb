"""From where an authority looks at names, as its settings say.

Baseline Requirements 3.2.2.9. A remote perspective is another resolver with a proxy there, or a
network of its own that this machine has an address in. What cannot be had like this: a program of
ours that looks by itself somewhere else.
"""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from letterlock.base.clock import Clock
from letterlock.base.config.authority_parts import CaValidationSection, RemotePerspective
from letterlock.base.config.choices import DnsBackend
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.outbound import DnsSection
from letterlock.base.config.sections import Config
from letterlock.network.dialing import Dialer, DirectDialer
from letterlock.network.dns import Backend, StubResolver, make_stub_resolver
from letterlock.network.proxied_dialing import ProxyDialer, ProxyKind
from letterlock.node.ca.rules import make_quorum_rules
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.perspectives import Perspective, Perspectives
from letterlock.services.ca.validating.validate import Validator

HERE = "here"
NOWHERE = ""
"""The region of our own perspective: it does not vote."""
_KEEPS_NOTHING = timedelta(0)


def make_own_resolver(config: Config) -> Backend:
    """Make the resolver that is asked from here. Raises LocalError."""
    section = config.dns
    if (own := config.ca.validation.resolver) is not None:
        section = replace(section, resolver=own)
    if section.backend is DnsBackend.STUB:
        return make_stub_resolver(section, random.SystemRandom())
    return _make_validating(section)


def make_perspectives(config: Config, resolver: Backend, now: datetime) -> Perspectives:
    """Make the places from which names are looked at. Raises SettingFaults."""
    section = config.ca.validation
    primary = Perspective(HERE, NOWHERE, resolver, DirectDialer(ports=section.find_ports()))
    remotes = [_make_remote(each, section, config.dns) for each in section.perspectives]
    try:
        return Perspectives(
            primary,
            remotes,
            make_quorum_rules(config.ca, now),
            may_lack_dnssec=not section.needs_dnssec,
        )
    except ValueError as error:
        message = (
            f"{error}: ask a validating resolver on this machine, or set needs_dnssec = false, "
            "for names that are private"
        )
        raise refuse_setting(("ca", "validation", "resolver"), message) from error


def make_validator(config: Config, resolver: Backend, clock: Clock, now: datetime) -> Validator:
    """Make what validates names. Raises SettingFaults."""
    section = config.ca.validation
    perspectives = make_perspectives(config, resolver, now)
    seconds = section.timeout.total_seconds()
    bounds = ValidationBounds(seconds, min(seconds, 10.0), section.networks)
    return Validator(perspectives, clock, bounds, may_lack_top=section.private_names)


def _make_remote(
    setting: RemotePerspective, section: CaValidationSection, dns: DnsSection
) -> Perspective:
    dialer = _make_dialer(setting, section)
    resolver = StubResolver(
        setting.resolver.host,
        setting.resolver.port,
        random=random.SystemRandom(),
        timeout=dns.timeout,
        attempts=dns.attempts,
        dialer=ProxyDialer(*_find_proxy(setting.proxy)) if setting.proxy is not None else None,
    )
    return Perspective(setting.name, setting.region, resolver, dialer)


def _make_dialer(setting: RemotePerspective, section: CaValidationSection) -> Dialer:
    ports = section.find_ports()
    if setting.proxy is None:
        return DirectDialer(source=setting.source, ports=ports)
    return ProxyDialer(*_find_proxy(setting.proxy), ports=ports)


def _find_proxy(url: str) -> tuple[ProxyKind, tuple[str, int]]:
    """Take a URL apart that `parse_proxy` gave."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return ProxyKind(parts.scheme), (str(ip_address(parts.hostname)), parts.port)


def _make_validating(section: DnsSection) -> Backend:
    # ctypes and a library of several MiB, only where it is used.
    from letterlock.network.libunbound import LibunboundResolver  # noqa: PLC0415 - an extra

    chosen = section.resolver
    return LibunboundResolver(
        section.trust_anchor,
        forward=(chosen.host, chosen.port) if chosen else None,
        timeout=section.timeout * section.attempts,
        max_age=_KEEPS_NOTHING,
    )
