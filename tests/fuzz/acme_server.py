"""ACME as a server reads it: what clients sign, and what their payloads say."""

import json

from letterlock.protocols.acme.base64url import Base64UrlError, decode_base64url, encode_base64url
from letterlock.protocols.acme.contacts import find_contact_fault
from letterlock.protocols.acme.fields import ObjectError, parse_object
from letterlock.protocols.acme.problems import format_problem, parse_problem
from letterlock.protocols.acme.renewal_info import parse_certificate_id
from letterlock.protocols.acme.server.public_keys import read_public_key
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.signed_requests import (
    MEDIA_TYPE,
    KeyField,
    read_flattened,
    read_header_key,
    read_request,
    verify_request,
)
from tests.acme_requests import encode, flatten, public
from tests.fuzz.target import Target, take_choices

URL = "https://ca.example/new-account"
_HEADER = {"alg": "ES256", "nonce": "AAAA", "url": URL, "jwk": public().jwk}


def check_refusal(refusal: Refusal) -> None:
    """A refusal is a line with a status, and our client reads it as it is."""
    assert 400 <= refusal.status < 600
    assert all(line.isprintable() and len(line) < 1500 for line in refusal.problem.lines)
    body = json.dumps(format_problem(refusal.problem)).encode()
    assert parse_problem(refusal.status, body) == refusal.problem


def check_request(octets: bytes) -> None:
    """A body is a request or refused; and what is taken was signed over all that is used."""
    (choice,), body = take_choices(octets, 1)
    takes = list(KeyField)[choice % 3]
    found = read_request(body, MEDIA_TYPE, URL, takes)
    if isinstance(found, Refusal):
        check_refusal(found)
        return
    assert (found.key is None) != (found.kid is None)
    request = verify_request(found, found.key or public())
    if isinstance(request, Refusal):
        check_refusal(request)
    else:
        jws = read_flattened(parse_object(body, "request"))
        assert request.key.is_signed(jws.signature, jws.signed)
        assert read_header_key(jws.header) == found.key


def check_signed_header(octets: bytes) -> None:
    """Any protected header, signed well: it is taken with all that it needs, or refused."""
    check_request(b"\0" + json.dumps(flatten(octets, b"{}")).encode())


def check_key(octets: bytes) -> None:
    """A key has one form, and its thumbprint is that form's."""
    try:
        key = read_public_key(parse_object(octets, "jwk"))
    except ObjectError as error:
        assert str(error).isprintable()
        return
    assert read_public_key(parse_object(json.dumps(key.jwk).encode(), "jwk")) == key
    assert not key.is_signed(octets, octets)


def check_texts(octets: bytes) -> None:
    """A certificate's name, base64url and a contact: one text for each value, or refused."""
    text = octets.decode("utf-8", "replace")
    try:
        assert str(parse_certificate_id(text)) == text
    except ObjectError as error:
        assert str(error).isprintable()
    try:
        assert encode_base64url(decode_base64url(text)) == text
    except Base64UrlError as error:
        assert str(error).isprintable()
    fault = find_contact_fault(text)
    if fault is None:
        assert text.isascii()
        assert text.count("@") == 1
        assert not set(text) & set('?,%<>"\\\r\n \0')
    else:
        assert len(fault.detail) < 200


_KEY = json.dumps(public().jwk).encode()
_WORDS = (
    *(b'"alg":"none"', b'"alg":"RS256"', b'"crit":["b64"]', b'"kid":"x"', b'"jwk":{}', b"null"),
    *(b'"kty":"RSA"', b'"kty":"OKP"', b'"crv":"P-384"', b'"e":"AQAB"', b'"n":"', b"[" * 600),
    *(b'"header":{}', b'"signatures":[]', b'"payload":""', b"{", b"}", b",", b'"', b"\\u0000"),
)
TARGETS = (
    Target(
        "acme-request",
        check_request,
        (
            b"\0" + json.dumps(flatten(_HEADER, {"a": 1})).encode(),
            b"\1" + json.dumps(flatten({**_HEADER, "kid": "x", "jwk": None}, b"")).encode(),
        ),
        (*_WORDS, encode({"alg": "ES256"}).encode()),
        2048,
        runs=500,
    ),
    Target(
        "acme-signed-header",
        check_signed_header,
        (json.dumps(_HEADER).encode(),),
        _WORDS,
        1024,
        runs=500,
    ),
    Target("acme-public-key", check_key, (_KEY,), _WORDS, 1024, runs=500),
    Target(
        "acme-server-texts",
        check_texts,
        (b"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", b"mailto:a.b@c.example"),
        (b"=", b".", b"AA", b"mailto:", b"@", b",", b"?", b"%40", b"\r\n", b"xn--", b"\xc3\xa9"),
        200,
    ),
)
