"""Reading letterlock.toml: where it is, and a `Config` or every error in it.

Each error has its file, line, column and key. No secret gets into one.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from letterlock.base.config.checks import find_conflicts
from letterlock.base.config.convert import Converter
from letterlock.base.config.faults import SettingFaults
from letterlock.base.config.locate import KeyPath, Position, format_key, locate
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError

SYSTEM_CONFIG = Path("/etc/letterlock/letterlock.toml")
LOCAL_CONFIG = Path("letterlock.toml")
MAX_FILE_OCTETS = 1024 * 1024

# For required keys that are wrong, so that what depends on the others is still checked.
_STAND_INS = {"hostname": "invalid", "domains": (), "contact": "", "data_dir": Path("/")}
_TOML_PLACE = re.compile(r"\A(.*) \(at (?:line (\d+), column (\d+)|end of document)\)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class ConfigError:
    """One mistake. `line` 0: it is the file's as a whole; `key` "": it is no key's."""

    file: Path
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigErrors(LocalError):  # noqa: N818 - it carries many
    """The file can't be used; `errors` holds every mistake, in the order of their lines."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class FoundConfig:
    """Which file to read. One that nobody named must belong to `owner`, who looked for it."""

    path: Path
    owner: int | None = None
    """Kept, since a node that started as root reads it again as another user."""

    def load(self) -> Config:
        """Read it; raises ConfigErrors."""
        return load_config(self.path, owner=self.owner)

    def place(self, faults: SettingFaults) -> ConfigErrors:
        """Say where in the file, as it is now, the settings stand that can't be used."""
        try:
            text = _read_text(self.path, self.owner)
            tomllib.loads(text)
            place_of: Callable[[KeyPath], Position] = partial(_find_place, locate(text))
        except (ConfigErrors, tomllib.TOMLDecodeError, RecursionError):
            # It was changed since it was loaded, or `node.user` may not read it.
            place_of = _find_no_place
        return ConfigErrors(
            [
                _make_error(self.path, place_of(fault.key), fault.key, fault.message)
                for fault in faults.faults
            ]
        )


def find_config(named: Path | None = None) -> FoundConfig:
    """Give the file to read: the named one, the system's, or that of the current folder."""
    if named is not None:
        return FoundConfig(named)
    if os.path.lexists(SYSTEM_CONFIG) or not os.path.lexists(LOCAL_CONFIG):
        return FoundConfig(SYSTEM_CONFIG)
    return FoundConfig(LOCAL_CONFIG, os.geteuid())


def load_config(path: Path, *, owner: int | None = None) -> Config:
    """Read a configuration; raises ConfigErrors with all that is wrong.

    `owner`: refuse a file that this user doesn't own, or that others can change.
    """
    return parse_config(_read_text(path, owner), path)


def parse_config(text: str, path: Path) -> Config:
    """Make a `Config` of a file's text; raises ConfigErrors. Relative paths start at its folder."""
    try:
        document = tomllib.loads(text)
        places = locate(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors([_describe_syntax_error(error, text, path)]) from None
    except RecursionError:
        raise ConfigErrors([ConfigError(path, 0, 0, "", "is nested too deep")]) from None
    return _Reading(path, places).read(document)


@dataclass(slots=True)
class _Reading:
    """One reading of a file: collects what is wrong."""

    path: Path
    places: Mapping[KeyPath, Position]
    errors: dict[KeyPath, ConfigError] = field(default_factory=dict)

    def read(self, document: Mapping[str, Any]) -> Config:
        file = self.path.absolute()
        converter = Converter(file, lambda key: _find_place(self.places, key).line, self._report)
        config = converter.read_section(Config, document, (), _STAND_INS)
        assert isinstance(config, Config)
        for conflict in find_conflicts(config):
            # What follows from a value that is wrong by itself is no second mistake.
            if not any(self._is_wrong(key) for key in (conflict.path, *conflict.others)):
                self._report(conflict.path, conflict.message)
        if self.errors:
            raise ConfigErrors(sorted(self.errors.values()))
        return config

    def _report(self, key: KeyPath, message: str) -> None:
        self.errors[key] = _make_error(self.path, _find_place(self.places, key), key, message)

    def _is_wrong(self, key: KeyPath) -> bool:
        return any(wrong[: len(key)] == key for wrong in self.errors)


def _make_error(file: Path, place: Position, key: KeyPath, message: str) -> ConfigError:
    return ConfigError(file, place.line, place.column, format_key(key), message)


def _find_no_place(_: KeyPath) -> Position:
    return Position(0, 0)


def _find_place(places: Mapping[KeyPath, Position], key: KeyPath) -> Position:
    """Find the key, or what it would be in."""
    while key:
        if key in places:
            return places[key]
        key = key[:-1]
    return Position(1, 1)


def _read_text(path: Path, owner: int | None) -> str:
    try:
        octets = _read_octets(path, owner)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        if isinstance(error, FileNotFoundError):
            message = "does not exist; name one with --config, or make one: letterlock init DOMAIN"
        raise ConfigErrors([ConfigError(path, 0, 0, "", message)]) from None
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        column = error.start - (octets.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigErrors([ConfigError(path, line, column, "", "is not UTF-8")]) from None


def _read_octets(path: Path, owner: int | None) -> bytes:
    """Read the file that was looked at: another can't be put in its place in between."""
    flags = os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if owner is not None else 0)
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is not a file")
        if owner is not None and status.st_uid != owner:
            raise OSError(0, "it is another user's; to use it, name it with --config")
        if owner is not None and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(0, "others can write to it; run chmod go-w on it")
        octets = file.read(MAX_FILE_OCTETS + 1)
    if len(octets) > MAX_FILE_OCTETS:
        raise OSError(0, "it is larger than 1 MiB")
    return octets


def _describe_syntax_error(error: tomllib.TOMLDecodeError, text: str, path: Path) -> ConfigError:
    """Take the place out of tomllib's text; "end of document" is the last line."""
    found = _TOML_PLACE.match(str(error))
    if found is None:
        return ConfigError(path, 1, 1, "", str(error))
    if found[2]:
        return ConfigError(path, int(found[2]), int(found[3]), "", found[1])
    lines = text.split("\n")
    return ConfigError(path, len(lines), len(lines[-1]) + 1, "", found[1])
