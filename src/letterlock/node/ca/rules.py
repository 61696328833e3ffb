"""The settings of an authority as the rules that its services work with."""

from datetime import datetime, timedelta

from letterlock.base.config.authority import CaSection
from letterlock.base.config.authority_parts import CaNamesSection, IssuedProfile, Rate
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.protocols.acme.server.new_orders import OrderProfile
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.rate_limits import Limit
from letterlock.protocols.acme.validation.quorums import QuorumRules, make_public_rules
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile
from letterlock.services.ca.requests.limits import RequestLimits
from letterlock.services.ca.validations import ValidationRules

HTTPS_PORT = 443
HTTP_PORT = 80
LONGEST_LOOK_AT_CAA = timedelta(minutes=1)
"""`services.discover.caa.PATIENCE`, and each may be made from here and then from everywhere."""


def find_url(config: Config, port: int) -> str:
    """Give the URL that the paths of ACME stand behind; `port` is where it is served."""
    if config.ca.url is not None:
        return config.ca.url
    return f"https://{_join(config.hostname, port, HTTPS_PORT)}"


def find_crl_url(config: Config, port: int) -> str:
    """Give the URL of the folder of all that is published."""
    if config.ca.crl_url is not None:
        return config.ca.crl_url
    return f"http://{_join(config.hostname, port, HTTP_PORT)}/crl/"


def find_port(config: Config) -> int:
    """Give the port at which ACME is served; 0: whichever is free then."""
    return config.ca.listen[0].port


def find_crl_port(config: Config) -> int:
    """Give the port at which CRLs are served; 80 where another server does it."""
    return config.ca.crl_listen[0].port if config.ca.crl_listen else HTTP_PORT


def make_places(config: Config, port: int) -> Places:
    """Make the places of ACME. Raises SettingFaults."""
    try:
        return Places(find_url(config, port), config.ca.former_urls)
    except ValueError as error:
        raise refuse_setting(("ca", "url"), str(error)) from error


def make_order_profiles(section: CaSection) -> dict[str, OrderProfile]:
    """Give what orders are like, by the names of profiles."""
    return {each.name: _make_order_profile(each) for each in section.profiles}


def make_certificate_profiles(section: CaSection) -> dict[str, Profile]:
    """Give what certificates are like, by the names of profiles."""
    # Reads a list of 200 KiB, and is in the extra `ca`.
    from letterlock.protocols.pki.issuance.public_suffixes import (  # noqa: PLC0415 - an extra
        PublicSuffixes,
    )

    suffixes, rules = PublicSuffixes(), make_name_rules(section.names)
    return {
        each.name: Profile(
            name=each.name,
            lifetime=each.lifetime,
            key_kinds=frozenset(key.value for key in each.keys),
            max_names=each.max_names,
            has_common_name=each.common_name,
            has_client_auth=each.client_auth,
            may_have_wildcards=each.wildcards,
            may_have_addresses=each.addresses,
            may_have_single_labels=each.single_labels,
            public_suffixes=suffixes,
            rules=rules,
        )
        for each in section.profiles
    }


def make_name_rules(section: CaNamesSection) -> NameRules:
    """Give which names the authority is for."""
    return NameRules(
        section.permitted_domains,
        section.permitted_networks,
        section.excluded_domains,
        section.excluded_networks,
    )


def make_limits(section: CaSection) -> RequestLimits:
    """Give how often clients may do what."""
    limits = section.limits
    return RequestLimits(
        accounts_per_address=_make_limit("new accounts of an address", limits.accounts_per_address),
        orders_per_account=_make_limit("new orders of an account", limits.orders_per_account),
        certificates_per_name_set=_make_limit(
            "certificates for the same names",
            limits.certificates_per_name_set,
            spares_replacements=True,
        ),
        failures_per_name=_make_limit("failed validations of a name", limits.failures_per_name),
        page=limits.pause_page,
    )


def make_validation_rules(section: CaSection) -> ValidationRules:
    """Give how names are validated."""
    return ValidationRules(
        tries=section.validation.tries,
        gap=section.validation.try_gap,
        reuse={each.name: each.reuse for each in section.profiles},
        limits=make_limits(section),
    )


def make_quorum_rules(section: CaSection, now: datetime) -> QuorumRules:
    """Give how many perspectives must agree. Raises SettingFaults where there are too few."""
    validation = section.validation
    least = make_public_rules(now.date()).min_remotes if section.public else 0
    if len(validation.perspectives) < least:
        message = f"a public authority has at least {least} of them on {now.date()}"
        raise refuse_setting(("ca", "validation", "perspectives"), message)
    return QuorumRules(max(validation.min_remotes, least), validation.min_regions)


def find_lease(section: CaSection) -> timedelta:
    """Give how long one try of a validation may take, from all places, and what it waits for."""
    looks = section.validation.timeout + LONGEST_LOOK_AT_CAA
    return 2 * looks + timedelta(minutes=1)


def _make_order_profile(setting: IssuedProfile) -> OrderProfile:
    return OrderProfile(
        name=setting.name,
        description=setting.description,
        max_identifiers=setting.max_names,
        challenge_types=tuple(each.value for each in setting.challenges),
        order_lifetime=setting.order_lifetime,
        reuse=setting.reuse,
    )


def _make_limit(name: str, rate: Rate | None, *, spares_replacements: bool = False) -> Limit | None:
    if rate is None:
        return None
    return Limit(name, rate.count, rate.count, rate.period, spares_replacements=spares_replacements)


def _join(host: str, port: int, usual: int) -> str:
    return host if port == usual else f"{host}:{port}"
