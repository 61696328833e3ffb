"""What the operator writes, and what commands and databases hold: files, documents, values."""

import functools
import tomllib
from collections.abc import Callable, Coroutine, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from letterlock.base.config import authority, authority_parts, values
from letterlock.base.config.dkim import parse_selector
from letterlock.base.config.filters import (
    parse_field_name,
    parse_milter_address,
    parse_rspamd_place,
)
from letterlock.base.config.inbound import parse_authserv_id
from letterlock.base.config.load import ConfigErrors, parse_config
from letterlock.base.config.locate import locate
from letterlock.base.config.logs import parse_syslog_name, parse_syslog_target
from letterlock.base.config.maps import parse_delimiter
from letterlock.base.config.publishing import parse_mx_pattern, parse_report_uri
from letterlock.network.control import ControlServer
from letterlock.network.control_client import (
    MAX_DOCUMENT_OCTETS,
    format_document,
    parse_document,
)
from letterlock.network.dns import parse_resolv_conf
from letterlock.protocols.policy.fingerprints import FingerprintError, parse_fingerprint
from letterlock.protocols.policy.postfix_table import parse_postfix_table
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import (
    Entry,
    PolicyTable,
    TableEntry,
    WrongEntry,
    collect_entries,
    normal_key,
    parse_entry,
)
from letterlock.protocols.policy.tls_parameters import VERSIONS
from letterlock.storage.records import mapping_from_json, to_json, to_text
from tests.fuzz.target import Target, take_texts

_FILE = Path("/etc/letterlock/letterlock.toml")
_SETTING_WORDS = (
    *(
        b"[",
        b"]",
        b"[[",
        b"]]",
        b"{",
        b"}",
        b"=",
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"#",
        b",",
        b".",
        b"\n",
    ),
    *(b"[receive]", b"[tls]", b"[policy.hops.", b"[deliver]", b'"5m"', b'"50MiB"', b"true", b"1e9"),
    *(b"hostname", b"domains", b"listen", b"routes", b"certificates", b'"[::]:25"', b"inf", b"nan"),
    *(
        b"-1",
        b"0x",
        b"1979-05-27",
        b"\\u0000",
        b"\\",
        b"\r\n",
        b"\xc3\xa9",
        b"\0",
        b"level",
        b"match",
    ),
)
_CONFIG = b"""\
hostname = "mx1.example.org" # ours
domains = ["example.org", 'example.net']
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
[receive]
listen = ["0.0.0.0:25", "[::]:25"]
relay_from = ["127.0.0.0/8"]
idle_timeout = "5m"
[deliver]
routes = { "example.com" = "[mx.example.com]:2525", b = \"\"\"c\"\"\" }
[[tls.certificates]]
certificate = "a.pem"
key = "b.pem"
[policy.hops."example.com"]
level = "verify"
match = ["hostname"]
"""
_TABLE = b"""\
# Postfix's
example.com secure match=mx.example.com:.example.net
.example.org\tverify,servername=hostname
    ciphers=high { protocols = >=TLSv1.2 }
[192.0.2.1]:25 fingerprint match=00:11|22
b.example may exclude=aNULL
c.example: encrypt
d.example secure policy_type=sts policy_domain=d.example
"""
_TABLE_WORDS = (
    *(b"none", b"may", b"encrypt", b"dane", b"verify", b"secure", b"fingerprint", b"dane-only"),
    *(b" match=", b"nexthop", b"dot-nexthop", b" servername=", b" protocols=", b"!TLSv1.3", b"<="),
    *(b">=TLSv1", b"SSLv3", b" ciphers=", b"null", b" exclude=", b" tafile=", b"{ ", b" }", b":"),
    *(b"example.com", b".", b"[", b"]", b"|", b",", b"\n", b"\n ", b"\r\n", b"\v", b"#", b"\xff"),
    *(b"00" * 32, b":25", b"policy_failure=x", b"connection_reuse=yes", b"\xc2\xa0", b"\xc3\xa9"),
)


def check_config(octets: bytes) -> None:
    """A file is a configuration, or every mistake in it has a place in the file, on one line."""
    text = octets.decode("utf-8", "replace")
    try:
        config = parse_config(text, _FILE)
    except ConfigErrors as errors:
        assert errors.errors
        lines = text.count("\n") + 1
        for error in errors.errors:
            assert 0 <= error.line <= lines
            assert error.column >= (1 if error.line else 0)
            assert str(error).isprintable()
            assert len(str(error)) < 2000
    else:
        assert config.domains
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert set(locate(text)) == set(_list_paths(document))


def _list_paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = [path] if path else []
    for key, below in items:
        found += _list_paths(below, (*path, key))
    return found


def check_values(octets: bytes) -> None:
    """A setting's value is read, or refused with ValueError; what is written is read the same."""
    text = octets.decode("utf-8", "replace")
    for parse, write in _VALUES:
        try:
            value = parse(text)
        except ValueError as error:
            assert len(str(error)) < 1000
            continue
        assert parse(write(value)) == value
        assert write(value).isprintable()


_VALUES: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (values.parse_duration, values.format_duration),
    (values.parse_size, values.format_size),
    (values.parse_listen_address, str),
    (values.parse_resolver_address, str),
    (values.parse_ip_address, str),
    (values.parse_network, str),
    (values.parse_next_hop, str),
    (values.parse_address, str),
    (values.parse_mailbox, str),
    (values.parse_postfix_version, str),
    (values.parse_file_mode, str),
    (values.parse_account, str),
    (parse_delimiter, str),
    (parse_syslog_name, str),
    (parse_syslog_target, str),
    (parse_selector, str),
    (parse_authserv_id, str),
    (parse_milter_address, str),
    (parse_rspamd_place, str),
    (parse_field_name, str),
    (values.parse_group, str),
    (values.parse_https_url, str),
    (values.parse_certificate_name, str),
    (parse_mx_pattern, str),
    (parse_report_uri, str),
    (authority_parts.parse_rate, str),
    (authority_parts.parse_word, str),
    (authority_parts.parse_proxy, str),
    (authority_parts.parse_source, str),
    (authority.parse_base_url, str),
    (authority.parse_crl_url, str),
    (authority.parse_contact, str),
)


def check_resolv_conf(octets: bytes) -> None:
    """Any file names a name server by its address."""
    address, _ = parse_resolv_conf(octets.decode("utf-8", "replace"))
    assert ip_address(address).version in (4, 6)


def check_postfix_table(octets: bytes) -> None:
    """No line of a table is lost without a word, and none lowers what TLS must at least be."""
    table = parse_postfix_table(octets, "table")
    text = octets.decode("utf-8", "replace")
    assert len(table.entries) + len(table.warnings) == _count_logical_lines(text)
    entries = collect_entries(table.entries)
    default = TableEntry("", Level.MAY, "default")
    found = PolicyTable(entries, default)
    for entry in table.entries:
        _check_entry(entry)
        # Under its key there is this entry, and not the default or another's.
        assert found.find(entry.key) in (entry, entries[normal_key(entry.key)])
    assert parse_postfix_table(octets + b"\n# a comment\n\n", "table") == table


def _count_logical_lines(text: str) -> int:
    lines = [line for line in text.split("\n") if line.strip(" \t\r\v\f")]
    count = 0
    for line in lines:
        if not line.lstrip(" \t\r\v\f").startswith("#"):
            count += line[0] not in " \t\r\v\f" or count == 0
    return count


def check_policy_entry(octets: bytes) -> None:
    """An entry of `[policy.hops]`, whatever its values are, is one that can be used, or wrong."""
    key, document = take_texts(octets, 2)
    try:
        fields = tomllib.loads(document)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    entry = parse_entry(key, fields, "where")
    assert entry.key == normal_key(key)
    assert normal_key(entry.key) == entry.key
    _check_entry(entry)


def _check_entry(entry: Entry) -> None:
    if isinstance(entry, WrongEntry):
        assert entry.reason
        assert len(entry.reason) < 1000
        return
    lowest = VERSIONS.index(entry.min_version)
    assert entry.level is Level.MAY or lowest >= VERSIONS.index("TLSv1.2")
    assert entry.max_version is None or VERSIONS.index(entry.max_version) >= lowest
    assert entry.ciphers is None or "!aNULL:!eNULL" in entry.ciphers
    assert (entry.level is Level.FINGERPRINT) == bool(entry.fingerprints)
    for fingerprint in entry.fingerprints:
        assert parse_fingerprint(fingerprint) == fingerprint


def check_fingerprint(octets: bytes) -> None:
    """A fingerprint is SHA-256 in one form, or refused."""
    try:
        fingerprint = parse_fingerprint(octets.decode("utf-8", "replace"))
    except FingerprintError as error:
        assert len(str(error)) < 500
    else:
        assert len(bytes.fromhex(fingerprint.removeprefix("sha256:"))) == 32
        assert parse_fingerprint(fingerprint) == fingerprint


def check_control(octets: bytes) -> None:
    """Any request on the control socket gets one answer or one error, which fits on its line."""
    answer = _run(_control()._answer(octets))
    assert len(answer) == 1
    assert answer.keys() <= {"answer", "error"}
    line = format_document(answer)
    assert parse_document(line) == answer
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_DOCUMENT_OCTETS


@functools.cache
def _control() -> ControlServer:
    async def echo(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"number": int(arguments.get("number", 0))}

    return ControlServer(Path("control"), {"echo": echo})


def _run(work: Coroutine[Any, Any, dict[str, object]]) -> dict[str, object]:
    """Run what awaits nothing outside."""
    try:
        work.send(None)
    except StopIteration as done:
        result: dict[str, object] = done.value
        return result
    raise AssertionError("it waits")


def check_record(octets: bytes) -> None:
    """Words of a peer can be stored, and JSON is read as it was written."""
    text = octets.decode("utf-8", "surrogateescape")
    stored = to_text(text)
    assert "\0" not in stored
    assert to_text(stored) == stored
    kept = mapping_from_json(to_json({"text": text, "octets": octets, "texts": [text]}))
    assert kept["texts"] == [kept["text"]]
    assert stored.replace("?", "") == kept["text"].replace("?", "").replace("\0", "")
    try:
        mapping = mapping_from_json(stored)
    except (msgspec.DecodeError, RecursionError):
        return
    assert mapping_from_json(to_json(mapping)) == mapping


TARGETS = (
    Target("config", check_config, (_CONFIG,), _SETTING_WORDS, runs=250),
    Target(
        "config-values",
        check_values,
        (
            *(
                b"1h30m",
                b"50MiB",
                b"0.0.0.0:25",
                b"[2001:db8::1]:25",
                b"192.0.2.0/24",
                b"fe80::1%1",
                b"fe80::1%]1",
                b"fe80::%\n/64",
            ),
            *(b"[mx.example.com]:2525", b"a@example.org", b"bob", "é@bücher.example".encode()),
            *(b"3.10.5", b"0660", b"root:postfix"),
        ),
        (*_SETTING_WORDS, b"%", b"::ffff:", b"IPv6:", b"/", "٣".encode(), b"999999999", b"w"),
        200,
        runs=750,
    ),
    Target(
        "resolv-conf",
        check_resolv_conf,
        (b"# local\nnameserver 127.0.0.1\noptions edns0 trust-ad\n", b"nameserver fe80::1%eth0\n"),
        (b"nameserver ", b"options ", b"trust-ad", b"\n", b"::1", b"%", b"\xe2\x80\xa8", b"\0"),
        300,
    ),
    Target("postfix-table", check_postfix_table, (_TABLE,), _TABLE_WORDS, 2048, runs=500),
    Target(
        "policy-entry",
        check_policy_entry,
        (
            b'example.com\xfflevel = "secure"\nmatch = ["nexthop"]\nprotocols = ">=TLSv1.2"\n',
            b'[a]:25\xfflevel = "fingerprint"\nmatch = "' + b"0a" * 32 + b'"\nciphers = "high"\n',
        ),
        (*_TABLE_WORDS, *_SETTING_WORDS),
        1024,
    ),
    Target(
        "fingerprint", check_fingerprint, (b"sha256:" + b"0A:" * 31 + b"ff",), _TABLE_WORDS, 300
    ),
    Target(
        "control-request",
        check_control,
        (b'{"command":"echo","arguments":{"number":1}}\n', b'{"command":"x","arguments":{}}\n'),
        (
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b"1e999",
            b"NaN",
            b"\\ud800",
            b":",
            b",",
            b"null",
            b"[" * 500,
        ),
        4096,
        runs=2000,
    ),
    Target(
        "stored-record",
        check_record,
        (b'{"a":"b\\u00e9","c":[1,2.5,null]}', "é\0".encode(), b"\xff\xfe"),
        (b"{", b"}", b"[", b"\\ud800", b"\0", b"1e308", b"-0.0", b'"', b"\xed\xa0\x80", b"[" * 600),
        4096,
        runs=1500,
    ),
)
