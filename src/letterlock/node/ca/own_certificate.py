"""The certificate with which the authority's server shows itself: kept, and renewed in time.

It is one file with its key, so that both change at once. Where `ca.server_certificate` names files,
those are read again as they change, and nothing is issued.
"""

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from letterlock.base.clock import Clock
from letterlock.base.config.authority import CaSection
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile
from letterlock.services.ca.issuing.tools import IssuingTools
from letterlock.services.ca.own_certificates import OwnPair, issue_own
from letterlock.storage.durable import describe, sync_folder
from letterlock.storage.queue import StoreUnavailable

SERVER_FILE = "server.pem"
OWN_PROFILE = "own"
LIFETIME = timedelta(days=90)
LOOK_EVERY = timedelta(hours=1)
RETRY_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """A chain and its key, in PEM; `key` None: they are in one file."""

    certificate: Path
    key: Path | None = None


class Context(Protocol):
    """A TLS context of a server: connections from now on show what it loaded last."""

    def load_cert_chain(self, certfile: str, keyfile: str | None = None) -> None: ...


def make_own_profile(rules: NameRules) -> Profile:
    """Make the profile of our own certificate."""
    return Profile(OWN_PROFILE, LIFETIME, may_have_single_labels=True, rules=rules)


class OwnCertificate:
    """Keeps the files. `host` is that of our URL."""

    def __init__(self, section: CaSection, host: str, clock: Clock, log: Log) -> None:
        self._given = section.server_certificate
        self._path = section.folder / SERVER_FILE
        self._host = host
        self._clock = clock
        self._log = log
        self._shown: tuple[float, ...] = ()

    @property
    def files(self) -> ServerFiles:
        if self._given is not None:
            return ServerFiles(self._given.certificate, self._given.key)
        return ServerFiles(self._path)

    async def ensure(self, tools: IssuingTools, profile: Profile) -> timedelta:
        """Have a certificate that is good; gives when to look again.

        Raises LocalError where there is none that could be shown.
        """
        if self._given is not None:
            return LOOK_EVERY
        due, ends = _find_times(self._path, self._host, tools)
        now = self._clock.now()
        if now < due:
            return min(due - now, LOOK_EVERY)
        try:
            pair = await issue_own(tools, self._host, profile)
            _replace(self._path, pair)
        except (LocalError, StoreUnavailable) as error:
            if now >= ends:
                raise
            self._log.write(Service.CA, f"warning: {error}; the one that is shown ends {ends}")
            return RETRY_EVERY
        self._log.write(Service.CA, f"our own certificate for {self._host} was issued")
        return LOOK_EVERY

    def show(self, context: Context) -> None:
        """Have connections from now on show what is in the files, where they have changed."""
        files = self.files
        try:
            stamp = tuple(
                path.stat().st_mtime for path in (files.certificate, files.key) if path is not None
            )
            if stamp == self._shown:
                return
            context.load_cert_chain(
                str(files.certificate), str(files.key) if files.key is not None else None
            )
        except (OSError, ValueError) as error:
            # What is shown stays; an OSError of TLS has no name of a file.
            self._log.write(Service.CA, f"error: {files.certificate}: {error}")
            return
        self._shown = stamp


def _find_times(path: Path, host: str, tools: IssuingTools) -> tuple[datetime, datetime]:
    """Give when the certificate in a file is to be renewed, and when it ends; long ago: none."""
    never = datetime.min.replace(tzinfo=tools.clock.now().tzinfo)
    try:
        leaf = x509.load_pem_x509_certificate(path.read_bytes())
        leaf.verify_directly_issued_by(tools.authority.issuer.certificate)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with it, there is to be another
        return never, never
    if host not in {str(each.value) for each in names}:
        return never, never
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return first + (last - first) * 2 / 3, last


def _replace(path: Path, pair: OwnPair) -> None:
    """Write both into one file, which is there whole or as it was. Raises LocalError."""
    draft = path.with_name(f".{secrets.token_hex(12)}")
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(pair.chain_pem + pair.key_pem)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise LocalError(describe(error)) from error
