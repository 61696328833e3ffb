"""Names and addresses: domains, mailboxes, next hops, encodings, names of folders and messages."""

import ipaddress
from dataclasses import replace
from pathlib import PurePosixPath

import dns.message
import dns.name

from letterlock.base.config import values
from letterlock.base.domains import MAX_DOMAIN_OCTETS, DomainError, format_unicode, parse_domain
from letterlock.protocols.dns.codec import build_query
from letterlock.protocols.pki.names import (
    CertificateNames,
    explain_mismatch,
    find_match,
    parse_ip,
)
from letterlock.protocols.smtp.paths import (
    MAX_PATH_OCTETS,
    AddressError,
    parse_forward_path,
    parse_mailbox,
    parse_reverse_path,
)
from letterlock.protocols.smtp.xtext import (
    XtextError,
    decode_utf8_address,
    decode_utf8_xtext,
    decode_xtext,
    encode_utf8_address,
    encode_xtext,
)
from letterlock.protocols.tls.server_name import parse_server_name
from letterlock.services.discover.next_hop import NextHopError, parse_next_hop
from letterlock.storage.ids import find_time, is_queue_id
from letterlock.storage.maildir import LfLines, is_safe_component
from tests.fuzz.target import Target, join_texts, split_ways, take_choices, take_texts

_ADDRESS_WORDS = (
    *(b"@", b".", b"..", b'"', b"\\", b"<", b">", b"[", b"]", b"[IPv6:", b"::", b"::ffff:", b"%"),
    *(b"xn--", b"xn--bcher-kva", b"_", b"-", b"*.", b"192.0.2.1", b"2001:db8::1", b":25", b":"),
    *("é".encode(), "ß".encode(), "\u3002".encode(), "\u200d".encode(), "\u0130".encode(), b"\0"),
    *("\u2028".encode(), "\u00a0".encode(), "\U0001f600".encode(), "\u05d0".encode(), b" ", b"/"),
    *(b"\\x{", b"}", b"+41", b"+C3+A9", b"\xff", b"a" * 63, b"a." * 60),
)
_DOMAINS = (b"mx.example.com.", "bücher.example".encode(), b"_25._tcp.mx.example.com", b"xn--0.x")
_MAILBOXES = (
    b"a.b@example.com",
    b'"a b\\"@"@[192.0.2.1]',
    "é@bücher.example".encode(),
    b"a@[IPv6:::ffff:192.0.2.1]",
    b"@a.example,@b.example:c@d.example",
)
_XTEXTS = (b"a+40b", rb"\x{E9}@example.com", b"+C3+A9", "é\\x{110000}".encode())


def check_domain(octets: bytes) -> None:
    """A domain is ASCII, has one form, comes back from U-labels, and fits into a DNS question."""
    text = octets.decode("utf-8", "replace")
    try:
        domain = parse_domain(text)
    except DomainError as error:
        assert len(str(error)) < 1000
        return
    assert domain.isascii()
    assert domain == domain.lower()
    assert domain.isprintable()
    assert parse_domain(domain) == parse_domain(f"{domain}.") == domain
    assert parse_domain(format_unicode(domain)) == domain
    (question,) = dns.message.from_wire(build_query(domain, "MX", 1)).question
    assert question.name == dns.name.from_text(domain)
    try:
        assert parse_server_name(text) == domain
    except DomainError:
        assert parse_ip(domain) is not None


def check_mailbox(octets: bytes) -> None:
    """A mailbox can be written and read again, is bounded, and cannot break a line or a path."""
    text = octets.decode("utf-8", "replace")
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        assert not error.is_unicode
    else:
        written = mailbox.format()
        assert parse_mailbox(written) == mailbox
        assert parse_forward_path(f"<{written}>") == parse_reverse_path(f"<{written}>") == mailbox
        assert len(written.splitlines()) == 1
        assert len(text.encode()) <= MAX_PATH_OCTETS - 2
        assert mailbox.domain.isascii()
        assert mailbox.domain == mailbox.domain.lower() or mailbox.is_literal
    for parse in (parse_forward_path, parse_reverse_path):
        try:
            found = parse(f"<{text}>", may_be_unicode=False)
        except AddressError:
            continue
        # A domain's U-labels need SMTPUTF8 as well.
        assert text.isascii()
        assert found is None or found.format().isascii()


def check_next_hop(octets: bytes) -> None:
    """A next hop is a domain or an address with a port, and its key means the same again."""
    text = octets.decode("utf-8", "replace")
    try:
        hop = parse_next_hop(text)
    except NextHopError as error:
        assert len(str(error)) < 1000
    else:
        assert (hop.domain is None) is not (hop.address is None)
        assert 0 < hop.port <= 0xFFFF
        # Without `smtps:`, as the policy table is asked for it.
        again = parse_next_hop(hop.key, hop.port)
        assert replace(again, is_implicit_tls=hop.is_implicit_tls) == hop
    try:
        setting = values.parse_next_hop(text)
    except ValueError:
        return
    # What a setting takes, delivery can use.
    assert parse_next_hop(str(setting)).is_bracketed == setting.is_bracketed


def check_xtext(octets: bytes) -> None:
    """Encodings of addresses are inverse to their decodings, and refuse what is none."""
    text = octets.decode("utf-8", "replace")
    if text.isascii():
        assert decode_xtext(encode_xtext(text)) == text
    encoded = encode_utf8_address(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    if "\\x{" not in text:
        assert decode_utf8_address(encoded) == text
    decode_utf8_address(text).encode()
    for decode in (decode_xtext, decode_utf8_xtext):
        try:
            decoded = decode(text)
        except XtextError:
            continue
        assert text.isascii()
        decoded.encode()
        if decoded.isascii():
            assert decode(encode_xtext(decoded)) == decoded


def check_certificate_names(octets: bytes) -> None:
    """RFC 9525 §6.3: a name is met by itself, or by a wildcard in place of its first label."""
    presented, reference = take_texts(octets, 2)
    names = CertificateNames((presented,), (ipaddress.ip_address("192.0.2.1"),))
    assert explain_mismatch(names, (reference,))
    match = find_match(names, (reference,))
    if match is not None:
        assert match.reference == reference
        assert match.presented in (presented, "192.0.2.1")
        assert _is_met(presented.lower(), reference)
    try:
        domain = parse_domain(reference)
    except DomainError:
        return
    if parse_ip(reference) is None and parse_ip(domain) is None:
        assert find_match(CertificateNames((domain,)), (domain,)) is not None
        # A name that is longer than any may be meets nothing.
        is_met = len(f"a.{domain}") <= MAX_DOMAIN_OCTETS
        match = find_match(CertificateNames((f"*.{domain}",)), (f"a.{domain}",))
        assert (match is not None) is is_met
        assert find_match(CertificateNames((f"*.{domain}",)), (domain, f"a.b.{domain}")) is None


def _is_met(presented: str, reference: str) -> bool:
    if (ip := parse_ip(reference)) is not None:
        return str(ip) == "192.0.2.1"
    domain = parse_domain(reference.removeprefix(".")).split(".")
    labels = presented.split(".")
    if reference.startswith("."):
        return len(labels) > len(domain) and labels[-len(domain) :] == domain
    return labels == domain or (labels[0] == "*" and labels[1:] == domain[1:])


def check_folder_name(octets: bytes) -> None:
    """A mailbox's name is one folder below its own, and its message has only LF at line ends."""
    name = octets.decode("utf-8", "surrogateescape")
    if is_safe_component(name):
        path = PurePosixPath("/mail") / name
        assert path.parent == PurePosixPath("/mail")
        assert path.name == name
        assert not name.startswith(".")
        assert "\0" not in name
        assert len(octets) <= 255
    (choice,), wire = take_choices(octets, 1)
    for pieces in split_ways(wire, choice):
        lines = LfLines()
        found = b"".join(map(lines.receive, pieces)) + lines.finish()
        assert found == wire.replace(b"\r\n", b"\n")


def check_queue_id(octets: bytes) -> None:
    """A queue id has a time exactly when it has the form of one."""
    text = octets.decode("utf-8", "replace")
    assert (find_time(text) is not None) == is_queue_id(text)
    assert not is_queue_id(text) or (text.isascii() and text.isalnum())


_HOPS = (b"example.com", b"[mx.example.com]:2525", b"[IPv6:2001:db8::1]:smtp", b"[192.0.2.1]")
TARGETS = (
    Target("domain", check_domain, _DOMAINS, _ADDRESS_WORDS, 300, runs=1500),
    Target("mailbox", check_mailbox, _MAILBOXES, _ADDRESS_WORDS, 300, runs=2000),
    Target("next-hop", check_next_hop, _HOPS, _ADDRESS_WORDS, 320, runs=2000),
    Target("xtext", check_xtext, _XTEXTS, _ADDRESS_WORDS, 300, runs=2500),
    Target(
        "certificate-names",
        check_certificate_names,
        (
            join_texts("*.example.com", "mx.example.com"),
            join_texts("mx.example.com", ".example.com"),
            join_texts("a.b", "[IPv6:2001:db8::1]"),
            join_texts("xn--bcher-kva.example", "bücher.example"),
        ),
        _ADDRESS_WORDS,
        300,
        runs=1500,
    ),
    Target("folder-name", check_folder_name, (b"alice", b"a\r\nb\r\r\n"), _ADDRESS_WORDS, 300),
    Target("queue-id", check_queue_id, (b"0BCDFGHJK0BCDFG", b"zzzzzzzzz000000"), (), 32),
)
