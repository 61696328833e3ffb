"""Changing TXT records by the API of a DNS provider: the program `lexicon` knows some ninety.

It is run as a program, and its options come from variables, so that no secret is in the list of
processes: docs/decisions says why it is not imported. Of record types it knows TXT, and not TLSA.
"""

import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.base.secret_files import load_secret
from letterlock.network.zone_records import ZoneRecord
from letterlock.services.certify.hooks import SEARCH_PATH, run_hook
from letterlock.services.discover.authorities import AuthorityFinder, NotFound

PROGRAM = "lexicon"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class LexiconChanger:
    """Changes TXT records at a provider.

    `zone` is for names whose zone can't be found from here.
    """

    def __init__(
        self,
        program: Path,
        variables: Mapping[str, str],
        provider: str,
        finder: AuthorityFinder,
        *,
        limit: timedelta,
        zone: Domain | None = None,
    ) -> None:
        self._program = program
        self._variables = variables
        self._provider = provider
        self._finder = finder
        self._limit = limit
        self._zone = zone

    async def add(self, record: ZoneRecord) -> str | None:
        return await self._run("create", record)

    async def remove(self, record: ZoneRecord) -> str | None:
        return await self._run("delete", record)

    async def _run(self, action: str, record: ZoneRecord) -> str | None:
        if record.rdtype != "TXT":
            return f"{record}: lexicon knows no {record.rdtype} records"
        zone = self._zone or await self._find_zone(record.name)
        if isinstance(zone, NotFound):
            return zone.reason
        arguments = (
            *("--delegated", zone, self._provider, action, zone, record.rdtype),
            *(f"--name={record.name}", f"--content={record.value}", f"--ttl={record.ttl}"),
            "--output=QUIET",
        )
        failure = await run_hook(self._program, arguments, self._variables, self._limit)
        return failure and f"{record}: {failure}"

    async def _find_zone(self, name: Domain) -> Domain | NotFound:
        found = await self._finder.find_zone(name)
        return found if isinstance(found, NotFound) else found.name


def find_lexicon() -> Path:
    """Find the program: beside our Python, or where programs are. Raises LocalError."""
    path = f"{Path(sys.executable).parent}:{SEARCH_PATH}"
    found = shutil.which(PROGRAM, path=path)
    if found is None:
        raise LocalError(
            "lexicon is not there: `apt-get install lexicon`, or dns-lexicon from PyPI"
        )
    return Path(found)


def load_options(path: Path, provider: str) -> dict[str, str]:
    """Load a provider's options from TOML, as variables that lexicon reads. Raises LocalError.

    No message has a value in it.
    """
    if not _NAME.match(provider):
        raise LocalError(f"{provider[:64]!r} is no provider of lexicon")
    try:
        table = tomllib.loads(load_secret(path))
    except tomllib.TOMLDecodeError:
        raise LocalError(f'{path}: each line is an option, such as auth_token = "..."') from None
    variables = {}
    for key, value in table.items():
        if not _NAME.match(key):
            raise LocalError(f"{path}: {key[:64]!r} is no option of lexicon")
        if not isinstance(value, str | int) or "\0" in str(value):
            raise LocalError(f"{path}: {key} must be a text or a number")
        variables[f"LEXICON_{provider.upper()}_{key.upper()}"] = str(value)
    return variables
