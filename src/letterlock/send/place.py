"""Where messages are dropped: what letterlock.toml says, read without loading a TOML parser.

Two keys are looked for, `data_dir` and `[send] drop_dir`. A file in which they might be written in
any way but the plain one is given to tomllib. Never is one of the current folder read.
"""

import os

from letterlock.send.failures import CONFIG_ERROR, SendError

SYSTEM_CONFIG = "/etc/letterlock/letterlock.toml"
FALLBACK = "/var/spool/letterlock"
"""Where messages go when the configuration is not for this user to read."""
DEFAULT_NAME = "drop"
"""Below data_dir."""
_MAX_OCTETS = 1024 * 1024
_KEYS = ("data_dir", "drop_dir")
_NOT_PLAIN = ('"""', "'''", "\\")
"""Strings of several lines, and escapes: in those anything may stand, and keys in disguise."""


def find_drop_dir(config: str | None) -> str:
    """Give the folder to drop into; `config` is a file that was named. Raises SendError."""
    path = config or SYSTEM_CONFIG
    try:
        with open(path, "rb", opener=_open) as file:
            octets = file.read(_MAX_OCTETS + 1)
    except OSError as error:
        if config is None:
            return FALLBACK
        raise SendError(CONFIG_ERROR, f"{path}: {error.strerror}") from None
    try:
        data_dir, drop_dir = read_keys(octets.decode())
    except ValueError:
        raise SendError(CONFIG_ERROR, f"{path}: see letterlock config check") from None
    if data_dir is None:
        raise SendError(CONFIG_ERROR, f"{path}: data_dir is missing")
    base = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - no time for pathlib
    return os.path.join(base, data_dir, drop_dir or DEFAULT_NAME)  # noqa: PTH118 - as above


def read_keys(text: str) -> tuple[str | None, str | None]:
    """Give `data_dir` and `drop_dir` as written. Raises ValueError for text that is no TOML."""
    found = _read_plain(text)
    return _read_any(text) if found is None else found


def _read_plain(text: str) -> tuple[str | None, str | None] | None:
    """Read keys that stand on lines of their own with a plain string; None: they may not."""
    if any(mark in text for mark in _NOT_PLAIN):
        return None
    section = ""
    found: dict[str, str] = {}
    for raw in text.split("\n"):
        line = raw.strip(" \t\r")
        if line.startswith("["):
            section = line
        if not any(key in line for key in (*_KEYS, "send")) or line.startswith("#"):
            continue
        if line == "[send]":
            continue
        name, equals, value = (part.strip(" \t") for part in line.partition("="))
        string = _read_string(value)
        if not equals or string is None:
            return None
        if (section, name) in {("", "data_dir"), ("[send]", "drop_dir")} and name not in found:
            found[name] = string
        elif name in _KEYS or "send" in name or '"' in name or "'" in name or "." in name:
            return None
    return (found["data_dir"], found.get("drop_dir")) if "data_dir" in found else None


def _read_string(value: str) -> str | None:
    """Read a string without escapes, and a comment behind it; None: it is something else."""
    quote = value[:1]
    if quote not in {'"', "'"}:
        return None
    inside, closing, rest = value[1:].partition(quote)
    is_end = not rest.strip(" \t") or rest.lstrip(" \t").startswith("#")
    return inside if closing and is_end else None


def _read_any(text: str) -> tuple[str | None, str | None]:
    import tomllib  # noqa: PLC0415 - takes as long as all the rest

    document = tomllib.loads(text)
    send = document.get("send")
    data_dir = document.get("data_dir")
    drop_dir = send.get("drop_dir") if isinstance(send, dict) else None
    for value in (data_dir, drop_dir):
        if value is not None and not isinstance(value, str):
            raise ValueError("a folder is a text")
    return data_dir, drop_dir


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
