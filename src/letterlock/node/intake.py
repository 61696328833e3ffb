"""Where received reports are kept and what takes them in, as the settings say."""

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.log import Log
from letterlock.network.dns import Resolver
from letterlock.node.own_database import make_own_database
from letterlock.node.shared_database import find_database, name_process
from letterlock.protocols.tlsrpt.destinations import (
    DestinationError,
    MailDestination,
    parse_destination,
)
from letterlock.services.intake.mail import MailIntake
from letterlock.storage.received_reports import ReceivedStore
from letterlock.storage.sqlite.received_reports import SqliteReceived


def make_received_store(config: Config, name: str, clock: Clock) -> ReceivedStore:
    """Make the store, not opened yet; `name` is this process's among all that share it.

    Raises LocalError without the database's address.
    """
    address = find_database(config)
    if address is None:
        return SqliteReceived(make_own_database(config, clock))
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres.node import NodeDatabase as Postgres  # noqa: PLC0415 - asyncpg is an extra
    from letterlock.storage.postgres.received_reports import PostgresReceived  # noqa: PLC0415 - asyncpg is an extra

    return PostgresReceived(Postgres(address, name, clock))


def make_mail_intake(
    config: Config, resolver: Resolver, clock: Clock, log: Log, number: int
) -> MailIntake | None:
    """Make what takes reports out of mail; None where that is switched off.

    `number` is the worker's among all processes of the node.
    """
    if not config.tlsrpt.receive:
        return None

    name = f"{name_process(config, number)}/received"

    def make_store() -> ReceivedStore:
        return make_received_store(config, name, clock)

    keep = config.tlsrpt.keep_received
    return MailIntake(find_report_addresses(config), make_store, resolver, clock, log, keep)


def find_report_addresses(config: Config) -> frozenset[str]:
    """Give the addresses of ours that our TLSRPT records name, in lower case."""
    uris = config.publishing.tls_reports or [f"mailto:postmaster@{each}" for each in config.domains]
    return frozenset(
        found.address.lower()
        for found in map(_parse, uris)
        if isinstance(found, MailDestination) and found.domain in config.domains
    )


def _parse(uri: str) -> object:
    try:
        return parse_destination(str(uri))
    except DestinationError:
        return None
