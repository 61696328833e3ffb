"""aliases(5): names of ours, and the addresses that their mail goes to instead.

Read as postalias(1) reads it; `:include:` names a file whose addresses belong to the alias. What
would run a program or write into a file makes a wrong entry.
"""

import re

from letterlock.protocols.tables.lines import (
    BLANK,
    Table,
    TableError,
    TableMaker,
    decoded_lines,
    shorten,
)
from letterlock.protocols.tables.lookup import fold_local
from letterlock.protocols.tables.targets import (
    MAX_TARGETS,
    Include,
    SameUser,
    Target,
    parse_targets,
)

AliasTable = Table[tuple[Target, ...]]

_NAME = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^:\\"])*', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def parse_aliases(content: bytes, file: str) -> AliasTable:
    """Read a file of aliases; never raises. `file` is its name in `where`."""
    maker: TableMaker[tuple[Target, ...]] = TableMaker(file)
    for number, line in decoded_lines(content):
        try:
            if isinstance(line, TableError):
                raise line
            name, text = _split(line)
        except TableError as error:
            maker.add_fault(number, str(error))
        else:
            maker.add(number, name, text, _read_value)
    return maker.finish()


def parse_include(content: bytes, file: str) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Read a file that `:include:` names: addresses, a line or many; `#` begins a comment.

    Gives the targets, and what is wrong with lines, each with its place; never raises.
    """
    targets: list[Target] = []
    faults: list[str] = []
    for number, octets in enumerate(content.split(b"\n"), start=1):
        try:
            line = octets.decode().strip(BLANK)
            if line[:1] != "#":
                targets += _read_targets(line)
        except UnicodeDecodeError:
            faults.append(f"{file}:{number}: not UTF-8")
        except TableError as error:
            faults.append(f"{file}:{number}: {error}")
        if len(targets) > MAX_TARGETS:
            faults.append(f"{file}:{number}: there are more than {MAX_TARGETS} addresses")
            break
    return tuple(targets[:MAX_TARGETS]), tuple(faults)


def find_includes(targets: tuple[Target, ...]) -> tuple[str, ...]:
    """Name the files that targets are in."""
    return tuple(target.path for target in targets if isinstance(target, Include))


def _split(line: str) -> tuple[str, str]:
    """Split `name: value`. Raises TableError."""
    match = _NAME.match(line)
    assert match is not None  # it matches nothing as well
    name, rest = match[0].strip(BLANK), line[match.end() :]
    text = rest[1:].strip(BLANK)
    if rest[:1] != ":" or not name or not text:
        raise TableError(f"{shorten(line)} is not `name: value`")
    return _read_name(name), text


def _read_name(text: str) -> str:
    if text.isalnum() and text.isascii():
        return text.lower()
    quoted = re.fullmatch(r'"((?:\\.|[^"\\])*)"', text, re.DOTALL)
    if not quoted and any(mark in _PAIR.sub("", text) for mark in '@%,"'):
        raise TableError(f"{shorten(text)} is not one local name; quote what has signs in it")
    plain = _PAIR.sub(r"\1", quoted[1] if quoted else text)
    if not plain.isprintable():
        raise TableError(f"{shorten(text)} is not printable")
    return fold_local(plain)


def _read_value(text: str) -> tuple[Target, ...]:
    if not (targets := _read_targets(text)):
        raise TableError("there is no address; a transport table can `discard:` mail")
    return targets


def _read_targets(text: str) -> tuple[Target, ...]:
    targets = parse_targets(text)
    for target in targets:
        if isinstance(target, SameUser):
            raise TableError(f"@{target.domain} stands for no address here")
    return targets
