"""Those who have affected certificates are told by mail: one for an account, in bounds.

What the mail says is `protocols.incidents.notices`. It is left in the drop folder of this machine's
node, whose queue does the rest; so an account is told at least once, and after a crash in between
twice, by mails with one Message-ID.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.incidents.notices import (
    MAX_LISTED,
    Fields,
    Notice,
    NoticedCertificate,
    format_notice,
)
from letterlock.protocols.incidents.serials import format_serial
from letterlock.storage.ca.incidents import Incident, MarkTold, Standing
from letterlock.storage.ca.store import Commits

PAGE = 1000
_MAILTO = "mailto:"

LeaveMail = Callable[[str, Sequence[str], bytes], Awaitable[str | None]]
"""Hands a mail in: its sender, its recipients, its octets. Gives why it could not; None: done."""


class TellingStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_account(self, account_id: str) -> Account | None: ...

    async def find_untold_account(self, incident_id: str) -> str | None: ...

    async def list_untold(
        self, incident_id: str, account_id: str, after: int, limit: int
    ) -> tuple[Standing, ...]: ...


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells. `authority` is its name for people, `address` what answers and bounces go to."""

    authority: str
    address: str
    host: str


class Teller:
    """Tells accounts. `leave` None: there is no mail here, and nobody is told."""

    def __init__(
        self,
        store: TellingStore,
        sender: Sender,
        places: Places,
        leave: LeaveMail | None,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._sender = sender
        self._places = places
        self._leave = leave
        self._clock = clock
        self._log = log

    async def tell(self, incident: Incident, most: int) -> bool | None:
        """Tell so many accounts; gives whether all are told. None: mail does not work now.

        Raises StoreUnavailable.
        """
        if self._leave is None:
            return True
        for _ in range(most):
            account_id = await self._store.find_untold_account(incident.id)
            if account_id is None:
                return True
            account = await self._store.load_account(account_id)
            recipients = list_addresses(account)
            failure = await self._tell(incident, account_id, recipients)
            if failure is not None:
                text = f"error: incident {incident.id}: account {account_id}: no mail: {failure}"
                self._log.write(Service.CA, text)
                return None
            told = MarkTold(incident.id, account_id, self._clock.now(), is_mailed=bool(recipients))
            await self._store.commit((told,))
        return False

    async def _tell(
        self, incident: Incident, account_id: str, recipients: tuple[str, ...]
    ) -> str | None:
        if not recipients or self._leave is None:
            text = f"incident {incident.id}: account {account_id} has no mail address: not told"
            self._log.write(Service.CA, text)
            return None
        count, shown = await self._list(incident.id, account_id)
        if not count:
            return None
        notice = Notice(
            authority=self._sender.authority,
            account=self._places.account(account_id),
            why=incident.why,
            page=incident.page,
            renew_by=incident.renew_by,
            count=count,
            certificates=shown,
        )
        octets = format_notice(notice, self._make_fields(incident, account_id, recipients))
        return await self._leave(self._sender.address, recipients, octets)

    async def _list(
        self, incident_id: str, account_id: str
    ) -> tuple[int, tuple[NoticedCertificate, ...]]:
        """Count an account's certificates that are to be renewed, and give the first of them."""
        count, after = 0, 0
        shown: list[NoticedCertificate] = []
        while page := await self._store.list_untold(incident_id, account_id, after, PAGE):
            after = page[-1].affected.number
            left = [each for each in page if each.certificate.revoked is None]
            count += len(left)
            shown += [_describe(each) for each in left[: MAX_LISTED - len(shown)]]
        return count, tuple(shown)

    def _make_fields(
        self, incident: Incident, account_id: str, recipients: Sequence[str]
    ) -> Fields:
        date: datetime = incident.enabled or incident.created
        message_id = f"<incident.{incident.id}.{account_id}@{self._sender.host}>"
        return Fields(self._sender.address, tuple(recipients), date, message_id)


def list_addresses(account: Account | None) -> tuple[str, ...]:
    """Give the mail addresses of an account's contacts."""
    contacts = account.contacts if account is not None else ()
    return tuple(each[len(_MAILTO) :] for each in contacts if each.lower().startswith(_MAILTO))


def _describe(standing: Standing) -> NoticedCertificate:
    certificate = standing.certificate
    return NoticedCertificate(
        format_serial(certificate.name.serial),
        tuple(each.value for each in certificate.identifiers),
        certificate.not_after,
    )
