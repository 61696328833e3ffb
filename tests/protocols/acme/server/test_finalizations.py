"""RFC 8555 §7.4, §11.1: what finalizes an order."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.requests import format_finalization, make_signing_request
from letterlock.protocols.acme.server.finalizations import (
    MAX_CSR_OCTETS,
    find_key_refusal,
    parse_finalization,
    refuse_csr,
)
from letterlock.protocols.acme.server.refusals import Refusal
from tests.acme_requests import ACCOUNT_KEY, public


def test_a_request_of_our_client_is_given_as_it_was_sent() -> None:
    csr = make_signing_request(ACCOUNT_KEY, [parse_identifier("a.example")])
    body = json.dumps(format_finalization(csr)).encode()
    assert parse_finalization(body) == csr.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed"),
        (b"{}", "badCSR"),
        (b'{"csr": ""}', "badCSR"),
        (b'{"csr": 5}', "badCSR"),
        (b'{"csr": "AA=="}', "badCSR"),
        (b'{"csr": "' + b"A" * (2 * MAX_CSR_OCTETS) + b'"}', "badCSR"),
    ],
)
def test_what_has_no_request_is_refused(body: bytes, kind: str) -> None:
    """RFC 8555 §7.4: badCSR."""
    found = parse_finalization(body)
    assert isinstance(found, Refusal)
    assert (found.problem.type, found.status) == (kind, 400)


def test_all_that_is_wrong_is_told() -> None:
    assert refuse_csr(["one", "two"]).problem.detail == "one; two"


def test_a_key_of_an_account_is_no_certificates() -> None:
    """RFC 8555 §11.1."""
    assert find_key_refusal(public(), None) is None
    found = find_key_refusal(public(), "account-00000001")
    assert found is not None
    assert found.problem.type == "badCSR"
    assert "account-00000001" not in found.problem.detail
