"""What changes our own records in DNS, as `[dns_changes]` says."""

from letterlock.base.clock import Clock
from letterlock.base.config.dns_changes import DnsChangeMethod, DnsChangesSection
from letterlock.base.config.faults import refuse_setting
from letterlock.base.errors import LocalError
from letterlock.network.dns_update import DnsUpdater, load_tsig_key
from letterlock.services.certify.solving.changing import (
    HookChanger,
    RecordChanger,
    UpdateChanger,
)
from letterlock.services.discover.authorities import AuthorityFinder

SECTION = "dns_changes"


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
            raise NotImplementedError


def _make_updater(section: DnsChangesSection, clock: Clock) -> DnsUpdater:
    if section.key_file is None:
        return DnsUpdater(None, clock)
    try:
        return DnsUpdater(load_tsig_key(section.key_file, section.key_name), clock)
    except LocalError as error:
        raise refuse_setting((SECTION, "key_file"), str(error)) from None
