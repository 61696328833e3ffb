"""Makes the keys that are not there yet, when a node starts.

One takes a tenth of a second, and thousands of domains may want one: it is done beside all else,
and the mail of a domain goes unsigned until its keys are there.
"""

import asyncio

from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.services.sign.keys import KeyPlan, make_missing_key
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
            if key is None:
                continue
            path = self._files.find_path(which.domain, which.selector)
            self._log.write(
                Service.NODE,
                f"DKIM: made {path}; publish as TXT at "
                f"{which.selector}._domainkey.{which.domain}: {key.record} "
                f"(`letterlock dns records {which.domain}` has the line)",
                domain=which.domain,
                selector=which.selector,
                record=key.record,
            )
