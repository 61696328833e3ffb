"""RFC 6376 §3.5, §6.1.1: what a DKIM-Signature field says, and which ones do not count."""

import pytest

from letterlock.protocols.dkim.canonical import Canonicalization
from letterlock.protocols.dkim.results import DkimResult, Unverified
from letterlock.protocols.dkim.signature import (
    MAX_FIELD_OCTETS,
    MAX_NAMES,
    Algorithm,
    Signature,
    parse_signature,
    remove_signature_value,
)

GOOD = {
    "v": "1",
    "a": "rsa-sha256",
    "b": "YWJj",
    "bh": "ZGVm",
    "d": "example.org",
    "h": "From:To",
    "s": "sel",
}


def make_field(**tags: str | None) -> bytes:
    """Make a field of good tags, but for those that are given; None leaves one out."""
    kept = {name: value for name, value in (GOOD | tags).items() if value is not None}
    text = "; ".join(f"{name}={value}" for name, value in kept.items())
    return f"DKIM-Signature: {text}\r\n".encode()


def read(**tags: str | None) -> Signature:
    signature = parse_signature(make_field(**tags))
    assert isinstance(signature, Signature), signature
    return signature


def test_the_tags_and_their_defaults() -> None:
    """RFC 6376 §3.5."""
    signature = read()
    assert signature.algorithm is Algorithm.RSA_SHA256
    assert (signature.signature, signature.body_hash) == (b"abc", b"def")
    assert (signature.header_form, signature.body_form) == (Canonicalization.SIMPLE,) * 2
    assert (signature.domain, signature.selector) == ("example.org", "sel")
    assert signature.names == (b"from", b"to")
    assert signature.auid == "@example.org"
    assert signature.auid_domain == "example.org"
    assert (signature.max_octets, signature.signed, signature.expires) == (None, None, None)
    assert signature.key_name == "sel._domainkey.example.org"


@pytest.mark.parametrize(
    ("tags", "attribute", "value"),
    [
        ({"c": "relaxed"}, "header_form", Canonicalization.RELAXED),
        ({"c": "relaxed"}, "body_form", Canonicalization.SIMPLE),
        ({"c": "simple/relaxed"}, "body_form", Canonicalization.RELAXED),
        ({"a": "ed25519-sha256"}, "algorithm", Algorithm.ED25519_SHA256),
        ({"b": "YW\r\n\tJj"}, "signature", b"abc"),
        ({"d": "EXAMPLE.org"}, "domain", "example.org"),
        ({"d": "bücher.example"}, "domain", "xn--bcher-kva.example"),
        ({"s": "a.B"}, "selector", "a.b"),
        ({"h": "from :\r\n\tSUBJECT:from"}, "names", (b"from", b"subject", b"from")),
        ({"i": "joe@example.org"}, "auid", "joe@example.org"),
        ({"i": "j=3Boe=40x@\r\n Sub.Example.org"}, "auid", "j;oe@x@sub.example.org"),
        ({"l": "0"}, "max_octets", 0),
        ({"l": "9" * 76}, "max_octets", int("9" * 76)),
        ({"t": "1", "x": "2"}, "expires", 2),
        ({"x": "999999999999"}, "expires", 999999999999),
        ({"q": "other/x : dns/txt"}, "domain", "example.org"),
        ({"z": "From:a@b|Subject:x=20y", "unknown": "é"}, "domain", "example.org"),
    ],
)
def test_a_tag(tags: dict[str, str], attribute: str, value: object) -> None:
    """RFC 6376 §3.5; RFC 8463 §4.1; unknown tags are let through."""
    assert getattr(read(**tags), attribute) == value


@pytest.mark.parametrize(
    ("tags", "result", "words"),
    [
        *(
            ({name: absent}, DkimResult.NEUTRAL, f"missing required tag ({name}=)")
            for name in GOOD
            for absent in (None, "")
        ),
        ({"v": "2"}, DkimResult.NEUTRAL, "incompatible version"),
        ({"v": "1.0"}, DkimResult.NEUTRAL, "incompatible version"),
        ({"a": "rsa"}, DkimResult.NEUTRAL, "a= names no algorithm"),
        ({"a": "rsa-sha512"}, DkimResult.NEUTRAL, "rsa-sha512 is not known"),
        ({"a": "rsa-sha1"}, DkimResult.POLICY, "rsa-sha1 must not be used"),
        ({"b": "%"}, DkimResult.NEUTRAL, "b= is not base64"),
        ({"bh": "%"}, DkimResult.NEUTRAL, "bh= is not base64"),
        ({"c": "nice"}, DkimResult.NEUTRAL, "canonicalization 'nice' is not known"),
        ({"c": "simple/"}, DkimResult.NEUTRAL, "canonicalization"),
        ({"c": "simple/simple/simple"}, DkimResult.NEUTRAL, "canonicalization"),
        ({"d": "org"}, DkimResult.NEUTRAL, "two labels"),
        ({"d": "example.org."}, DkimResult.NEUTRAL, "two labels"),
        ({"d": "exa mple.org"}, DkimResult.NEUTRAL, "syntax error"),
        ({"s": "a..b"}, DkimResult.NEUTRAL, "syntax error"),
        ({"h": "To:Subject"}, DkimResult.PERMERROR, "From field not signed"),
        ({"h": "From::To"}, DkimResult.NEUTRAL, "no name of a field"),
        ({"h": "From:é"}, DkimResult.NEUTRAL, "no name of a field"),
        ({"h": "From" + ":x" * MAX_NAMES}, DkimResult.NEUTRAL, "more than"),
        ({"i": "example.org"}, DkimResult.NEUTRAL, "no @"),
        ({"i": "a=3b@example.org"}, DkimResult.NEUTRAL, "quoted-printable"),
        ({"i": "@other.example"}, DkimResult.PERMERROR, "domain mismatch"),
        ({"i": "@badexample.org"}, DkimResult.PERMERROR, "domain mismatch"),
        ({"i": "@org"}, DkimResult.PERMERROR, "domain mismatch"),
        ({"l": "-1"}, DkimResult.NEUTRAL, "l= is not a number"),
        ({"l": "9" * 77}, DkimResult.NEUTRAL, "l= is not a number"),
        ({"l": "٣"}, DkimResult.NEUTRAL, "l= is not a number"),
        ({"t": "x"}, DkimResult.NEUTRAL, "t= is not a number"),
        ({"x": "1" * 13}, DkimResult.NEUTRAL, "x= is not a number"),
        ({"t": "5", "x": "5"}, DkimResult.NEUTRAL, "x= is not after t="),
        ({"q": "dns"}, DkimResult.NEUTRAL, "nowhere that we could ask"),
        ({"z": "x" * MAX_FIELD_OCTETS}, DkimResult.NEUTRAL, "longer"),
    ],
)
def test_what_does_not_count(tags: dict[str, str | None], result: DkimResult, words: str) -> None:
    """RFC 6376 §6.1.1: whatever is inconsistent; RFC 8301 §3.1: rsa-sha1."""
    refused = parse_signature(make_field(**tags))
    assert isinstance(refused, Unverified)
    assert refused.result is result
    assert words in refused.reason
    assert refused.reason.isprintable()


def test_a_field_that_is_no_list_has_no_domain() -> None:
    assert parse_signature(b"DKIM-Signature: nonsense") == Unverified(
        DkimResult.NEUTRAL, "signature syntax error: it has something that is no tag"
    )
    twice = parse_signature(b"DKIM-Signature: d=example.org; d=example.org")
    assert isinstance(twice, Unverified)
    assert twice.domain is None


def test_a_refused_field_tells_its_domain() -> None:
    refused = parse_signature(make_field(v="2"))
    assert isinstance(refused, Unverified)
    assert refused.domain == "example.org"


@pytest.mark.parametrize(
    ("field", "hashed"),
    [
        (b"D: a=1; b=YW Jj ; c=2", b"D: a=1; b=; c=2"),
        (b"D: a=1;\r\n\tb \t=\r\n YW=\r\n\t=", b"D: a=1;\r\n\tb \t="),
        (b"D:b=1; bh=2; b2=b=3", b"D:b=; bh=2; b2=b=3"),
        (b"D: bh=b=1; b=", b"D: bh=b=1; b="),
        (b"b=x: ab=1; b=2;", b"b=x: ab=1; b=;"),
    ],
)
def test_the_value_of_b_is_left_out(field: bytes, hashed: bytes) -> None:
    """RFC 6376 §3.7: with all white space around it, and nothing else."""
    assert remove_signature_value(field) == hashed
