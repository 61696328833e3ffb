"""Alerts on what reports on TLS say, as they are kept: which are open, and what is to be told yet.

In the node's database, which all processes of a node share, or all nodes: `storage.sqlite.alerts`,
`storage.postgres.alerts`; `tests/storage` runs one suite on both. It is one small value, since what
is told is decided on all of it; who saves it names the version that was read. What begins, goes on
and ends is decided by `services.alert`.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

import msgspec
from msgspec import Struct

from letterlock.storage.records import to_text


class Rule(StrEnum):
    """Which rule an alert is of."""

    RATE = "A1"
    """Too large a share of sessions failed."""
    SEVERE = "A2"
    """A failure that is told at once: a policy, DNSSEC or DANE that is broken."""
    EXPIRY = "A3"
    """A certificate has expired, or will soon."""
    DOWNGRADE = "A4"
    """STARTTLS is gone where it was."""
    FIRST_SEEN = "A5"
    """A kind of failure that was not seen before."""
    SILENCE = "A6"
    """Who reported each day has stopped."""
    STALE_POLICY = "A7"
    """Senders see a policy that is not the published one."""
    NO_POLICY = "A8"
    """A sender that saw the policy finds none."""
    INTAKE = "A9"
    """Reports that cannot be read, or that nobody has signed."""
    OUTBOUND = "A10"
    """Reports of ours that do not go out, or sessions that were not counted."""


class AlertKey(Struct, frozen=True, order=True):
    """What makes two alerts the same one. `node` is empty where any node sees it."""

    rule: Rule
    domain: str
    subject: str = ""
    node: str = ""


class AlertText(Struct, frozen=True):
    """What is told: what is wrong, since when, the evidence line by line, what to do."""

    what: str
    since: datetime
    evidence: tuple[str, ...]
    remedy: str


class Alert(Struct, frozen=True):
    """An alert, open until `ended`.

    `told` is when it was told last, at which `level`; `is_known`: whether who is told takes it for
    open. `seen` is the last day on which it was found.
    """

    key: AlertKey
    text: AlertText
    began: datetime
    told: datetime
    seen: date
    level: int = 0
    is_known: bool = True
    ended: datetime | None = None


class Turn(StrEnum):
    """What is told of an alert."""

    BEGAN = "began"
    GOES_ON = "goes on"
    ENDED = "ended"


class Told(Struct, frozen=True):
    """One alert in a notice. `note` says how it ended."""

    turn: Turn
    key: AlertKey
    text: AlertText
    note: str = ""


class Notice(Struct, frozen=True):
    """What is to be told at once, by each of these ways.

    Until `held` some process is at it; `reason` says why it was not taken the last time.
    """

    id: str
    made: datetime
    told: tuple[Told, ...]
    ways: tuple[str, ...]
    held: datetime | None = None
    reason: str = ""


class AlertState(Struct, frozen=True):
    """All alerts that are open or ended not long ago, and what is to be told yet."""

    alerts: tuple[Alert, ...] = ()
    notices: tuple[Notice, ...] = ()


class KeptAlerts(Struct, frozen=True):
    """A state, and its version: 0 before the first one."""

    version: int = 0
    state: AlertState = AlertState()


class AlertStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def open(self) -> None:
        """Make or bring forward the tables. Raises LocalError when the operator must act."""

    async def close(self) -> None: ...

    async def load(self) -> KeptAlerts: ...

    async def save(self, version: int, state: AlertState) -> bool:
        """Put a state in the place of one; False, and nothing changed, where another one is there.

        `version` is that of the state that was read.
        """


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AlertState)


def format_state(state: AlertState) -> str:
    """Give a state as the text that is kept."""
    return to_text(_ENCODER.encode(state).decode())


def take_state(version: int, text: str) -> KeptAlerts:
    """Take what is kept; of what another release wrote, and this one can't read, nothing."""
    try:
        return KeptAlerts(version, _DECODER.decode(text))
    except msgspec.MsgspecError:
        return KeptAlerts(version)
