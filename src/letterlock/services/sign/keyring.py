"""The keys in memory: read when first needed, and again when their files changed.

One that is not there when its domain is first looked for is made, so that no message of a node that
has just started goes unsigned. One that is taken away later is not: somebody wanted it gone.
"""

from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.protocols.dkim.signing import SigningKey
from letterlock.services.sign.keys import KeyId, KeyPlan, load_key, make_missing_key
from letterlock.services.sign.making import tell_made
from letterlock.storage.dkim_keys import DkimKeyFiles, FileState

CHECK_SECONDS = 5.0
"""How long a change of a file may go unnoticed."""


@dataclass(slots=True)
class _Kept:
    """One domain's keys; `states` are those of their files when they were read."""

    keys: tuple[SigningKey, ...]
    states: tuple[FileState | None, ...]
    checked: float


class Keyring:
    """Gives the keys that sign mail of a domain. A file that is of no use is told in the log."""

    def __init__(self, plan: KeyPlan, files: DkimKeyFiles, clock: Clock, log: Log) -> None:
        self._plan = plan
        self._domains = frozenset(plan.domains)
        self._files = files
        self._clock = clock
        self._log = log
        self._kept: dict[Domain, _Kept] = {}

    def find_domain(self, domain: Domain) -> Domain | None:
        """Give the domain that signs for one: itself, or the nearest above it that is ours.

        RFC 6376 §3.10. None: it is not ours.
        """
        name: str = domain
        while name:
            if name in self._domains:
                return Domain(name)
            name = name.partition(".")[2]
        return None

    def find(self, domain: Domain) -> tuple[SigningKey, ...]:
        """Give the keys of a domain of ours, none where there are none that can be used.

        Blocks for the time that missing ones take to be made: once for a domain, ever.
        """
        now = self._clock.monotonic()
        kept = self._kept.get(domain)
        if kept is not None and now - kept.checked < CHECK_SECONDS:
            return kept.keys
        wanted = self._plan.list_current(domain)
        states = self._find_states(wanted)
        if kept is not None and kept.states == states:
            kept.checked = now
            return kept.keys
        if kept is None and None in states:
            self._make(wanted)
            states = self._find_states(wanted)
        self._kept[domain] = _Kept(self._load(domain), states, now)
        return self._kept[domain].keys

    def _find_states(self, wanted: tuple[KeyId, ...]) -> tuple[FileState | None, ...]:
        return tuple(self._files.find_state(each.domain, each.selector) for each in wanted)

    def _make(self, wanted: tuple[KeyId, ...]) -> None:
        for which in wanted:
            try:
                key = make_missing_key(self._files, which)
            except LocalError as error:
                self._log.write(
                    Service.NODE,
                    f"warning: DKIM: mail of {which.domain} lacks a key, and none can be made: "
                    f"{error}",
                )
                return
            if key is not None:
                tell_made(self._files, self._log, which, key)

    def _load(self, domain: Domain) -> tuple[SigningKey, ...]:
        keys = []
        for which in self._plan.list_current(domain):
            try:
                key = load_key(self._files, which)
            except LocalError as error:
                self._log.write(
                    Service.NODE, f"warning: DKIM: mail of {domain} lacks a key: {error}"
                )
                continue
            if key is not None:
                keys.append(key)
        return tuple(keys)
