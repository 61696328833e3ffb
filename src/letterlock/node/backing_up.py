"""A backup of a node, running or not, without holding up its mail.

What moves goes from one place to the next: a dropped message into the queue, one of the queue into
a mailbox. So the parts are taken in this order, and nothing falls between two of them; what moves
meanwhile may be in both, and be sent twice after a restore.
"""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from letterlock import __version__
from letterlock.base.clock import Clock, format_time
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.presence import is_absent
from letterlock.node.account import acting_as, find_owner, find_writer
from letterlock.node.ca.archiving import AuthorityParts
from letterlock.node.kept_files import scan
from letterlock.node.named_files import list_named_files
from letterlock.node.shared_database import find_database
from letterlock.storage.backup.manifest import (
    CA,
    DKIM,
    DROP,
    FORMAT,
    LOG_KEY,
    MAIL,
    NODE_DATABASE,
    QUEUE,
    SETTINGS,
    Manifest,
)
from letterlock.storage.backup.writing import ArchiveWriter, OnProgress, written_whole
from letterlock.storage.drop import MAX_ENVELOPE_OCTETS, WHOLE
from letterlock.storage.sqlite.owner import NODE_MIGRATIONS, require_known
from letterlock.storage.sqlite.snapshot import (
    ShardSnapshot,
    copy_frozen,
    end_reading,
    frozen_file,
    frozen_queue,
    staging_folder,
)

_NO_ROOT = "no permission to read it; run this as root"
_NOT_FOR_OWNER = "the user who owns its folder has no permission to read it; chown one of them"


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is on the disk. `skipped` has a line for each file that is not in it.

    `notes` say what has a backup of its own.
    """

    path: Path
    size: int
    manifest: Manifest
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was in the databases."""

    moment: str
    queue_schema: int = 0
    node_schema: int = 0
    messages: int = 0


@dataclass(slots=True)
class Backup:
    """One backup. `settings` is the settings file."""

    config: Config
    settings: Path
    has_mailboxes: bool
    clock: Clock
    on_progress: OnProgress
    _skipped: list[str] = field(default_factory=list)

    def make(self, target: Path) -> Made:
        """Write it; into a folder under a name of its own. Raises OSError, StoreUnavailable.

        What of the settings our user may not read is left out, and told.
        """
        if target.is_dir():
            moment = self.clock.now().strftime("%Y%m%dT%H%M%SZ")
            target /= f"letterlock-{self.config.hostname}-{moment}.tar"
        owner = find_owner(self.config.data_dir)
        with written_whole(target) as file:
            archive = ArchiveWriter(file, self.on_progress)
            self._add_settings(archive)
            with acting_as(owner):
                self._add_dropped(archive)
                kept = self._add_stores(archive)
                self._add_tree(archive, DKIM, self.config.dkim.key_dir)
                self._add(archive, LOG_KEY, self.config.data_dir / LOG_KEY)
                if self.has_mailboxes:
                    self._add_tree(archive, MAIL, self.config.local.mail_dir)
            authority = AuthorityParts(self.config, archive, self.on_progress)
            authority_schema = authority.add()
            self._skipped += authority.skipped
            manifest = archive.finish(self._describe(kept, authority_schema))
        notes = tuple(authority.notes)
        return Made(target, target.stat().st_size, manifest, tuple(self._skipped), notes)

    def _describe(self, kept: _Kept, authority_schema: int) -> Manifest:
        config = self.config
        return Manifest(
            format=FORMAT,
            release=__version__,
            hostname=config.hostname,
            moment=kept.moment,
            ended=format_time(self.clock.now()),
            engine=config.queue.engine.value,
            queue_schema=kept.queue_schema,
            node_schema=kept.node_schema,
            messages=kept.messages,
            data_dir=str(config.data_dir),
            folders={
                DROP: str(config.send.drop_dir),
                DKIM: str(config.dkim.key_dir),
                MAIL: str(config.local.mail_dir),
                CA: str(config.ca.folder),
            },
            settings=str(self.settings.absolute()),
            has_mailboxes=self.has_mailboxes,
            authority_schema=authority_schema,
        )

    def _add_settings(self, archive: ArchiveWriter) -> None:
        """Add them. Root reads each as whoever could have put a link to another file there."""
        for path in list_named_files(self.config, self.settings):
            try:
                with acting_as(find_writer(path)):
                    archive.add_file(f"{SETTINGS}{os.path.normpath(path)}", path.resolve())
            except PermissionError:
                self._skipped.append(f"{path}: {_NO_ROOT if os.geteuid() else _NOT_FOR_OWNER}")

    def _add_dropped(self, archive: ArchiveWriter) -> None:
        """Add what the node has not picked up yet. What is gone by now is in the queue."""
        limit = self.config.receive.max_message_bytes + MAX_ENVELOPE_OCTETS
        for path, status in scan(self.config.send.drop_dir, self._skip_closed):
            is_whole = path.name.startswith(WHOLE) and status.st_nlink == 1
            if is_whole and status.st_size <= limit:
                self._add(archive, f"{DROP}/{path.name}", path, status.st_uid)

    def _add_stores(self, archive: ArchiveWriter) -> _Kept:
        database = find_database(self.config)
        if database is None or self.config.queue.engine is QueueEngine.SQLITE:
            return self._add_sqlite(archive)
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.dumping import dump_database  # noqa: PLC0415 - asyncpg is an extra

        moment = format_time(self.clock.now())
        dumped = asyncio.run(dump_database(database, archive.add_octets))
        self._skipped += dumped.unknown
        return _Kept(moment, dumped.queue_schema, dumped.node_schema, dumped.messages)

    def _add_sqlite(self, archive: ArchiveWriter) -> _Kept:
        folder = self.config.queue_dir
        with frozen_queue(folder) as shards, staging_folder(folder / "bodies") as staging:
            moment = format_time(self.clock.now())
            for shard in shards:
                self._add_shard(archive, shard, staging)
            node_schema = self._add_node_database(archive, staging)
        return _Kept(
            moment,
            queue_schema=max((shard.schema for shard in shards), default=0),
            node_schema=node_schema,
            messages=sum(shard.messages for shard in shards),
        )

    def _add_shard(self, archive: ArchiveWriter, shard: ShardSnapshot, staging: Path) -> None:
        if not shard.schema:
            return
        copy = staging / shard.path.name
        name = f"{QUEUE}/{shard.path.name}"
        copy_frozen(shard.connection, copy, lambda octets: self.on_progress(name, octets))
        end_reading(shard.connection)
        archive.add_file(name, copy)
        copy.unlink()
        for body in shard.bodies:
            archive.add_file(f"{QUEUE}/bodies/{shard.path.stem}/{body.name}", body)

    def _add_node_database(self, archive: ArchiveWriter, staging: Path) -> int:
        if is_absent(self.config.node_database):
            return 0
        copy = staging / NODE_DATABASE
        with frozen_file(self.config.node_database) as (connection, schema):
            require_known(connection, self.config.node_database, NODE_MIGRATIONS)
            copy_frozen(connection, copy, lambda octets: self.on_progress(NODE_DATABASE, octets))
        archive.add_file(NODE_DATABASE, copy)
        return schema

    def _add_tree(self, archive: ArchiveWriter, name: str, folder: Path) -> None:
        for path, _ in scan(folder, self._skip_closed):
            self._add(archive, f"{name}/{path.relative_to(folder)}", path)

    def _skip_closed(self, path: Path) -> None:
        self._skipped.append(f"{path}: no permission to read it")

    def _add(self, archive: ArchiveWriter, name: str, path: Path, owner: int | None = None) -> None:
        """Add a file that may be gone meanwhile, or not be ours to read."""
        try:
            name.encode()
            archive.add_file(name, path, owner)
        except FileNotFoundError:
            return
        except PermissionError:
            self._skip_closed(path)
        except UnicodeEncodeError:
            self._skipped.append(f"{str(path)!a}: its name is not UTF-8")
