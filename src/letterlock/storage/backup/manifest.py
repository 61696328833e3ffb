"""What is in a backup: the manifest, its last member, and the names that parts may have.

JSON, so that people can read it: what made the backup, of which moment, and each part with its size
and SHA-256. A backup may come from anywhere: nothing in it is believed before it was looked at.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

FORMAT = 1
"""Of the archive as a whole; a later release that changes it reads this one too."""
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
"""About a million parts."""
MAX_NAME_OCTETS = 4096
MAX_COMPONENT_OCTETS = 255
MAX_USER = 2**32 - 1
"""Numbers of users are below it."""

SETTINGS, QUEUE, DROP, DKIM, MAIL, POSTGRES, CA = (
    *("settings", "queue", "drop"),
    *("dkim", "mail", "postgres", "ca"),
)
NODE_DATABASE = "node.sqlite"
LOG_KEY = "log.key"
"""By which the log makes pseudonyms; who removes it makes those there were anonymous."""
_FOLDERS = {SETTINGS, QUEUE, DROP, DKIM, MAIL, POSTGRES, CA}
_SHARD = re.compile(r"queue/shard-\d{3}\.db\Z")
_BODY = re.compile(r"queue/bodies/shard-\d{3}/[0-9a-f]{8,64}\Z")
_TABLE = re.compile(r"postgres/(?:queue|node)/[a-z_]{1,40}/\d{6}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class ArchiveError(Exception):
    """The archive is damaged, or is none of ours; the text names the part."""


class Part(Struct, frozen=True, omit_defaults=True):
    """One member of the archive. `owner` is the user id of a dropped message's owner."""

    name: str
    size: int
    sha256: str
    owner: int | None = None
    columns: tuple[str, ...] = ()
    """Of a table of PostgreSQL, in their order in the part."""
    is_program: bool = False
    """A hook that the settings name: it is of no use where it may not be executed."""


class Manifest(Struct, frozen=True):
    """The whole. `moment` (RFC 3339) is the one at which the queue was as it is in here."""

    format: int
    release: str
    hostname: str
    moment: str
    ended: str
    engine: str
    """`sqlite` or `postgres`."""
    queue_schema: int
    node_schema: int
    messages: int
    """That wait in the queue."""
    data_dir: str
    folders: dict[str, str]
    """Where the parts of these folders were: drop, dkim, mail, ca."""
    settings: str
    """Where the settings file was."""
    has_mailboxes: bool
    parts: tuple[Part, ...] = ()
    authority_schema: int = 0
    """Of the authority's database in SQLite; 0: it is not in here."""

    @property
    def size(self) -> int:
        """The octets of all parts."""
        return sum(part.size for part in self.parts)


_decode = msgspec.json.Decoder(Manifest).decode


def format_manifest(manifest: Manifest) -> bytes:
    """Write it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def parse_manifest(octets: bytes) -> Manifest:
    """Read it. Raises ArchiveError for what is none, or names what no part may have."""
    try:
        manifest = _decode(octets)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveError(f"{MANIFEST}: it is not that of a backup: {error}") from None
    if manifest.format != FORMAT:
        raise ArchiveError(
            f"{MANIFEST}: it is of form {manifest.format}, which release {manifest.release[:40]} "
            f"writes, and this one knows {FORMAT}: restore it with that release or a later one"
        )
    if manifest.engine not in {"sqlite", "postgres"}:
        raise ArchiveError(f"{MANIFEST}: no queue has the engine {manifest.engine[:40]!r}")
    _check_parts(manifest.parts)
    return manifest


def _check_parts(parts: Sequence[Part]) -> None:
    names: set[str] = set()
    for part in parts:
        require_safe_name(part.name)
        if part.name in names or part.name == MANIFEST:
            raise ArchiveError(f"{show(part.name)}: it is listed twice")
        if part.size < 0 or not _DIGEST.match(part.sha256):
            raise ArchiveError(f"{show(part.name)}: its size or its SHA-256 can't be")
        is_dropped = part.name.startswith(f"{DROP}/")
        if part.owner is not None and not (is_dropped and 0 <= part.owner < MAX_USER):
            raise ArchiveError(f"{show(part.name)}: it can't have an owner of its own")
        names.add(part.name)


def require_safe_name(name: str) -> None:
    """Raise ArchiveError for a name that no backup has: it could lead to another place."""
    folder, _, rest = name.partition("/")
    components = rest.split("/")
    is_known = folder in _FOLDERS if rest else name in {NODE_DATABASE, LOG_KEY, MANIFEST}
    if not is_known or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_OCTETS:
        raise ArchiveError(f"{show(name)}: no part of a backup has such a name")
    if rest and not all(map(_is_safe, components)):
        raise ArchiveError(f"{show(name)}: its name leads elsewhere")
    if folder == QUEUE and not (_SHARD.match(name) or _BODY.match(name)):
        raise ArchiveError(f"{show(name)}: no part of a queue has such a name")
    if folder == POSTGRES and not _TABLE.match(name):
        raise ArchiveError(f"{show(name)}: no table has such a name")


def show(name: str) -> str:
    """Make a name from outside printable, and not too long."""
    shown = name[:120]
    return shown if shown.isprintable() else ascii(shown)


def _is_safe(component: str) -> bool:
    octets = component.encode("utf-8", "surrogateescape")
    return (
        0 < len(octets) <= MAX_COMPONENT_OCTETS
        and component not in {".", ".."}
        and (b"\0" not in octets)
    )
