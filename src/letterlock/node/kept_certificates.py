"""Our certificates as they are in the store, read beside a running node: for `status`.

Nothing is made, changed or held up, and nobody is asked anything: what nodes saw in DNS and at
their listeners is in the store too.
"""

import asyncio
from collections.abc import Awaitable, Callable

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.node.certifying import find_settings
from letterlock.node.shared_database import find_database
from letterlock.services.certify.overview import Overview, make_overview
from letterlock.storage.certificates import CertificateId, CertificateState
from letterlock.storage.sqlite.certificates import read_states
from letterlock.storage.sqlite.watched import read_found
from letterlock.storage.watched import Watched

_PAGE = 1000

_ReadPage = Callable[[CertificateId | None], Awaitable[list[CertificateState]]]


async def load_overviews(config: Config, clock: Clock) -> list[Overview]:
    """Load all that the settings name, and what is kept of before.

    Raises LocalError and StoreUnavailable.
    """
    settings = find_settings(config)
    states, watched = await _read(config)
    now = clock.now()
    found = [states.pop(which, CertificateState(which)) for which in settings.ids]
    return [
        make_overview(state, settings, now, watched=watched.get(state.id, ()))
        for state in (*found, *states.values())
    ]


def read_overviews(config: Config, clock: Clock) -> list[Overview]:
    """Do `load_overviews` in an event loop of its own, where there is anything to load."""
    return asyncio.run(load_overviews(config, clock)) if config.certificates.authorities else []


async def _read(
    config: Config,
) -> tuple[dict[CertificateId, CertificateState], dict[CertificateId, list[Watched]]]:
    dsn = find_database(config)
    if dsn is None:
        path = config.node_database
        states = await _read_all(lambda after: read_states(path, limit=_PAGE, after=after))
        return states, _sort(await read_found(path))
    # asyncpg is an extra: only loaded where it is used.
    from letterlock.storage.postgres import certificates, watched  # noqa: PLC0415 - asyncpg is an extra

    states = await _read_all(lambda after: certificates.read_states(dsn, limit=_PAGE, after=after))
    return states, _sort(await watched.read_found(dsn))


async def _read_all(read: _ReadPage) -> dict[CertificateId, CertificateState]:
    states: dict[CertificateId, CertificateState] = {}
    after: CertificateId | None = None
    while page := await read(after):
        states |= {state.id: state for state in page}
        after = page[-1].id
        if len(page) < _PAGE:
            break
    return states


def _sort(found: list[Watched]) -> dict[CertificateId, list[Watched]]:
    watched: dict[CertificateId, list[Watched]] = {}
    for each in found:
        watched.setdefault(each.id, []).append(each)
    return watched
