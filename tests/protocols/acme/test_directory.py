"""RFC 8555 §7.1.1, §7.1.2: directories and accounts."""

import json

import pytest

from letterlock.protocols.acme.directory import parse_account, parse_directory
from letterlock.protocols.acme.fields import ObjectError, parse_url
from letterlock.protocols.acme.states import AccountStatus

BASE = {
    name: f"https://ca.example/{name}"
    for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
}


def body(**members: object) -> bytes:
    return json.dumps({**BASE, **members}).encode()


def test_a_directory_has_the_urls() -> None:
    """RFC 8555 §7.1.1: `meta` may be missing."""
    directory = parse_directory(body(newAuthz=5, later={}))
    assert directory.new_nonce == parse_url("https://ca.example/newNonce")
    assert directory.new_order == parse_url("https://ca.example/newOrder")
    assert directory.renewal_info is None
    assert directory.profiles == {}
    assert not directory.is_external_account_required


def test_what_a_server_says_of_itself_is_read() -> None:
    """RFC 8555 §7.1.1; RFC 9773 §4.1."""
    meta = {
        "termsOfService": "https://ca.example/terms",
        "website": "https://ca.example/\n",
        "caaIdentities": ["ca.example"],
        "externalAccountRequired": True,
        "profiles": {"shortlived": "six days", "odd": 3},
    }
    directory = parse_directory(body(meta=meta, renewalInfo="https://ca.example/ari"))
    assert directory.renewal_info == parse_url("https://ca.example/ari")
    assert directory.terms_of_service == "https://ca.example/terms"
    assert directory.website == "https://ca.example/"
    assert directory.caa_identities == ("ca.example",)
    assert directory.is_external_account_required
    assert directory.profiles == {"shortlived": "six days"}


@pytest.mark.parametrize("name", BASE)
def test_a_directory_lacks_no_url_that_we_need(name: str) -> None:
    with pytest.raises(ObjectError, match=f"{name} is missing"):
        parse_directory(body(**{name: None}))


def test_a_directory_leads_to_https_only() -> None:
    """RFC 8555 §6.1."""
    with pytest.raises(ObjectError, match="begins with https"):
        parse_directory(body(newOrder="http://ca.example/order"))


def test_an_account_has_its_status() -> None:
    """RFC 8555 §7.1.2."""
    url = parse_url("https://ca.example/acct/1")
    account = parse_account(url, b'{"status":"valid","contact":["mailto:a@example.org"]}')
    assert account.status is AccountStatus.VALID
    assert account.contact == ("mailto:a@example.org",)
    assert account.url == url
    with pytest.raises(ObjectError, match="status"):
        parse_account(url, b'{"status":"asleep"}')
