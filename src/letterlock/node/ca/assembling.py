"""An authority put together from its settings, its keys and its store: what one process runs.

A reload puts another together, over the same store and sockets.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from starlette.types import ASGIApp

from letterlock.base.clock import Clock
from letterlock.base.config.authority import CaSection
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.network.dns import Backend
from letterlock.node.ca.caring import Care, CareTools, make_care
from letterlock.node.ca.keys import LoadedIssuer, load_issuers
from letterlock.node.ca.own_certificate import make_own_profile
from letterlock.node.ca.perspectives import make_own_resolver, make_perspectives, make_validator
from letterlock.node.ca.prevented import make_prevented_reports
from letterlock.node.ca.rules import (
    find_lease,
    make_certificate_profiles,
    make_limits,
    make_name_rules,
    make_order_profiles,
    make_places,
    make_validation_rules,
)
from letterlock.node.ca.status_page import make_status_routes
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.server.nonces import NonceKeys
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.caa.rechecks import RecheckRule
from letterlock.protocols.pki.issuance.linting import EXCUSED, PRIVATE, Linter
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.subject_keys import RefusedKeys, SubjectKey, digest_spki
from letterlock.protocols.pki.names import parse_ip
from letterlock.services.ca.caa_rechecks import CaaRechecker
from letterlock.services.ca.corroborated_rechecks import CorroboratedRechecker
from letterlock.services.ca.crls import CrlPublisher, CrlRules
from letterlock.services.ca.external_accounts import ExternalAccounts
from letterlock.services.ca.incidents.urgency import make_find_urgency
from letterlock.services.ca.issuances import Issuances
from letterlock.services.ca.issuing.drafting import Drafter
from letterlock.services.ca.issuing.judging import IssuingRules
from letterlock.services.ca.issuing.orders import Issuing
from letterlock.services.ca.issuing.tools import IssuingTools
from letterlock.services.ca.keys.refused import load_compromised_keys, load_debian_keys
from letterlock.services.ca.prevented import (
    PreventedReports,
    TellingRechecker,
    TellingValidator,
)
from letterlock.services.ca.publications import Publications
from letterlock.services.ca.requests.authority import (
    Authority,
    RequestRules,
)
from letterlock.services.ca.requests.work import Works
from letterlock.services.ca.revoking import Revoker
from letterlock.services.ca.validations import Validates, Validations
from letterlock.services.ca.working import WorkBounds, WorkRunner
from letterlock.services.discover.caa import CaaFinder
from letterlock.storage.ca.kept import WorkKind
from letterlock.storage.ca.store import AuthorityStore
from letterlock.web.ca.application import make_application

ISSUING_AT_ONCE = 32
LEAST_LEASE = timedelta(minutes=5)
NONCE_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives a reload. `owner` names this process; ports are those that are listened on."""

    store: AuthorityStore
    clock: Clock
    log: Log
    owner: str
    nonce_keys: NonceKeys
    port: int
    crl_url: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """One authority that can run."""

    config: Config
    application: ASGIApp
    publications: Publications
    issuers: tuple[LoadedIssuer, ...]
    tools: IssuingTools
    runners: tuple[WorkRunner, ...]
    publisher: CrlPublisher
    places: Places
    own_profile: Profile
    care: Care
    resolver: Backend
    reports: PreventedReports | None

    @property
    def host(self) -> str:
        """The host of our URL as certificates have it: for it our own certificate is."""
        host = parse_url(self.places.base).host
        ip = parse_ip(host)
        return host.lower() if ip is None else str(ip)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.runners:
                tasks.create_task(each.run())
            tasks.create_task(self.publisher.run())
            tasks.create_task(self.care.prepare())
            if self.reports is not None:
                tasks.create_task(self.reports.run())

    def close(self) -> None:
        """Give back what its resolver holds, as libunbound does a thread."""
        close = getattr(self.resolver, "close", None)
        if close is not None:
            close()

    async def drain(self, seconds: float) -> None:
        """Take nothing more, and wait so long for what is under way."""
        await asyncio.gather(*(each.drain(seconds) for each in self.runners))


def assemble(config: Config, around: Surroundings) -> Assembled:
    """Put it together: keys are opened, nothing runs yet. Raises LocalError."""
    section, now = config.ca, around.clock.now()
    issuers = load_issuers(section, around.crl_url)
    resolver = make_own_resolver(config)
    places = make_places(config, around.port)
    issuances = Issuances(section.caa_identities or (config.hostname,), places)
    refused = _load_refused_keys(section, issuers)
    rules = _make_rules(config, around.owner, refused)
    store, clock, log = around.store, around.clock, around.log
    reports = make_prevented_reports(config, store, resolver, clock, log)
    tools = _make_tools(config, around, (issuers[0], refused), issuances, resolver)
    perspectives = make_perspectives(config, resolver, now)
    if perspectives.has_remotes:
        private = section.validation.private_names
        rechecks = CorroboratedRechecker(tools.rechecks, perspectives, clock, may_lack_top=private)
        tools = replace(tools, rechecks=rechecks)
    validator: Validates = make_validator(config, resolver, clock, now)
    if reports is not None:
        tools = replace(tools, rechecks=TellingRechecker(tools.rechecks, reports.tell))
        validator = TellingValidator(validator, reports.tell)
    publisher = _make_publisher(config, around, issuers)
    revoker = Revoker(around.store, around.clock, around.log, publisher.hurry)
    care = _make_care(config, around, places, issuers[0], revoker)
    runners = (*_make_runners(config, around, tools, validator), *care.runners)
    begin = {each.kind: each.begin for each in runners}
    authority = Authority(
        store=around.store,
        clock=around.clock,
        places=places,
        rules=rules,
        works=Works(lambda claimed: begin[claimed.work.kind](claimed)),
        nonce_keys=around.nonce_keys,
        revoke=revoker,
        find_external=ExternalAccounts(around.store).find,
        find_urgency=make_find_urgency(around.store),
    )
    published = [each for issuer in issuers for each in issuer.published]
    status = make_status_routes(config, around.store, around.clock, places, resolver)
    return Assembled(
        config=config,
        application=make_application(authority, _make_report(around.log), status),
        publications=Publications(around.store, published),
        issuers=issuers,
        tools=tools,
        runners=runners,
        publisher=publisher,
        places=places,
        own_profile=make_own_profile(make_name_rules(section.names)),
        care=care,
        resolver=resolver,
        reports=reports,
    )


def _make_rules(config: Config, owner: str, refused: RefusedKeys) -> RequestRules:
    section = config.ca
    return RequestRules(
        orders=make_order_profiles(section),
        certificates=make_certificate_profiles(section),
        default_profile=section.find_profile(),
        owner=owner,
        terms=section.terms,
        website=section.website,
        caa_identities=section.caa_identities or (config.hostname,),
        is_external_account_required=section.needs_external_account,
        limits=make_limits(section),
        lease=_find_lease(config),
        refused_keys=refused,
    )


def _make_tools(
    config: Config,
    around: Surroundings,
    keys: tuple[LoadedIssuer, RefusedKeys],
    issuances: Issuances,
    resolver: Backend,
) -> IssuingTools:
    section, (issuer, refused) = config.ca, keys
    own = make_own_profile(make_name_rules(section.names))
    profiles = {**make_certificate_profiles(section), own.name: own}
    rules = IssuingRules(profiles, section.find_profile(), section.crl_shards, refused)
    linter = Linter(EXCUSED if section.public else PRIVATE)
    rule = RecheckRule(section.caa_max_age)
    finder = CaaFinder(resolver, around.clock, may_lack_top=section.validation.private_names)
    return IssuingTools(
        store=around.store,
        authority=issuer.authority,
        drafter=Drafter(issuer.authority, rules, linter),
        rules=rules,
        issuances=issuances,
        rechecks=CaaRechecker(finder, around.clock, rule),
        caa_rule=rule,
        clock=around.clock,
        log=around.log,
    )


def _make_runners(
    config: Config,
    around: Surroundings,
    tools: IssuingTools,
    validator: Validates,
) -> tuple[WorkRunner, ...]:
    validations = Validations(
        around.store,
        validator,
        tools.issuances,
        make_validation_rules(config.ca),
        around.clock,
        around.log,
    )
    validating = WorkBounds(around.owner, _find_lease(config), config.ca.validation.at_once)
    issuing = replace(validating, at_once=ISSUING_AT_ONCE)
    store, clock, log = around.store, around.clock, around.log
    return (
        WorkRunner(WorkKind.VALIDATION, store, validations.do, validating, clock, log),
        WorkRunner(WorkKind.ISSUANCE, store, Issuing(tools).do, issuing, clock, log),
    )


def _make_care(
    config: Config, around: Surroundings, places: Places, issuer: LoadedIssuer, revoker: Revoker
) -> Care:
    tools = CareTools(
        store=around.store,
        clock=around.clock,
        log=around.log,
        owner=around.owner,
        places=places,
        signer=issuer.authority.issuer.signer,
        revoker=revoker,
    )
    return make_care(config, tools)


def _make_publisher(
    config: Config, around: Surroundings, issuers: tuple[LoadedIssuer, ...]
) -> CrlPublisher:
    rules = CrlRules(config.ca.crl_shards, config.ca.crl_lifetime)
    authorities = [each.authority for each in issuers]
    return CrlPublisher(around.store, authorities, rules, around.clock, around.log)


def _find_lease(config: Config) -> timedelta:
    return max(find_lease(config.ca), LEAST_LEASE)


def _load_refused_keys(section: CaSection, issuers: tuple[LoadedIssuer, ...]) -> RefusedKeys:
    return RefusedKeys(
        authorities=_list_own_keys(issuers),
        compromised=load_compromised_keys(section.compromised_keys),
        debian=load_debian_keys(section.debian_weak_keys),
    )


def _list_own_keys(issuers: tuple[LoadedIssuer, ...]) -> frozenset[bytes]:
    """Give the digests of our own keys, which nobody gets a certificate for."""
    keys = (each.public_key() for issuer in issuers for each in issuer.published)
    return frozenset(digest_spki(key) for key in keys if isinstance(key, SubjectKey))


def _make_report(log: Log) -> Callable[[str, Exception], None]:
    def report(what: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        log.write(Service.CA, f"error: {what}: {reason}")

    return report
