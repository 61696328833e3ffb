"""The settings file and the files that it names: what a node needs beside its data.

Tables, keys, certificates, programs, lists that aliases include, the operator's texts for bounces.
What else is a folder, or a socket, is not among them: what we keep is the data's, and what others
keep is theirs. Nor is the log: it tells what was, and no node needs it.
"""

import dataclasses
import errno
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from letterlock.base.config.sections import Config
from letterlock.base.config.values import HopPolicy
from letterlock.services.queue.notice_texts import FILE_NAMES

# aliases(5), `:include:/file/name`, also in quotes.
_INCLUDE = re.compile(r':include:\s*"?(/[^\s",]+)')
MAX_TABLE_OCTETS = 256 * 1024 * 1024
"""A table that is larger is not looked through for what it includes."""
_NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def list_named_files(config: Config, settings: Path) -> list[Path]:
    """Give them, the settings file first, each once, those only that are files."""
    found = [settings.absolute(), *_find_paths(config)]
    for table in (config.maps.aliases, config.maps.virtual):
        if table is not None:
            found += _find_included(table)
    if (folder := config.bounce.templates) is not None:
        found += [folder / name for name in FILE_NAMES]
    return [path for path in dict.fromkeys(found) if path != config.log.file and _may_be_file(path)]


def _may_be_file(path: Path) -> bool:
    """Say if it is a file; also where that cannot be told: whoever reads it says why."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        return error.errno not in _NOTHING_THERE


def _find_paths(value: object) -> Iterator[Path]:
    """Give all paths in a value, however deep."""
    match value:
        case Path():
            yield value
        case HopPolicy():
            # As they are written: `policy.table` says what they mean.
            texts = [each for field in value.fields.values() for each in _find_texts(field)]
            yield from (Path(each) for each in texts if each.startswith("/"))
        case Mapping():
            for item in value.values():
                yield from _find_paths(item)
        case tuple() | list():
            for item in value:
                yield from _find_paths(item)
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from _find_paths(getattr(value, field.name))
        case _:
            return


def _find_texts(field: object) -> list[str]:
    items = field if isinstance(field, list | tuple) else [field]
    return [str(item) for item in items if isinstance(item, str | Path)]


def _find_included(table: Path) -> list[Path]:
    try:
        if table.stat().st_size > MAX_TABLE_OCTETS:
            return []
        text = table.read_text("utf-8", "replace")
    except OSError:
        return []
    return [Path(name) for name in _INCLUDE.findall(text)]
