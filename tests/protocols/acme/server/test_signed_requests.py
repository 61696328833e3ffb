"""RFC 8555 §6.2 to §6.5: which requests are taken, and who made them."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import AccountKey, sign_request
from letterlock.protocols.acme.server.public_keys import ALGORITHMS, PublicKey
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.signed_requests import (
    MAX_REQUEST_OCTETS,
    MEDIA_TYPE,
    KeyField,
    SignedRequest,
    UnverifiedRequest,
    read_request,
    verify_request,
)
from tests.acme_requests import OTHER_KEY, Private, encode, flatten, public

URL = "https://ca.example/new-order"
KID = "https://ca.example/account/1"
NONCE = "oFvnlFP1wIhRlYS2jTaXbA"
KID_HEADER: dict[str, Any] = {"alg": "ES256", "nonce": NONCE, "url": URL, "kid": KID}
JWK_HEADER: dict[str, Any] = {
    "alg": "ES256",
    "nonce": NONCE,
    "url": URL,
    "jwk": public().jwk,
}


def read(
    jws: object, takes: KeyField = KeyField.KID, content_type: str = MEDIA_TYPE
) -> UnverifiedRequest | Refusal:
    body = jws if isinstance(jws, bytes) else json.dumps(jws).encode()
    return read_request(body, content_type, URL, takes)


def take(jws: object, takes: KeyField = KeyField.KID, key: PublicKey | None = None) -> Any:
    """All of it: as if the account of `kid` had this key."""
    found = read(jws, takes)
    if isinstance(found, Refusal):
        return found
    return verify_request(found, found.key or key or public())


KEYS: tuple[Private, ...] = (
    *(ec.derive_private_key(5, curve) for curve in (ec.SECP256R1(), ec.SECP384R1())),
    *(ec.derive_private_key(5, ec.SECP521R1()), rsa.generate_private_key(65537, 2048)),
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
)


@pytest.mark.parametrize("private", KEYS, ids=ALGORITHMS)
def test_a_request_with_its_key_is_taken(private: Private) -> None:
    """RFC 8555 §6.2: ES256 must be, Ed25519 should be."""
    key = public(private)
    header = {**JWK_HEADER, "alg": key.algorithm, "jwk": key.jwk}
    assert take(flatten(header, {"a": 1}, private), KeyField.JWK) == SignedRequest(
        URL, key, None, b'{"a": 1}'
    )


@pytest.mark.parametrize("private", KEYS[:4], ids=ALGORITHMS[:4])
def test_our_own_clients_requests_are_taken(private: Any) -> None:
    """RFC 8555 §6.2: by joserfc."""
    key = AccountKey(private)
    body = sign_request(key, parse_url(URL), NONCE, {"a": 1}, None)
    taken = take(body, KeyField.JWK)
    assert taken == SignedRequest(URL, public(private), None, b'{"a":1}')
    assert taken.key.thumbprint == key.thumbprint
    got = take(sign_request(key, parse_url(URL), NONCE, None, parse_url(KID)), key=public(private))
    assert got.kid == KID
    assert got.is_post_as_get


def test_an_empty_object_is_no_post_as_get() -> None:
    """RFC 8555 §6.3."""
    assert take(flatten(KID_HEADER, b"")).is_post_as_get
    assert not take(flatten(KID_HEADER, {})).is_post_as_get


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "", "application/jose", "text/plain; application/jose+json"],
)
def test_another_content_type_is_415(content_type: str) -> None:
    """RFC 8555 §6.2."""
    refusal = read(flatten(KID_HEADER, {}), content_type=content_type)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.problem.type) == (415, "malformed")


def test_parameters_and_case_of_the_content_type_do_not_matter() -> None:
    """RFC 9110 §8.3.1."""
    found = read(flatten(KID_HEADER, {}), content_type="Application/JOSE+json; charset=utf-8")
    assert isinstance(found, UnverifiedRequest)


GOOD = flatten(KID_HEADER, {})


@pytest.mark.parametrize(
    "jws",
    [
        b"",
        b"not json",
        b"[]",
        b"[" * 100_000,
        b'{"protected":' * 5_000,
        {},
        {**GOOD, "header": {"kid": KID}},
        {**GOOD, "signatures": [GOOD]},
        {key: GOOD[key] for key in ("protected", "signature")},
        {key: GOOD[key] for key in ("protected", "payload")},
        {key: GOOD[key] for key in ("payload", "signature")},
        {**GOOD, "protected": ""},
        {**GOOD, "signature": ""},
        {**GOOD, "signature": 5},
        {**GOOD, "payload": None},
        {**GOOD, "payload": "e30="},
        {**GOOD, "payload": "e31"},
        {**GOOD, "signature": GOOD["signature"] + "="},
        {**GOOD, "signature": "A" * 5000},
        {**GOOD, "protected": encode(b"[]")},
        {**GOOD, "protected": encode(b"{" * 3000)},
        flatten({**KID_HEADER, "crit": ["exp"], "exp": 1}, {}),
        flatten({**KID_HEADER, "b64": False}, {}),
        flatten({**KID_HEADER, "b64": False, "crit": ["b64"]}, {}),
        flatten({**KID_HEADER, "jwk": public().jwk}, {}),
        flatten({key: KID_HEADER[key] for key in ("alg", "nonce", "url")}, {}),
        flatten({**KID_HEADER, "kid": 5}, {}),
        flatten({**KID_HEADER, "alg": 5}, {}),
        flatten({**KID_HEADER, "alg": None}, {}),
        flatten({**KID_HEADER, "url": None}, {}),
        flatten({**KID_HEADER, "nonce": "no+base64"}, {}),
        flatten({**KID_HEADER, "nonce": NONCE + "=="}, {}),
        flatten({**KID_HEADER, "nonce": ""}, {}),
        flatten({**KID_HEADER, "nonce": "A" * 260}, {}),
        flatten({**KID_HEADER, "nonce": 5}, {}),
        flatten(JWK_HEADER, {}),
    ],
)
def test_what_is_no_request_is_malformed(jws: object) -> None:
    """RFC 8555 §6.2: flattened, one signature, all protected, encoded; §6.5.2: the nonce's form."""
    refusal = take(jws)
    assert (refusal.status, refusal.problem.type) == (400, "malformed")


def test_a_request_is_bounded() -> None:
    refusal = read(b" " * (MAX_REQUEST_OCTETS + 1))
    assert isinstance(refusal, Refusal)
    assert refusal.status == 413


def test_where_a_key_is_wanted_an_account_is_not_taken() -> None:
    """RFC 8555 §6.2: newAccount has jwk; revokeCert has either."""
    assert take(GOOD, KeyField.JWK).problem.type == "malformed"
    assert take(GOOD, KeyField.EITHER).kid == KID
    assert take(flatten(JWK_HEADER, {}), KeyField.EITHER).kid is None
    refusal = take(flatten({**JWK_HEADER, "jwk": "x"}, {}), KeyField.EITHER)
    assert refusal.problem.type == "malformed"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS1", "ES256K", "PS256", "x" * 100])
def test_an_algorithm_that_is_not_known_is_answered_with_those_that_are(algorithm: str) -> None:
    """RFC 8555 §6.2: no MAC, and not `none`."""
    refusal = take(flatten({**JWK_HEADER, "alg": algorithm}, {}), KeyField.JWK)
    assert (refusal.status, refusal.problem.type) == (400, "badSignatureAlgorithm")
    assert refusal.problem.algorithms == ALGORITHMS
    assert refusal.seen_nonce == NONCE


def test_a_key_that_is_not_taken_is_a_bad_public_key() -> None:
    """RFC 8555 §6.2: and the detail says why."""
    jwk = {**public().jwk, "crv": "P-192"}
    refusal = take(flatten({**JWK_HEADER, "jwk": jwk}, {}), KeyField.JWK)
    assert (refusal.status, refusal.problem.type) == (400, "badPublicKey")
    assert "P-192" in refusal.problem.detail


def test_an_algorithm_of_another_key_is_a_bad_public_key() -> None:
    """RFC 8555 §6.2, example 2."""
    key = ec.derive_private_key(5, ec.SECP384R1())
    header = {**JWK_HEADER, "jwk": public(key).jwk}
    assert take(flatten(header, {}, key), KeyField.JWK).problem.type == "badPublicKey"


def test_a_request_for_another_url_is_unauthorized() -> None:
    """RFC 8555 §6.4: compared as a string; the nonce is spent (§6.5)."""
    for url in ("https://ca.example/new-order/", "https://CA.example/new-order", "x"):
        refusal = take(flatten({**KID_HEADER, "url": url}, {}))
        assert (refusal.status, refusal.problem.type) == (403, "unauthorized")
        assert refusal.seen_nonce == NONCE


def test_a_request_without_a_nonce_is_a_bad_nonce() -> None:
    """RFC 8555 §6.5."""
    header = {key: KID_HEADER[key] for key in ("alg", "url", "kid")}
    refusal = take(flatten(header, {}))
    assert (refusal.status, refusal.problem.type) == (400, "badNonce")
    assert refusal.seen_nonce is None


def test_a_signature_of_another_key_is_refused() -> None:
    """RFC 8555 §6.2."""
    assert take(flatten(KID_HEADER, {}, OTHER_KEY)).problem.type == "malformed"
    assert take(flatten(JWK_HEADER, {}, OTHER_KEY), KeyField.JWK).problem.type == "malformed"


@given(st.data())
def test_a_signed_part_that_was_changed_is_refused(data: st.DataObject) -> None:
    """RFC 7515 §5.2: whatever one character becomes."""
    jws = dict(GOOD)
    member = data.draw(st.sampled_from(sorted(jws)))
    at = data.draw(st.integers(0, len(jws[member]) - 1))
    new = data.draw(st.characters(codec="utf-8"))
    jws[member] = jws[member][:at] + new + jws[member][at + 1 :]
    assert isinstance(take(jws), Refusal if jws != GOOD else SignedRequest)


def test_of_members_that_are_there_twice_the_last_counts() -> None:
    """RFC 7515 §4: so what was verified is what is used."""
    header = b'{"alg":"ES256","nonce":"AAAA","url":"%b","kid":"x","nonce":"AAAB","kid":"%b"}' % (
        URL.encode(),
        KID.encode(),
    )
    found = read(flatten(header, {}))
    assert isinstance(found, UnverifiedRequest)
    assert (found.nonce, found.kid) == ("AAAB", KID)


def test_members_that_are_not_known_are_passed_over() -> None:
    """RFC 7515 §7.2.1, §4."""
    assert isinstance(take({**flatten({**KID_HEADER, "typ": "x"}, {}), "x": [1]}), SignedRequest)
