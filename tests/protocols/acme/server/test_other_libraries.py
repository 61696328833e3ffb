"""RFC 8555 §6.2, §7.3.4: what certbot's own library signs is taken.

`tests/vectors/acme/josepy.json` says which releases made it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from letterlock.protocols.acme.fields import Fields
from letterlock.protocols.acme.jws import ExternalAccount
from letterlock.protocols.acme.server.external_accounts import (
    UnverifiedBinding,
    read_binding,
    verify_binding,
)
from letterlock.protocols.acme.server.objects import ExternalBinding
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.signed_requests import (
    MEDIA_TYPE,
    KeyField,
    SignedRequest,
    UnverifiedRequest,
    read_request,
    verify_request,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[3] / "vectors" / "acme" / "josepy.json").read_text("utf-8")
)


def take(jws: object, takes: KeyField, key: PublicKey | None = None) -> SignedRequest:
    found = read_request(json.dumps(jws).encode(), MEDIA_TYPE, VECTORS["url"], takes)
    assert isinstance(found, UnverifiedRequest), found
    assert found.nonce == VECTORS["nonce"]
    known = found.key or key
    assert known is not None
    request = verify_request(found, known)
    assert isinstance(request, SignedRequest), request
    return request


@pytest.mark.parametrize("vector", VECTORS["keys"], ids=lambda vector: vector["name"])
def test_requests_that_josepy_signed_are_taken(vector: dict[str, Any]) -> None:
    """RFC 7515, RFC 7638: with its key first, then by the account of that key."""
    request = take(vector["with_key"], KeyField.JWK)
    assert request.payload == b'{"a": 1}'
    assert request.key.thumbprint == vector["thumbprint"]
    fetching = take(vector["with_account"], KeyField.KID, request.key)
    assert fetching.kid == VECTORS["account"]
    assert fetching.is_post_as_get


def test_a_binding_that_josepy_signed_is_verified() -> None:
    """RFC 8555 §7.3.4."""
    key = take(VECTORS["keys"][0]["with_key"], KeyField.JWK).key
    found = read_binding(Fields(VECTORS["binding"], "binding"), VECTORS["url"], key)
    assert isinstance(found, UnverifiedBinding), found
    binding = verify_binding(found, ExternalAccount("kid-1", bytes(range(32))))
    assert isinstance(binding, ExternalBinding)
    assert dict(binding.jws) == VECTORS["binding"]
