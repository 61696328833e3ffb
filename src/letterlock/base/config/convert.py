"""TOML values into settings, by the types and markers of `sections`.

Every fault is reported, none raised: what is wrong becomes WRONG, and reading goes on.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from letterlock.base.config.authority_parts import Rate, parse_rate
from letterlock.base.config.filters import (
    MilterAddress,
    RspamdPlace,
    parse_milter_address,
    parse_rspamd_place,
)
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.values import (
    Address,
    Between,
    Bytes,
    HopPolicy,
    InDataDir,
    Lasting,
    ListenAddress,
    Network,
    NextHop,
    Parsed,
    ResolverAddress,
    Secret,
    format_duration,
    format_size,
    parse_duration,
    parse_ip_address,
    parse_listen_address,
    parse_network,
    parse_next_hop,
    parse_resolver_address,
    parse_size,
)
from letterlock.base.domains import Domain, DomainError, parse_domain

WRONG: Final = object()
"""Stands for a value that was reported."""

Report = Callable[[KeyPath, str], None]
"""Takes the key and what is wrong with it, as the end of a sentence that the key begins."""

MAX_SHOWN_CHARACTERS = 60


def _parse_domain_setting(text: str) -> Domain:
    try:
        domain = parse_domain(text)
    except DomainError as error:
        raise ValueError(f"a domain name ({error})") from error
    if domain.rpartition(".")[2].isdigit():
        # No top-level domain is one: 192.0.2.1 is an address.
        raise ValueError("a domain name, whose last label is not a number")
    return domain


def _parse_ipv4(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise ValueError("an IPv4 address") from error


def _parse_ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError as error:
        raise ValueError("an IPv6 address") from error


def _parse_text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("a text of printable characters; leave the key out where it has no value")
    return text


_PARSERS: Mapping[Any, Callable[[str], Any]] = {
    str: _parse_text,
    Domain: _parse_domain_setting,
    timedelta: parse_duration,
    ListenAddress: parse_listen_address,
    ResolverAddress: parse_resolver_address,
    NextHop: parse_next_hop,
    MilterAddress: parse_milter_address,
    RspamdPlace: parse_rspamd_place,
    Rate: parse_rate,
    Network: parse_network,
    Address: parse_ip_address,
    IPv4Address: _parse_ipv4,
    IPv6Address: _parse_ipv6,
}


class Converter:
    """Turns tables into sections. `folder` is where relative paths start."""

    def __init__(self, file: Path, line_of: Callable[[KeyPath], int], report: Report) -> None:
        self._file = file
        self._folder = file.parent
        self._line_of = line_of
        self._report = report

    def read_section(
        self,
        section: type[Any],
        table: object,
        path: KeyPath,
        stand_ins: Mapping[str, object] = MappingProxyType({}),
    ) -> Any:
        """Make a section. WRONG when it can't be made.

        What is wrong and reported is replaced: a required key by that of `stand_ins`, others by
        their default. So all that depends on the rest can still be looked at.
        """
        if not isinstance(table, dict):
            return self._wrong(path, f"must be a table, not {_name_kind(table)}")
        hints = get_type_hints(section, include_extras=True)
        for key in table:
            if key not in hints:
                self._wrong((*path, key), f"is not a setting{_suggest(key, hints)}")
        values = {}
        is_whole = True
        for field in fields(section):
            key_path = (*path, field.name)
            is_required = field.default is MISSING and field.default_factory is MISSING
            value = WRONG
            if field.name in table:
                value = self.convert(hints[field.name], table[field.name], key_path)
            elif is_required:
                self._wrong(key_path, "must be given")
            if value is WRONG and is_required:
                value = stand_ins.get(field.name, WRONG)
                is_whole = is_whole and value is not WRONG
            if value is not WRONG:
                values[field.name] = value
        return section(**values) if is_whole else WRONG

    def convert(self, hint: Any, value: object, path: KeyPath) -> Any:
        """Make what a field's type asks for; reports and gives WRONG where it can't be."""
        kind, markers = _take_apart(hint)
        if is_optional(kind):
            (kind,) = (part for part in get_args(kind) if part is not NoneType)
            return None if value == "" else self.convert(_mark(kind, markers), value, path)
        if get_origin(kind) is tuple:
            return self._read_array(get_args(kind)[0], value, path)
        if get_origin(kind) is Mapping:
            return self._read_mapping(*get_args(kind), value=value, path=path)
        if is_dataclass(kind) and kind not in _PARSERS:
            return self.read_section(kind, value, path)  # type: ignore[arg-type]  # a class, not an instance: it is a type hint
        return self._read_single(kind, markers, value, path)

    def _read_array(self, element: Any, value: object, path: KeyPath) -> Any:
        if not isinstance(value, list):
            return self._wrong(path, f"must be an array, not {_name_kind(value)}")
        items = [self.convert(element, item, (*path, index)) for index, item in enumerate(value)]
        return WRONG if WRONG in items else tuple(items)

    def _read_mapping(self, key_kind: Any, element: Any, *, value: object, path: KeyPath) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, f"must be a table, not {_name_kind(value)}")
        items = {}
        for key, item in value.items():
            if element is HopPolicy:
                items[key] = self._read_hop(key, item, (*path, key))
            else:
                name = self.convert(key_kind, key, (*path, key))
                items[name] = self.convert(element, item, (*path, key))
        return WRONG if WRONG in items or WRONG in items.values() else items

    def _read_hop(self, key: str, item: object, path: KeyPath) -> Any:
        if not isinstance(item, dict):
            return self._wrong(path, f"must be a table, not {_name_kind(item)}")
        entry = dict(item)
        match entry.get("tafile"):
            case str() as file:
                entry["tafile"] = str(self._folder / file)
            case list() as files:
                entry["tafile"] = [
                    str(self._folder / file) if isinstance(file, str) else file for file in files
                ]
            case _:
                pass
        return HopPolicy(key, entry, self._file, self._line_of(path))

    def _read_single(
        self, kind: Any, markers: tuple[Any, ...], value: object, path: KeyPath
    ) -> Any:
        try:
            return self._parse_single(kind, markers, value)
        except ValueError as error:
            is_secret = any(isinstance(marker, Secret) for marker in markers)
            shown = _name_kind(value) if is_secret else _show(value)
            return self._wrong(path, f"must be {error}, not {shown}")

    def _parse_single(self, kind: Any, markers: tuple[Any, ...], value: object) -> Any:
        if kind is bool or kind is int:
            return _parse_plain(kind, markers, value)
        if not isinstance(value, str):
            raise ValueError(_name_wanted(kind))  # noqa: TRY004 - ValueError is how all say it
        if kind is Path:
            return self._parse_path(markers, value)
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return _parse_choice(kind, value)
        parse = _PARSERS[kind]
        for marker in markers:
            if isinstance(marker, Parsed):
                parse = marker.parse
        parsed = parse(value)
        _check_bounds(markers, parsed)
        return parsed

    def _parse_path(self, markers: tuple[Any, ...], value: str) -> Path:
        if not value or "\0" in value:
            raise ValueError("the path of a file or folder")
        if value.startswith("~"):
            # Only a shell knows it, and the node's home is not the operator's.
            raise ValueError('a path written out, without "~"')
        if any(isinstance(marker, InDataDir) for marker in markers):
            return Path(value)  # Config puts data_dir before it
        return self._folder / value

    def _wrong(self, path: KeyPath, message: str) -> Any:
        self._report(path, message)
        return WRONG


def is_optional(kind: Any) -> bool:
    """Say whether a type hint allows None."""
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def take_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split `Annotated[int, Between(1, 2)]` into the type and its markers, None aside.

    `Annotated[int, ...] | None` gives the markers of its only type too.
    """
    kind, markers = _take_apart(hint)
    if is_optional(kind):
        (inner,) = (part for part in get_args(kind) if part is not NoneType)
        kind, more = _take_apart(inner)
        markers += more
    return kind, markers


def _take_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        kind, *markers = get_args(hint)
        return kind, tuple(markers)
    return hint, ()


def _mark(kind: Any, markers: tuple[Any, ...]) -> Any:
    return Annotated[kind, *markers] if markers else kind


def _parse_plain(kind: type[Any], markers: tuple[Any, ...], value: object) -> Any:
    """Take a boolean or a number; True is no number here, though Python has it so."""
    if any(isinstance(marker, Bytes) for marker in markers) and isinstance(value, str):
        value = parse_size(value)
    if type(value) is not kind:
        raise ValueError(_name_wanted(kind, markers))
    _check_bounds(markers, value)
    return value


def _parse_choice(kind: type[StrEnum], value: str) -> StrEnum:
    if value not in list(kind):
        raise ValueError(join_choices([f'"{choice}"' for choice in kind]))
    return kind(value)


def _check_bounds(markers: tuple[Any, ...], value: Any) -> None:
    for marker in markers:
        if isinstance(marker, Between | Lasting | Bytes) and not (
            marker.least <= value <= marker.most
        ):
            raise ValueError(f"from {format_bounds(marker)}")


def format_bounds(marker: Between | Lasting | Bytes) -> str:
    """Give both bounds as one writes them in the file: `1m to 30d`."""
    match marker:
        case Between(least, most):
            return f"{least} to {most}"
        case Lasting(shortest, longest):
            return f"{format_duration(shortest)} to {format_duration(longest)}"
        case Bytes(least, most):
            return f"{format_size(least)} to {format_size(most)}"


def join_choices(words: list[str]) -> str:
    """Give `a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _name_wanted(kind: Any, markers: tuple[Any, ...] = ()) -> str:
    if any(isinstance(marker, Bytes) for marker in markers):
        return 'a number of octets or a size such as "50MiB"'
    names = {bool: "true or false", int: "a whole number", timedelta: 'a duration such as "5m"'}
    if isinstance(kind, NewType) or kind not in names:
        return "a text in quotes"
    return names[kind]


def _name_kind(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "this text"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date"


def _show(value: object) -> str:
    """Give a value for an error message, on one line and short."""
    if not isinstance(value, str | bool | int | float):
        return _name_kind(value)
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    import difflib  # noqa: PLC0415 - for mistakes only

    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
