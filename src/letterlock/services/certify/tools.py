"""What all certificates are tended with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.log import Log
from letterlock.services.certify.accounts import Accounts
from letterlock.services.certify.renewing import Renewer
from letterlock.services.certify.tlsa_guard import TlsaZone
from letterlock.services.certify.waits import Waits
from letterlock.storage.certificates import CertificateStore
from letterlock.storage.issued import IssuedStore
from letterlock.storage.watched import WatchStore


@dataclass(frozen=True, slots=True)
class Tools:
    """They are the same for all that a process does. `chance` gives numbers from 0 up to 1.

    `directories` are the authorities in the order in which they are asked.
    """

    store: CertificateStore
    issued: IssuedStore
    renewer: Renewer
    accounts: Accounts
    zone: TlsaZone
    directories: Sequence[str]
    takeover_after: int
    clock: Clock
    log: Log
    chance: Callable[[], float]
    watched: WatchStore
    waits: Waits
