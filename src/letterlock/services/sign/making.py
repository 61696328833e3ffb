"""Makes the keys that are not there yet.

One takes a tenth of a second, and thousands of domains may want one: it is done beside all else
when a node starts. Mail of a domain whose turn has not come does not go unsigned: its keys are
made at its first message, which waits for them.
"""

import asyncio

from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.protocols.dkim.signing import SigningKey
from letterlock.services.sign.keys import KeyId, KeyPlan, make_missing_key
from letterlock.storage.dkim_keys import DkimKeyFiles


class KeyMaker:
    """Makes what is missing, and tells what is to be published."""

    def __init__(self, plan: KeyPlan, files: DkimKeyFiles, log: Log) -> None:
        self._plan = plan
        self._files = files
        self._log = log
        self.problem: str | None = None
        """What kept the last key from being made, on one line."""

    async def run(self) -> None:
        """Make all, and end. At the first that cannot be written, too."""
        for which in self._plan.list_all():
            try:
                key = await asyncio.to_thread(make_missing_key, self._files, which)
            except LocalError as error:
                self.problem = f"DKIM: keys cannot be made, so that mail goes unsigned: {error}"
                self._log.write(Service.NODE, f"warning: {self.problem}")
                return
            if key is not None:
                tell_made(self._files, self._log, which, key)


def tell_made(files: DkimKeyFiles, log: Log, which: KeyId, key: SigningKey) -> None:
    """Write into the log where a new key is, and what to publish of it."""
    log.write(
        Service.NODE,
        f"DKIM: made {files.find_path(which.domain, which.selector)}; publish as TXT at "
        f"{which.selector}._domainkey.{which.domain}: {key.record} "
        f"(`letterlock dns records {which.domain}` has the line)",
        domain=which.domain,
        selector=which.selector,
        record=key.record,
    )
