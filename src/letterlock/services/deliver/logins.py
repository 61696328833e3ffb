"""Which account we have at a next hop, from the operator's file; and which was refused just now.

RFC 4954 §6. Without the file being readable nobody knows where an account is needed: all mail to
other hosts waits, since a relay host returns for good what comes without a login.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.network.smtp_speaker import Target
from letterlock.protocols.policy.password_demand import HopSecret
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import WrongEntry
from letterlock.protocols.tables.logins import LoginTable, parse_logins
from letterlock.protocols.tables.lookup import address_keys
from letterlock.services.discover.next_hop import NextHop, parse_next_hop
from letterlock.services.redirect.files import MIB, Unreadable, WatchedFile

CHECK_SECONDS = 1.0
"""How long the file is taken to be unchanged."""
MAX_FILE_OCTETS = MIB
REFUSED_SECONDS = 300.0
"""For so long an account that a server refused is not tried again there: guesses lock accounts."""
MAX_REFUSALS = 1000
MAX_TOLD_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class LoginUnknown:
    """It can't be known which account is to be used: mail waits."""

    reason: str


Login = Credentials | LoginUnknown | None
"""None: there is no account for it, and none is used."""


@dataclass(slots=True)
class LoginFile:
    """The file of accounts, read again when it changes.

    `tell` gets what is wrong with it, a line each, once after each change. `port`: of next hops
    that name none.
    """

    path: Path
    clock: Clock
    port: int
    delimiter: str = "+"
    tell: Callable[[str], None] = lambda _: None
    _file: WatchedFile[LoginTable] = field(init=False)
    _current: LoginTable | Unreadable | None = None
    _next_look: float = -1.0

    def __post_init__(self) -> None:
        self._file = WatchedFile(self.path, self._parse, MAX_FILE_OCTETS, is_secret=True)

    def find(self, next_hop: NextHop, sender: str, *, is_relay: bool) -> Login:
        """Find the account for a sender's mail to a next hop.

        A sender's own account is used at relay hosts only (`is_relay`): what is found by MX belongs
        to whom the mail is for.
        """
        table = self.load()
        if isinstance(table, Unreadable):
            return LoginUnknown(table.reason)
        keys = [*_next_hop_keys(next_hop)]
        if is_relay and sender and (mailbox := _parse(sender)) is not None:
            by_sender = address_keys(mailbox, self.delimiter, is_local=False)
            keys = [*(key.text for key in by_sender), *keys]
        entry = next((found for key in keys if (found := table.find(key)) is not None), None)
        if isinstance(entry, WrongEntry):
            return LoginUnknown(f"{entry.where}: {entry.reason}")
        return entry.value if entry is not None else None

    def load(self) -> LoginTable | Unreadable:
        """Give what the file says; it is looked at once in a while."""
        now = self.clock.monotonic()
        if self._current is None or now >= self._next_look:
            known, self._current = self._current, self._file.load(self.clock.now())
            self._next_look = now + CHECK_SECONDS
            if self._current is not known and self._current != known:
                self._tell_problems(self._current)
        return self._current

    def _parse(self, content: bytes, file: str) -> LoginTable:
        return parse_logins(content, file, lambda text: normal_key(text, self.port))

    def _tell_problems(self, found: LoginTable | Unreadable) -> None:
        if isinstance(found, Unreadable):
            self.tell(found.reason)
            return
        for fault, _ in zip(found.all_faults, range(MAX_TOLD_PROBLEMS), strict=False):
            self.tell(str(fault))


@dataclass(slots=True)
class RelayLogins:
    """The accounts that one worker uses. `may_be_unproved`: at hosts that proved nothing, too."""

    file: LoginFile
    clock: Clock
    may_be_unproved: bool = False
    _refusals: dict[tuple[str, Credentials], tuple[float, str]] = field(default_factory=dict)

    @property
    def secret(self) -> HopSecret:
        """What a hop is held to where an account is used."""
        return HopSecret.PASSWORD_UNPROVED if self.may_be_unproved else HopSecret.PASSWORD

    def find(self, next_hop: NextHop, sender: str, *, is_relay: bool) -> Login:
        """Find the account, as `LoginFile.find`."""
        return self.file.find(next_hop, sender, is_relay=is_relay)

    def find_refusal(self, target: Target, credentials: Credentials) -> str | None:
        """Say why an account is not to be tried at a host now; None: it may be."""
        key = target.host, credentials
        until, reason = self._refusals.get(key, (0.0, ""))
        if self.clock.monotonic() < until:
            return reason
        self._refusals.pop(key, None)
        return None

    def note_refusal(self, target: Target, credentials: Credentials, reason: str) -> None:
        """Remember that a host refused an account."""
        key = target.host, credentials
        self._refusals.pop(key, None)
        self._refusals[key] = self.clock.monotonic() + REFUSED_SECONDS, reason
        if len(self._refusals) > MAX_REFUSALS:
            del self._refusals[next(iter(self._refusals))]


def normal_key(text: str, port: int) -> str:
    """Give the key of a next hop in the file; raises NextHopError.

    `[host]:port` is that port of the host, whatever the service is called; a name alone is a domain
    whose MX is used, or that host on any port.
    """
    hop = parse_next_hop(text, port)
    name = hop.domain or hop.address
    if hop.is_bracketed:
        return f"[{name}]:{hop.port}"
    return f"{name}:{hop.port}" if hop.is_port_given else str(name)


def _next_hop_keys(hop: NextHop) -> tuple[str, ...]:
    name = hop.domain or hop.address
    if hop.is_bracketed:
        return f"[{name}]:{hop.port}", str(name)
    return (f"{name}:{hop.port}", str(name)) if hop.is_port_given else (str(name),)


def _parse(address: str) -> Mailbox | None:
    try:
        return parse_mailbox(address)
    except AddressError:
        return None
