"""ACME as a server reads it: what clients sign, and what their payloads say."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme.base64url import Base64UrlError, decode_base64url, encode_base64url
from letterlock.protocols.acme.contacts import find_contact_fault
from letterlock.protocols.acme.fields import Fields, ObjectError, parse_object
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.problems import format_problem, parse_problem
from letterlock.protocols.acme.renewal_info import parse_certificate_id
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.protocols.acme.server.accounts import (
    MAX_CONTACTS,
    AccountRequest,
    parse_account_request,
    update_account,
)
from letterlock.protocols.acme.server.external_accounts import UnverifiedBinding, read_binding
from letterlock.protocols.acme.server.finalizations import parse_finalization
from letterlock.protocols.acme.server.identifiers import read_all_ordered, read_ordered
from letterlock.protocols.acme.server.key_changes import read_key_change
from letterlock.protocols.acme.server.new_orders import (
    OrderProfile,
    OrderRequest,
    parse_order_request,
)
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.public_keys import read_public_key
from letterlock.protocols.acme.server.refusals import ErrorType, Refusal, refuse
from letterlock.protocols.acme.server.renewals import parse_asked
from letterlock.protocols.acme.server.revocations import RevocationRequest, parse_revocation
from letterlock.protocols.acme.server.signed_requests import (
    MEDIA_TYPE,
    KeyField,
    SignedRequest,
    read_flattened,
    read_header_key,
    read_request,
    verify_request,
)
from letterlock.protocols.acme.states import AccountStatus
from letterlock.protocols.pki.throwaway_ca import Shape, ThrowawayCa
from letterlock.services.ca.requests.revoking import read_name
from tests.acme_requests import encode, flatten, mac, public
from tests.fakes import START
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


def check_payload(octets: bytes) -> None:
    """Any payload is what an endpoint takes, in one bounded form, or refused in a line."""
    for parse, check in _PAYLOADS:
        found = parse(octets)
        if isinstance(found, Refusal):
            check_refusal(found)
        else:
            assert parse(octets) == found
            check(found)


def _parse_account(octets: bytes) -> object:
    # Its binding is compared in `_read_binding`.
    found = parse_account_request(octets)
    return found if isinstance(found, Refusal) else replace(found, binding=None)


def _check_account(request: AccountRequest) -> None:
    assert len(request.contacts) <= MAX_CONTACTS
    assert not any(map(find_contact_fault, request.contacts))


def _check_order(order: OrderRequest) -> None:
    assert 0 < len(set(order.identifiers)) == len(order.identifiers) <= 5
    for each in order.identifiers:
        # It is in the one form that it has.
        assert read_ordered(Fields({"type": each.type, "value": each.value}, "x")) == each
        assert parse_identifier(each.value) == each
    for moment in (order.not_before, order.not_after):
        assert moment is None or abs(moment - _NOW) < timedelta(days=92)


def _check_changed(account: Account) -> None:
    assert account.id == _ACCOUNT.id
    assert account.key == _ACCOUNT.key
    assert account.status in (AccountStatus.VALID, AccountStatus.DEACTIVATED)


def _check_revocation(request: RevocationRequest) -> None:
    assert request.certificate
    assert request.reason in RevocationReason


def _ignore(_: object) -> None:
    pass


def _read_binding(octets: bytes) -> object:
    found = read_payload(octets, "binding")
    if isinstance(found, Refusal):
        return found
    binding = read_binding(found, URL, public())
    return binding.kid if isinstance(binding, UnverifiedBinding) else binding


def _read_names(octets: bytes) -> object:
    try:
        return read_all_ordered(parse_object(octets, "order"), 5)
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))


def _read_change(octets: bytes) -> object:
    return read_key_change(SignedRequest(URL, public(), _KID, octets), _ACCOUNT, _PLACES)


_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_PLACES = Places("https://ca.example")
_ACCOUNT = Account("account-00000001", public(), AccountStatus.VALID)
_KID = _PLACES.account(_ACCOUNT.id)
_PROFILE = OrderProfile("a", "b", max_identifiers=5, longest=timedelta(days=90))
_PAYLOADS: tuple[tuple[Callable[[bytes], object], Callable[[Any], None]], ...] = (
    (_parse_account, _check_account),
    (lambda octets: parse_order_request(octets, {"a": _PROFILE}, "a", _NOW), _check_order),
    (lambda octets: update_account(_ACCOUNT, octets), _check_changed),
    (parse_revocation, _check_revocation),
    (parse_finalization, _ignore),
    (lambda octets: parse_asked(octets.decode("latin-1")), _ignore),
    (_read_names, _ignore),
    (_read_binding, _ignore),
    (_read_change, _ignore),
)


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


def check_revoked(octets: bytes) -> None:
    """What is to be revoked: a certificate has a name that ARI knows too, anything else none."""
    name = read_name(octets)
    if name is not None:
        assert parse_certificate_id(str(name)) == name


def _make_certificate() -> bytes:
    authority = ThrowawayCa("A", START)
    key = authority.issued.key.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    shape = Shape(extensions=(identifier,), serial=7)
    return authority.issue(["a.example"], now=START, shape=shape).der


_KEY = json.dumps(public().jwk).encode()
_BINDING = {"alg": "HS256", "kid": "x", "url": URL}
_INNER = {"alg": "ES256", "jwk": public().jwk, "url": URL}
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
    Target(
        "acme-payload",
        check_payload,
        (
            b'{"contact":["mailto:a@b.example"],"termsOfServiceAgreed":true}',
            (
                b'{"identifiers":[{"type":"dns","value":"*.a.example"},'
                b'{"type":"ip","value":"2001:db8::1"}],"profile":"a","replaces":"AAAA.AQ",'
                b'"notBefore":"2026-03-01T00:00:00Z","notAfter":"2026-04-01T00:00:00Z"}'
            ),
            b'{"certificate":"AAAA","reason":1,"csr":"AAAA","status":"deactivated"}',
            json.dumps(mac(_BINDING, public().jwk, bytes(32))).encode(),
            json.dumps(flatten(_INNER, {"account": _KID, "oldKey": public().jwk})).encode(),
        ),
        (*_WORDS, b'"value":"', b"xn--", b"mailto:", b"9999-12-31T23:59:59Z", b"\\u0130", b"::1"),
        2048,
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
    Target(
        "acme-revoked",
        check_revoked,
        (_make_certificate(),),
        (b"\x02\x01\x07", b"\x06\x03\x55\x1d\x23", b"\x30\x80", b"\x04\x00", b"\x80\x14"),
        1024,
        runs=200,
    ),
)
