"""What an operator's commands do with an authority's store, whether `ca serve` runs or not.

Everything is in the store: a halt holds for all processes from its commit on, and what is revoked
is in a CRL as soon as one of them has seen it.
"""

import getpass
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.config.values import parse_certificate_name
from letterlock.base.errors import LocalError
from letterlock.base.log import Service
from letterlock.node.ca.keys import list_issuers, require_authority
from letterlock.node.ca.stores import open_store
from letterlock.protocols.acme.identifiers import Identifier, parse_identifier
from letterlock.protocols.acme.jws import ExternalAccount
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.incidents.serials import SerialError, parse_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca import external_keys, halting
from letterlock.services.ca.external_keys import KeyInUse
from letterlock.services.ca.hierarchy.chains import load_certificates
from letterlock.services.ca.publications import find_key_identifier
from letterlock.services.ca.requests.limits import count_in_a_row
from letterlock.services.ca.revoking import Revoker
from letterlock.storage.ca.changes import ChangeCounter, RemovePause
from letterlock.storage.ca.kept import Halt, Issued, ListedCertificate
from letterlock.storage.ca.store import AuthorityStore

PAGE = 200
MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which certificates are listed; of those that are given, all must hold."""

    identifier: Identifier | None = None
    account: str | None = None
    has_ended: bool = False
    """Those that have ended, and those that were revoked, too."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate as it stands now, and how many others were revoked for their key."""

    issued: Issued
    others: int = 0


async def list_certificates(
    store: AuthorityStore, wanted: Wanted, clock: Clock
) -> AsyncIterator[Issued]:
    """Give them, the oldest first. Raises StoreUnavailable."""
    after = 0
    while page := await _load_page(store, wanted, after):
        for each in page:
            if _is_wanted(each.issued, wanted, clock):
                yield each.issued
        if len(page) < PAGE:
            return
        after = page[-1].number


def identify(text: str) -> Identifier:
    """Read a name as certificates have it. Raises ValueError."""
    return parse_identifier(parse_certificate_name(text))


async def find_issued(config: Config, store: AuthorityStore, text: str) -> Issued | None:
    """Find the certificate of a serial number, or in a file. Raises LocalError."""
    serial = _read_serial(text)
    for setting in list_issuers(config.ca):
        identifier = find_key_identifier(load_certificates(setting.certificate)[0])
        assert identifier is not None
        found = await store.find_certificate(CertificateId(identifier, serial))
        if found is not None:
            return found
    return None


async def revoke(store: AuthorityStore, issued: Issued, reason: Reason, clock: Clock) -> Revoked:
    """Revoke it; with a key that is lost, all that have this key. Raises StoreUnavailable."""
    revoker = Revoker(store, clock, _Quiet(), lambda: None)
    by, is_lost = find_operator(), reason is Reason.KEY_COMPROMISE
    for _ in range(MAX_TRIES):
        if await revoker.revoke(issued, reason, by, blocks_key=is_lost):
            break
        again = await store.load_certificate(issued.certificate.id)
        assert again is not None, "certificates stay"
        issued = again
    others = await revoker.revoke_key(issued.spki_sha256, by) - 1 if is_lost else 0
    after = await store.load_certificate(issued.certificate.id)
    return Revoked(after or issued, max(others, 0))


async def halt(store: AuthorityStore, why: str, clock: Clock) -> Halt:
    """Stop issuance everywhere. Raises StoreUnavailable."""
    return await halting.halt(store, why, find_operator(), clock.now())


async def resume(store: AuthorityStore, clock: Clock) -> Halt:
    """Let it go on. Raises StoreUnavailable."""
    return await halting.resume(store, find_operator(), clock.now())


async def unpause(store: AuthorityStore, account_id: str, name: Identifier) -> bool:
    """Let an account order a name again. False: it is not paused. Raises StoreUnavailable."""
    name = Identifier(name.type, name.base)
    for pause in await store.find_paused(account_id, [name]):
        (counter,) = await store.load_counters([count_in_a_row(account_id, name)])
        emptied = ChangeCounter(counter, replace(counter, empty_at=None))
        return await store.commit([RemovePause(pause), emptied])
    return False


async def make_account_key(store: AuthorityStore, name: str, clock: Clock) -> ExternalAccount:
    """Make a key for external account binding. Raises ValueError, StoreUnavailable."""
    return await external_keys.give_key(store, name, find_operator(), clock.now())


async def revoke_account_key(store: AuthorityStore, kid: str, clock: Clock) -> KeyInUse:
    """Take a key back: it binds no account any more. Raises ValueError, StoreUnavailable."""
    return await external_keys.take_key_back(store, kid, find_operator(), clock.now())


async def list_account_keys(store: AuthorityStore) -> tuple[KeyInUse, ...]:
    """List the keys that were given out. Raises StoreUnavailable."""
    return await external_keys.list_keys(store)


def open_existing(config: Config, clock: Clock) -> AbstractAsyncContextManager[AuthorityStore]:
    """Open the store of an authority that was made. Raises LocalError."""
    require_authority(config.ca)
    return open_store(config, clock)


def find_operator() -> str:
    """Name who runs the command, as the audit log has it."""
    sudo = os.environ.get("SUDO_USER")
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"operator {name} ({sudo})" if sudo and sudo != name else f"operator {name}"


async def _load_page(
    store: AuthorityStore, wanted: Wanted, after: int
) -> Sequence[ListedCertificate]:
    if wanted.identifier is not None:
        return await store.list_of_name(wanted.identifier, after, PAGE)
    if wanted.account is not None:
        return await store.list_of_account(wanted.account, after, PAGE)
    return await store.list_certificates(after, PAGE)


def _is_wanted(issued: Issued, wanted: Wanted, clock: Clock) -> bool:
    certificate = issued.certificate
    if wanted.account not in (None, certificate.account_id):
        return False
    is_good = certificate.revoked is None and certificate.not_after >= clock.now()
    return wanted.has_ended or is_good


def _read_serial(text: str) -> int:
    try:
        return parse_serial(text.encode())
    except SerialError as error:
        path = Path(text)
        if not path.exists():
            raise LocalError(f"{text[:100]}: {error}, and no file") from None
    return load_certificates(path)[0].serial_number


class _Quiet:
    """The command says what was done: no line of a log beside it."""

    def write(
        self, service: Service, text: str, *, queue_id: str | None = None, **fields: object
    ) -> None:
        del service, text, queue_id, fields
