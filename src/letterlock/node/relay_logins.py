"""Our accounts at other servers, as the settings have them."""

from letterlock.base.clock import Clock
from letterlock.base.config.choices import PasswordsFor
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.network.smtp_login import LoginTerms
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.services.deliver.logins import LoginFile, RelayLogins
from letterlock.services.redirect.files import Unreadable


def build_logins(config: Config, clock: Clock, log: Log) -> RelayLogins | None:
    """Build what knows the accounts; None: there are none. What is wrong with them is logged."""
    file = _build_file(config, clock)
    if file is None:
        return None
    file.tell = lambda problem: log.write(Service.NODE, f"warning: {problem}")
    return RelayLogins(file, clock, may_be_unproved=_may_be_unproved(config))


def build_login_terms(config: Config) -> LoginTerms:
    """Say how we log in."""
    mechanisms = tuple(Mechanism(each.value) for each in config.deliver.mechanisms)
    return LoginTerms(mechanisms, _may_be_unproved(config))


def find_login_problems(config: Config, clock: Clock) -> list[str]:
    """Read the file of accounts as a node does; gives what is wrong with it, a line each."""
    file = _build_file(config, clock)
    if file is None:
        return []
    found = file.load()
    if isinstance(found, Unreadable):
        return [found.reason]
    return [str(fault) for fault in found.all_faults]


def _build_file(config: Config, clock: Clock) -> LoginFile | None:
    path, delimiter = config.deliver.passwords, config.maps.recipient_delimiter
    return None if path is None else LoginFile(path, clock, config.deliver.port, delimiter)


def _may_be_unproved(config: Config) -> bool:
    return config.deliver.passwords_for is PasswordsFor.ENCRYPTED
