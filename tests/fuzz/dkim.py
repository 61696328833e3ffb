"""DKIM: lists of tags, signatures, keys, authors, and whole messages."""

from datetime import UTC, datetime

from letterlock.base.domains import Domain, parse_domain
from letterlock.protocols.dkim.author import MAX_AUTHORS, find_author_domains
from letterlock.protocols.dkim.canonical import (
    CanonicalBody,
    Canonicalization,
    canonicalize_field,
)
from letterlock.protocols.dkim.fields import find_authors, split_fields
from letterlock.protocols.dkim.key_record import (
    KeyFault,
    parse_key_record,
    read_public_key,
)
from letterlock.protocols.dkim.results import DkimResult, Unverified
from letterlock.protocols.dkim.signature import (
    parse_signature,
    remove_signature_value,
)
from letterlock.protocols.dkim.tags import TagError, parse_base64, parse_tags
from letterlock.protocols.dkim.verifying import MAX_SIGNATURES, Verifier
from tests.fuzz.target import Target, split_ways, take_choices
from tests.protocols.dkim import examples

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_KEYS = {
    Domain("brisbane._domainkey.football.example.com"): (examples.ED25519_RECORD,),
    Domain("brisbane._domainkey.example.com"): (examples.OLD_RECORD,),
}
_WORDS = (
    *(b"\r\n", b"\r\n ", b"\r\n\t", b"\r", b"\n", b" ", b"\t", b";", b"=", b":", b"/", b"@"),
    *(b"v=1", b"a=rsa-sha256", b"a=ed25519-sha256", b"c=relaxed/simple", b"d=example.com"),
    *(b"h=From", b"i=@", b"l=0", b"l=99", b"q=dns/txt", b"s=x", b"t=1", b"x=2", b"z=", b"b=;"),
    *(b"bh=YQ==", b"DKIM-Signature:", b"From:", b"k=rsa", b"k=ed25519", b"p=", b"v=DKIM1", b"=3B"),
    *(b"\xff", b"\0", b"\xc3\xbc", b'"', b"\\", b"(", b")", b"<", b">", b",", b"xn--"),
)


def check_tags(octets: bytes) -> None:
    """A list that is read can be written and read again."""
    try:
        tags = parse_tags(octets)
    except TagError as error:
        assert str(error).isprintable()
        return
    text = ";".join(f"{name}={value}" for name, value in tags.items())
    assert parse_tags(text.encode()) == tags
    for value in tags.values():
        decoded = parse_base64(value)
        assert decoded is None or len(decoded) <= len(value)


def check_signature(octets: bytes) -> None:
    """A signature has names and domains in the forms that they have to have."""
    signature = parse_signature(octets)
    if isinstance(signature, Unverified):
        assert signature.result is not DkimResult.PASS
        assert signature.reason.isprintable()
        assert len(signature.reason) < 500
        return
    assert parse_domain(signature.domain) == signature.domain
    assert parse_domain(signature.selector) == signature.selector
    assert signature.auid.endswith(signature.domain)
    assert b"from" in signature.names
    assert signature.signature
    assert signature.field == remove_signature_value(octets.removesuffix(b"\r\n"))


def check_key(octets: bytes) -> None:
    """A record is a key, or it says on one line why not."""
    record = parse_key_record(octets)
    key = record if isinstance(record, KeyFault) else read_public_key(record)
    if isinstance(key, KeyFault):
        assert key.reason.isprintable()
        assert len(key.reason) < 200


def check_authors(octets: bytes) -> None:
    """Domains are in our form, and few."""
    domains = find_author_domains(octets)
    assert len(domains) <= MAX_AUTHORS
    assert all(parse_domain(domain) == domain for domain in domains)


def check_body(octets: bytes) -> None:
    """How a body is cut does not matter; its canonical form is that of itself."""
    (choice,), body = take_choices(octets, 1)
    for how in Canonicalization:
        whole = _canonicalize(how, [body])
        assert _canonicalize(how, [whole]) == whole
        assert all(_canonicalize(how, pieces) == whole for pieces in split_ways(body, choice))


def check_message(octets: bytes) -> None:
    """A message has few results; no octet of its header is lost."""
    header, _, body = octets.partition(b"\r\n\r\n")
    header += b"\r\n"
    fields = split_fields(header)
    assert b"".join(field for _, field in fields) == header
    authors = [field.partition(b":")[2] for name, field in fields if name == b"from"]
    assert find_authors(header) == [value.removesuffix(b"\r\n") for value in authors]
    for _, field in fields:
        relaxed = canonicalize_field(field, Canonicalization.RELAXED)
        assert canonicalize_field(relaxed, Canonicalization.RELAXED) == relaxed
    verifier = Verifier(header, _NOW)
    verifier.receive(body)
    assert all(len(name) <= 253 for name in verifier.key_names)
    results = verifier.finish(_KEYS)
    assert len(results) <= MAX_SIGNATURES
    assert all(result.reason.isprintable() for result in results)
    assert all(result.reason or result.result is DkimResult.PASS for result in results)


def _canonicalize(how: Canonicalization, pieces: list[bytes]) -> bytes:
    written: list[bytes] = []
    canonical = CanonicalBody(how, written.append)
    for piece in pieces:
        canonical.receive(piece)
    canonical.finish()
    return b"".join(written)


_MESSAGE = (
    examples.ED25519_SIGNATURE + examples.RSA_SIGNATURE + examples.MESSAGE + b"\r\n" + examples.BODY
)
_OLD_MESSAGE = (
    examples.OLD_SIGNATURE + examples.OLD_RECEIVED + examples.MESSAGE + b"\r\n" + examples.OLD_BODY
)

TARGETS = (
    Target("dkim-tags", check_tags, (b"v=1; a=b c;\r\n\tp=YWJj; n=\xc3\xbc;",), _WORDS, 600),
    Target(
        "dkim-signature",
        check_signature,
        (
            examples.ED25519_SIGNATURE,
            examples.OLD_SIGNATURE,
            b"DKIM-Signature: v=1;a=rsa-sha256;b=YQ==;bh=YQ==;d=a.b;h=From;s=x;i=j=3B@c.a.b;l=9",
        ),
        _WORDS,
        2048,
    ),
    Target(
        "dkim-key",
        check_key,
        (examples.ED25519_RECORD, examples.OLD_RECORD, b"v=DKIM1; h=sha256; s=*; t=y:s; p="),
        _WORDS,
        1024,
    ),
    Target(
        "dkim-author",
        check_authors,
        (
            b' "A, b" <a@b.example>, (c <d@e>) f@g.example (h)\r\n',
            b"Group: a@b.example, <@r.example:c@d.example>;",
        ),
        _WORDS,
        400,
    ),
    Target(
        "dkim-body", check_body, (b"\x05 C \r\nD \t E\r\n\r\n \r\n", b"\x80a\r\r\n\n "), _WORDS, 120
    ),
    Target("dkim-message", check_message, (_MESSAGE, _OLD_MESSAGE), _WORDS, 4096, runs=400),
)
