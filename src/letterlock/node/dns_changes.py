"""What `[dns_changes]` describes: how records of ours are changed, and how that is seen."""

from dataclasses import dataclass
from typing import assert_never

from letterlock.base.clock import Clock
from letterlock.base.config.dns_changes import DnsChangeMethod, DnsChangesSection
from letterlock.base.config.faults import refuse_setting
from letterlock.base.errors import LocalError
from letterlock.base.log import Log
from letterlock.network.dns import Resolver
from letterlock.network.dns_update import DnsUpdater, load_tsig_key
from letterlock.services.certify.solving.changing import (
    HookChanger,
    RecordChanger,
    UpdateChanger,
)
from letterlock.services.certify.solving.dns import DnsSolver
from letterlock.services.certify.solving.lexicon import (
    LexiconChanger,
    find_lexicon,
    load_options,
)
from letterlock.services.certify.solving.served import ServedRecords
from letterlock.services.discover.authorities import AuthorityFinder

SECTION = "dns_changes"


@dataclass(frozen=True, slots=True)
class DnsChanges:
    """The parts. The changers are None where the operator changes such records himself."""

    finder: AuthorityFinder
    served: ServedRecords
    changer: RecordChanger | None
    tlsa_changer: RecordChanger | None
    """lexicon knows TXT records and no TLSA."""

    def make_solver(self, log: Log) -> DnsSolver | None:
        """Make what answers dns-01; None where nothing can."""
        if self.changer is None:
            return None
        return DnsSolver(self.changer, self.finder, self.served, log)


def make_dns_changes(section: DnsChangesSection, resolver: Resolver, clock: Clock) -> DnsChanges:
    """Make them, without asking anything yet. Raises SettingFaults for files of no use."""
    finder = AuthorityFinder(resolver, section.port)
    served = ServedRecords(finder, clock, section.propagation_timeout)
    changer = make_changer(section, finder, clock)
    tlsa_changer = None if section.method is DnsChangeMethod.LEXICON else changer
    return DnsChanges(finder, served, changer, tlsa_changer)


def make_changer(
    section: DnsChangesSection, finder: AuthorityFinder, clock: Clock
) -> RecordChanger | None:
    """Make what changes records; None: the operator does. Raises SettingFaults."""
    match section.method:
        case DnsChangeMethod.NONE:
            return None
        case DnsChangeMethod.UPDATE:
            return UpdateChanger(
                _make_updater(section, clock),
                finder,
                zone=section.zone,
                server=section.find_server(),
                port=section.port,
            )
        case DnsChangeMethod.EXEC:
            if section.hook is None:
                raise refuse_setting((SECTION, "hook"), 'must be given with method = "exec"')
            return HookChanger(section.hook, section.hook_timeout)
        case DnsChangeMethod.LEXICON:
            return _make_lexicon(section, finder)
        case _:
            assert_never(section.method)


def _make_updater(section: DnsChangesSection, clock: Clock) -> DnsUpdater:
    if section.key_file is None:
        return DnsUpdater(None, clock)
    try:
        return DnsUpdater(load_tsig_key(section.key_file, section.key_name), clock)
    except LocalError as error:
        raise refuse_setting((SECTION, "key_file"), str(error)) from None


def _make_lexicon(section: DnsChangesSection, finder: AuthorityFinder) -> LexiconChanger:
    for key in ("provider", "provider_file"):
        if getattr(section, key) is None:
            raise refuse_setting((SECTION, key), 'must be given with method = "lexicon"')
    assert section.provider is not None
    assert section.provider_file is not None
    try:
        program = find_lexicon()
    except LocalError as error:
        raise refuse_setting((SECTION, "method"), str(error)) from None
    try:
        variables = load_options(section.provider_file, section.provider)
    except LocalError as error:
        raise refuse_setting((SECTION, "provider_file"), str(error)) from None
    return LexiconChanger(
        program,
        variables,
        section.provider,
        finder,
        limit=section.hook_timeout,
        zone=section.zone,
    )
