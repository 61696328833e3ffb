"""The settings as documentation: what each means, takes, and has by default.

Made from the sections' source alone; the example file and the reference page are two forms of it.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from letterlock.base.config.authority_parts import (
    IssuedProfile,
    IssuingKey,
    Rate,
    RemotePerspective,
)
from letterlock.base.config.certificates import Authority, Export
from letterlock.base.config.convert import format_bounds, join_choices, take_apart
from letterlock.base.config.filters import Milter, MilterAddress, Rspamd, RspamdPlace
from letterlock.base.config.inbound import CertificateFiles
from letterlock.base.config.sections import Config
from letterlock.base.config.values import (
    Address,
    Between,
    Bytes,
    HopPolicy,
    Lasting,
    ListenAddress,
    Network,
    NextHop,
    Parsed,
    ResolverAddress,
    Secret,
    format_duration,
    format_size,
)
from letterlock.base.domains import Domain

_KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "number",
    str: "text",
    Path: "path",
    timedelta: "duration",
    Domain: "domain",
    Network: "address or network",
    Address: "IP address",
    ListenAddress: "address with port",
    ResolverAddress: "address, with or without a port",
    NextHop: "next hop",
    MilterAddress: "milter's address",
    RspamdPlace: "rspamd's address",
    Rate: "rate",
    IPv4Address: "IPv4 address",
    IPv6Address: "IPv6 address",
    HopPolicy: "policy",
}

_INLINE: Mapping[Any, str] = {
    Authority: "authority",
    CertificateFiles: "certificate with key",
    Export: "export",
    IssuedProfile: "profile",
    IssuingKey: "issuing key",
    Milter: "milter",
    RemotePerspective: "perspective",
    Rspamd: "rspamd",
}
"""Tables that are the elements of a list."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `default` is TOML; None: the key must be given.

    `elements` are the keys of each element, where the key is a list of tables.
    """

    name: str
    text: str
    kind: str
    default: str | None
    elements: tuple["Setting", ...] = ()


@dataclass(frozen=True, slots=True)
class SectionText:
    """One table of the file: `name` is `deliver.timeouts`, "" for the keys above all tables."""

    name: str
    text: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class ValueText:
    """One setting's value as TOML text; `name` is `receive.listen`."""

    name: str
    text: str
    is_changed: bool


def describe_sections() -> list[SectionText]:
    """Describe the whole file, in its order."""
    return list(_describe(Config, ""))


def describe_fields(section: type[Any]) -> tuple[Setting, ...]:
    """Describe the keys of a section or of an inline table; tables within have their own."""
    hints = get_type_hints(section, include_extras=True)
    texts = _read_field_texts(section.__module__)[section.__name__]
    return tuple(
        Setting(
            field.name,
            texts[field.name],
            describe_kind(hints[field.name]),
            _format_default(field, hints[field.name]),
            _describe_elements(hints[field.name]),
        )
        for field in fields(section)
        if not is_table(hints[field.name])
    )


def _describe_elements(hint: Any) -> tuple[Setting, ...]:
    kind, _ = take_apart(hint)
    if get_origin(kind) is not tuple:
        return ()
    element = get_args(kind)[0]
    return describe_fields(element) if element in _INLINE else ()


def describe_values(config: Config) -> list[ValueText]:
    """Give every value in force; of a secret only whether it is set."""
    plain = Config(config.hostname, config.domains, config.contact, config.data_dir)
    return list(_describe_values(config, plain, ""))


def describe_kind(hint: Any) -> str:
    """Say what a key takes: `list of domain`, `duration, 1m to 30d`."""
    kind, markers = take_apart(hint)
    if get_origin(kind) is tuple:
        return f"list of {describe_kind(get_args(kind)[0])}"
    if get_origin(kind) is Mapping:
        return f"table of {describe_kind(get_args(kind)[1])}"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return join_choices([f'`"{choice}"`' for choice in kind])
    text = _INLINE.get(kind) or _KINDS[kind]
    for marker in markers:
        match marker:
            case Parsed(kind=named):
                text = named
            case Bytes():
                text = f"size, {format_bounds(marker)}"
            case Between() | Lasting():
                text = f"{text}, {format_bounds(marker)}"
            case _:
                pass
    return text


def format_toml(value: Any, hint: Any = None) -> str:
    """Write a value as it stands in the file; None, which is no value, as `""`."""
    match value:
        case bool() | int():
            return _format_number(value, hint)
        case tuple() | list():
            return f"[{', '.join(map(format_toml, value))}]"
        case HopPolicy():
            return format_toml(value.fields)
        case _ if type(value) in _INLINE:
            return _format_inline(value)
        case Mapping():
            pairs = (f'"{key}" = {format_toml(item)}' for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case _:
            return _format_text(value)


def is_table(hint: Any) -> bool:
    """Say whether a field is a table of its own in the file."""
    kind, _ = take_apart(hint)
    return isinstance(kind, type) and is_dataclass(kind) and kind not in {*_KINDS, *_INLINE}


def _format_inline(value: Any) -> str:
    """Write what differs from the defaults, in braces."""
    hints = get_type_hints(type(value), include_extras=True)
    pairs = (
        f"{field.name} = {format_toml(getattr(value, field.name), hints[field.name])}"
        for field in fields(value)
        if getattr(value, field.name) != field.default
    )
    return f"{{ {', '.join(pairs)} }}"


def _format_number(value: int, hint: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    _, markers = take_apart(hint)
    is_size = any(isinstance(marker, Bytes) for marker in markers)
    return f'"{format_size(value)}"' if is_size else str(value)


def _format_text(value: object) -> str:
    """Write a text in quotes; DEL is the one character that TOML escapes and JSON doesn't."""
    text = "" if value is None else str(value)
    if isinstance(value, timedelta):
        text = format_duration(value)
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _describe(section: type[Any], name: str) -> Iterator[SectionText]:
    text = "" if section is Config else inspect.cleandoc(section.__doc__ or "")
    yield SectionText(name, text, describe_fields(section))
    for key, hint in get_type_hints(section, include_extras=True).items():
        if is_table(hint):
            yield from _describe(hint, f"{name}.{key}" if name else key)


def _describe_values(section: Any, plain: Any, prefix: str) -> Iterator[ValueText]:
    hints = get_type_hints(type(section), include_extras=True)
    for field in fields(section):
        name = f"{prefix}{field.name}"
        value, default = getattr(section, field.name), getattr(plain, field.name)
        if is_table(hints[field.name]):
            yield from _describe_values(value, default, f"{name}.")
            continue
        _, markers = take_apart(hints[field.name])
        is_secret = any(isinstance(marker, Secret) for marker in markers)
        text = '"(set)"' if is_secret and value else format_toml(value, hints[field.name])
        is_required = field.default is MISSING and field.default_factory is MISSING
        yield ValueText(name, text, is_required or value != default)


def _format_default(field: Field[Any], hint: Any) -> str | None:
    if field.default is not MISSING:
        return format_toml(field.default, hint)
    if field.default_factory is not MISSING:
        return format_toml(field.default_factory(), hint)
    return None


@cache
def _read_field_texts(module_name: str) -> Mapping[str, Mapping[str, str]]:
    """Read the texts under a module's fields; Python drops them, so from the source."""
    module = ast.parse(inspect.getsource(sys.modules[module_name]))
    return {
        node.name: dict(_pair_fields(node))
        for node in module.body
        if isinstance(node, ast.ClassDef)
    }


def _pair_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for item, after in zip(node.body, node.body[1:], strict=False):
        match item, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                yield name, inspect.cleandoc(text)
            case _:
                pass
