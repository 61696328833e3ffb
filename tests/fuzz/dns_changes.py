"""Changing DNS: key files, and what name servers answer to updates and to plain questions."""

from base64 import b64encode

import dns.flags
import dns.message
import dns.rrset

from letterlock.base.config.dns_changes import parse_name_server
from letterlock.base.domains import Domain, parse_domain
from letterlock.network.dns_authority import MAX_NAME_SERVERS, AuthorityQuery, NotSaid
from letterlock.network.dns_update import Add, UpdateRequest
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.dns.tsig_keys import (
    MAX_SECRET_OCTETS,
    TsigAlgorithm,
    TsigKey,
    TsigKeyError,
    parse_tsig_key,
)
from tests.fakes import FakeClock
from tests.fuzz.target import Target

_NAME = Domain("example.org")
_KEY = TsigKey(Domain("acme"), TsigAlgorithm.HMAC_SHA256, b"secret of the zone")
_CHANGE = Add(ZoneRecord(_NAME, "TXT", "a", 60))


def check_key(octets: bytes) -> None:
    """A key file is one key that can be written in a line, or refused in one; nothing is shown."""
    text = octets.decode("utf-8", "replace")
    try:
        key = parse_tsig_key(text)
    except TsigKeyError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 200
        return
    secret = b64encode(key.secret).decode()
    assert 0 < len(key.secret) <= MAX_SECRET_OCTETS
    assert parse_domain(key.name) == key.name
    assert parse_tsig_key(f"{key.algorithm}:{key.name}:{secret}") == key
    assert parse_tsig_key(f"{key.algorithm}:{key.name}:{secret}", Domain("other")) == key
    assert repr(key) == f"TsigKey(name={key.name!r}, algorithm={key.algorithm!r})"


def check_update_answer(octets: bytes) -> None:
    """Without the secret nobody makes an answer that counts as done; what is shown is one line."""
    for key in (_KEY, None):
        request = UpdateRequest(_NAME, [_CHANGE], key, FakeClock())
        for wire in (octets, request.wire[:2] + octets[2:]):
            found = request.read(wire)
            if found is None:
                continue
            assert wire[:2] == request.wire[:2]
            assert found.is_sure == (key is None)
            assert key is None or found.failure is not None
            if found.failure is not None:
                assert found.failure.reason.isprintable()
                assert len(found.failure.reason) < 300


def check_authority_answer(octets: bytes) -> None:
    """Any answer has texts that are bounded, and hosts that are domain names."""
    for rdtype in ("TXT", "TLSA", "NS"):
        query = AuthorityQuery(_NAME, rdtype)
        assert query.read(b"\0" + octets[1:2]) is None
        reply = query.read(query.wire[:2] + octets[2:])
        if reply is None:
            continue
        served = query.find_served(reply)
        if isinstance(served, NotSaid):
            assert served.reason.isprintable()
        else:
            assert 0 <= served.ttl < 1 << 31
            assert all(isinstance(value, str) for value in served.values)
        hosts = query.find_hosts(reply)
        assert len(hosts) <= MAX_NAME_SERVERS
        assert all(parse_domain(host) == host for host in hosts)


def check_name_server(octets: bytes) -> None:
    """A setting is a host or an address with a port, in one form."""
    try:
        text = parse_name_server(octets.decode("utf-8", "replace"))
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert parse_name_server(text) == text
    host, _, port = text.rpartition(":")
    assert 0 < int(port) < 1 << 16
    assert host.isascii()


def _make_answer(rdtype: str, *records: str, is_referral: bool = False) -> bytes:
    query = dns.message.make_query(f"{_NAME}.", rdtype, flags=0, id=1)
    response = dns.message.make_response(query)
    section = response.authority if is_referral else response.answer
    section.append(dns.rrset.from_text(f"{_NAME}.", 60, "IN", rdtype, *records))
    response.flags |= dns.flags.Flag(0) if is_referral else dns.flags.AA
    return response.to_wire()


def _update_answers() -> tuple[bytes, ...]:
    """Give NOERROR without a signature, and the request itself with the bit of an answer."""
    signed = UpdateRequest(_NAME, [_CHANGE], _KEY, FakeClock()).wire
    plain = UpdateRequest(_NAME, [_CHANGE], None, FakeClock()).wire
    return tuple(wire[:2] + bytes((wire[2] | 0x80,)) + wire[3:] for wire in (signed, plain))


_WIRE_WORDS = (
    *(b"\0\x10\0\1", b"\0\x34\0\1", b"\0\2\0\1", b"\0\xfa\0\xff", b"\0\x06\0\1", b"\xc0\x0c"),
    *(b"\x84\0", b"\xa8\0", b"\xa8\5", b"\xa8\x09", b"\0\x10", b"\0\x12\0\6", b"\x0bhmac-sha256\0"),
)

TARGETS = (
    Target(
        "tsig-key",
        check_key,
        (
            b'key "acme" {\n\talgorithm hmac-sha256;\n\tsecret "c2VjcmV0IHNlY3JldA==";\n};\n',
            b"# x\nkey:\n  - id: acme\n    algorithm: hmac-sha512\n    secret: c2VjcmV0\n",
            b"hmac-sha384:acme.example.org.:c2VjcmV0",
            b"acme:AAAA",
        ),
        (b"key", b"{", b"}", b";", b'"', b"//", b"/*", b"*/", b"#", b":", b"- id: ", b"secret"),
        600,
    ),
    Target("update-answer", check_update_answer, _update_answers(), _WIRE_WORDS, 512, runs=500),
    Target(
        "authority-answer",
        check_authority_answer,
        (
            _make_answer("TXT", '"a" "b"', '"c"'),
            _make_answer("TLSA", "3 1 1 " + "00" * 32),
            _make_answer("NS", "ns1.example.org.", "ns2.example.net.", is_referral=True),
        ),
        _WIRE_WORDS,
        512,
        runs=500,
    ),
    Target(
        "name-server",
        check_name_server,
        (b"ns1.example.org", b"[2001:db8::1]:53", b"192.0.2.53:5353", b"b\xc3\xbccher.example:1"),
        (b":", b"[", b"]", b".", b"0", b"65536", b"%eth0", b"xn--", b"_"),
        100,
    ),
)
