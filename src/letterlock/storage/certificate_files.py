"""Certificates as files: for the node's own workers, and exported for other programs.

The layout is certbot's: `NAME/fullchain.pem`, `privkey.pem`, `chain.pem`, `cert.pem`. NAME is a
link to a folder that never changes once it is there, and renaming a new link over the old one
switches all at once: no reader that has followed the link sees a key beside another's chain, and
the folder of the links has another time of change whenever anything changed. Blocks.

Who opens `NAME/privkey.pem` and then `NAME/fullchain.pem` follows the link twice, and may find a
switch between. For other programs there is `combined.pem` besides: key and chain in one file.

NAME of a domain or an IPv4 address is itself; `*` and `:` are written as `+`, which is in no domain
name; `+rsa` or `+ed25519` follows for those keys. What would be too long is `+` and its SHA-256.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from letterlock.base.domains import parse_domain
from letterlock.base.errors import LocalError
from letterlock.base.presence import is_absent
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId, KeptPair
from letterlock.storage.durable import describe, make_folder, sync_folder

FULL_CHAIN, KEY, CHAIN, CERTIFICATE = "fullchain.pem", "privkey.pem", "chain.pem", "cert.pem"
COMBINED = "combined.pem"
MAX_FOLDER_OCTETS = 200
"""File systems take 255."""

_VERSIONS = ".versions"
_SELF_SIGNED = ".self-signed"
_TOLD = ".told"
_MAX_PEM_BYTES = 1024 * 1024
_TARGET = re.compile(rf"{re.escape(_VERSIONS)}/(?!\.\.?/)[^/\0]+/[0-9a-f]{{32}}\Z")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Modes of what is written, and whom it belongs to. None: whoever writes it.

    `has_combined`: with a file of key and chain.
    """

    key_mode: int
    file_mode: int
    folder_mode: int
    owner: int | None = None
    group: int | None = None
    has_combined: bool = field(default=False, repr=False)


PRIVATE = FileAccess(key_mode=0o600, file_mode=0o600, folder_mode=0o700)


def make_export_access(
    key_mode: int, owner: int | None = None, group: int | None = None
) -> FileAccess:
    """Give what other programs need: certificates are public, keys as the operator says."""
    return FileAccess(key_mode, 0o644, 0o755, owner, group, has_combined=True)


def format_folder(which: CertificateId) -> str:
    """Give the name of a certificate's folder: another one for each certificate.

    Raises ValueError for what is neither a domain, nor `*.` and one, nor an IP address.
    """
    name = _format_name(which.name)
    if which.key_type is not KeyType.ECDSA:
        name = f"{name}+{which.key_type.lower()}"
    return name if len(name) <= MAX_FOLDER_OCTETS else f"+{sha256(name.encode()).hexdigest()}"


class CertificateFiles:
    """All certificates below one folder, which is made when something is written."""

    def __init__(self, root: Path, access: FileAccess = PRIVATE) -> None:
        self._root = root
        self._access = access

    @property
    def self_signed(self) -> tuple[Path, Path]:
        """Where chain and key of the certificate are that stands in until there is a real one."""
        return self._paths(_SELF_SIGNED)

    def paths(self, which: CertificateId) -> tuple[Path, Path]:
        """Say where chain and key of a certificate are, now and after renewals."""
        return self._paths(format_folder(which))

    def write(self, which: CertificateId, pair: KeptPair) -> bool:
        """Write a pair, or leave it as it is when it is there; gives whether something changed.

        Raises LocalError.
        """
        return self._switch(format_folder(which), pair)

    def has(self, which: CertificateId, pair: KeptPair) -> bool:
        """Say if a pair is written, as `write` leaves it."""
        folder = format_folder(which)
        target = f"{_VERSIONS}/{folder}/{_digest(pair, self._access)}"
        return _find_target(self._root / folder) == target and (self._root / target).is_dir()

    def write_self_signed(self, pair: KeptPair) -> None:
        """Write the pair that stands in; no `PairListing` has it. Raises LocalError."""
        self._switch(_SELF_SIGNED, pair)

    def load_self_signed(self) -> KeptPair | None:
        """Give the pair that stands in; None: it is not there, or can't be read."""
        try:
            folder = (self._root / _SELF_SIGNED).resolve(strict=True)
            return KeptPair(_read(folder / FULL_CHAIN), _read(folder / KEY))
        except OSError:
            return None

    def remove(self, which: CertificateId) -> bool:
        """Remove a certificate; gives whether it was there. Raises LocalError."""
        return self._remove(format_folder(which))

    def remove_others(self, kept: Iterable[CertificateId]) -> list[str]:
        """Remove all but some; gives the folders' names. Raises LocalError."""
        keep = {format_folder(which) for which in kept} | {_SELF_SIGNED}
        home = self._root / _VERSIONS
        with _explained(home):
            # Not by the links: a crash may have left a key behind without one.
            there = {entry.name for entry in os.scandir(home)} if not is_absent(home) else set()
        others = sorted(there - keep)
        for folder in others:
            self._remove(folder)
        return others

    def is_told(self, which: CertificateId) -> bool:
        """Say if those who use the files were told of the pair that is there (`note_told`)."""
        folder = format_folder(which)
        try:
            told = _read(self._root / _VERSIONS / folder / _TOLD)
        except OSError:
            return False
        return told.decode("ascii", "replace") == (_find_target(self._root / folder) or "")

    def note_told(self, which: CertificateId) -> None:
        """Keep that they were told, so that a crash before it leads to their being told again."""
        folder = format_folder(which)
        path = self._root / _VERSIONS / folder / _TOLD
        with _explained(path):
            staged = path.with_name(f"{_TOLD}.new")
            staged.unlink(missing_ok=True)
            self._write_file(staged, (_find_target(self._root / folder) or "").encode(), 0o600)
            staged.rename(path)

    def _paths(self, folder: str) -> tuple[Path, Path]:
        return self._root / folder / FULL_CHAIN, self._root / folder / KEY

    def _switch(self, folder: str, pair: KeptPair) -> bool:
        home = self._root / _VERSIONS / folder
        version = _digest(pair, self._access)
        target = f"{_VERSIONS}/{folder}/{version}"
        with _explained(home):
            before = _find_target(self._root / folder)
            if before == target and (self._root / target).is_dir():
                return False
            _require_ours(self._root / folder)
            for path in (home.parent, home):
                _require_folder(path)
            self._make_folder(home)
            last = version if before == target else (before or "").rpartition("/")[2]
            _sweep(self._root, folder, last)
            self._write_version(home / version, pair)
            link = home / f".link-{secrets.token_hex(8)}"
            link.symlink_to(target)
            link.rename(self._root / folder)
            sync_folder(self._root)
        return True

    def _write_version(self, path: Path, pair: KeptPair) -> None:
        staged = path.with_name(f".new-{secrets.token_hex(8)}")
        staged.mkdir(mode=0o700)
        blocks = _PEM.findall(pair.chain)
        access = self._access
        self._write_file(staged / KEY, pair.key, access.key_mode)
        self._write_file(staged / FULL_CHAIN, pair.chain, access.file_mode)
        self._write_file(staged / CHAIN, b"".join(blocks[1:]), access.file_mode)
        self._write_file(staged / CERTIFICATE, b"".join(blocks[:1]), access.file_mode)
        if access.has_combined:
            both = b"%b\n%b" % (pair.key.rstrip(), pair.chain)
            self._write_file(staged / COMBINED, both, access.key_mode)
        staged.chmod(access.folder_mode)
        sync_folder(staged)
        staged.rename(path)
        sync_folder(path.parent)

    def _write_file(self, path: Path, content: bytes, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            file.flush()
            access = self._access
            if access.owner is not None or access.group is not None:
                # Before the mode: a file that others may read must be the right others'.
                os.fchown(descriptor, _or_same(access.owner), _or_same(access.group))
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)

    def _make_folder(self, path: Path) -> None:
        if path.is_dir():
            return
        self._make_folder(path.parent)
        make_folder(path)
        path.chmod(self._access.folder_mode)

    def _remove(self, folder: str) -> bool:
        link, home = self._root / folder, self._root / _VERSIONS / folder
        with _explained(link):
            if is_absent(home):
                return False
            if _find_target(link) is not None:
                link.unlink()
                sync_folder(self._root)
            shutil.rmtree(home)
        return True


class PairListing:
    """What a folder of certificates has now. For one reader, who is told of changes once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamp: tuple[int, int, int] | None = None
        self._is_looking_again = False
        self._listing: dict[str, tuple[Path, Path]] = {}

    def find_pairs(self) -> Mapping[str, tuple[Path, Path]] | None:
        """Give (chain, key) of each by its folder's name; None: the same as at the last call.

        The paths don't change with the link, and the files there never do. Costs one stat while
        nothing changes.
        """
        stamp = _find_stamp(self._root)
        if stamp == self._stamp and not self._is_looking_again:
            return None
        # Two changes within one tick of the file system's clock leave the same stamp: it is looked
        # again once after a change was seen, when that tick is over.
        self._is_looking_again = stamp != self._stamp
        self._stamp = stamp
        try:
            targets = _list_targets(self._root)
        except OSError:
            # Gone, or not ours to read: what was loaded is served on.
            return None
        listing = {
            folder: (
                Path(f"{self._root}/{target}/{FULL_CHAIN}"),
                Path(f"{self._root}/{target}/{KEY}"),
            )
            for folder, target in targets.items()
        }
        if listing == self._listing:
            return None
        self._listing = listing
        return listing


def _list_targets(root: Path) -> dict[str, str]:
    """Give what each link points to. Raises OSError."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    found = {name: _find_target(f"{root}/{name}") for name in names}
    return {name: target for name, target in found.items() if target is not None}


def _find_target(link: str | Path) -> str | None:
    """Give what a link of ours points to; None: there is none, or it is not ours."""
    try:
        target = os.readlink(link)  # noqa: PTH115 - of 10,000 links no paths need to be made
    except OSError:
        return None
    return target if _TARGET.match(target) else None


def _format_name(name: str) -> str:
    if name.startswith("*."):
        return f"+.{parse_domain(name[2:])}"
    # A zone may have any characters, and no certificate has one.
    if "%" not in name:
        with suppress(ValueError):
            return str(ip_address(name)).replace(":", "+")
    return parse_domain(name)


def _require_ours(link: Path) -> None:
    """Raise LocalError where something else has the name of our link."""
    if os.path.lexists(link) and _find_target(link) is None:
        raise LocalError(f"{link}: was not made by us; move it away, or choose another folder")


def _digest(pair: KeptPair, access: FileAccess) -> str:
    """Name a version by what is in it: the same pair is never written twice."""
    digest = sha256(repr(access).encode())
    if access.has_combined:
        digest.update(COMBINED.encode())
    for part in (pair.chain, pair.key):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]


def _require_folder(path: Path) -> None:
    """Raise LocalError for a link: whoever may write beside us could lead us anywhere with it."""
    if path.is_symlink():
        raise LocalError(f"{path}: was not made by us; move it away, or choose another folder")


def _sweep(root: Path, folder: str, last: str) -> None:
    """Remove old versions, and what a crash left; who reads the last one now can go on.

    By descriptors that followed no link: what others put in our folder leads to nothing of ours.
    """
    with ExitStack() as stack:
        home = None
        for name in (root, _VERSIONS, folder):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            flags |= os.O_NOFOLLOW if home is not None else 0
            home = os.open(name, flags, dir_fd=home)
            stack.callback(os.close, home)
        for entry in list(os.scandir(home)):
            if entry.name in {last, _TOLD}:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.name, dir_fd=home)
            else:
                os.unlink(entry.name, dir_fd=home)


def _find_stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_PEM_BYTES)


def _or_same(number: int | None) -> int:
    return -1 if number is None else number


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = "" if error.filename else f"{path}: "
        raise LocalError(f"{where}{describe(error)}") from error
