"""What a host shows to an authority that validates it: redirects, files, TXT records."""

from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.validation.proofs import (
    Expected,
    find_body_fault,
    find_text_fault,
)
from letterlock.protocols.acme.validation.redirects import (
    BadRedirect,
    WebUrl,
    parse_location,
)
from tests.fuzz.target import Target

_EXPECTED = Expected(Identifier("dns", "a.example"), "http-01", "A" * 22, f"{'A' * 22}.thumbprint")
_PROOF = _EXPECTED.key_authorization.encode()
_BASE = WebUrl("https", "a.example", "/.well-known/acme-challenge/x?y=z")


def check_location(octets: bytes) -> None:
    """It leads to a host by one of two schemes on its own port, or nowhere."""
    found = parse_location(_BASE, [octets], "192.0.2.1")
    if isinstance(found, BadRedirect):
        assert found.reason.isprintable()
        assert len(found.reason) < 600
        return
    assert found.port == {"http": 80, "https": 443}[found.scheme]
    assert found.target.startswith("/")
    assert "/../" not in found.target.partition("?")[0]
    assert str(found).isascii()
    assert str(found).isprintable()
    assert (
        not found.host.rpartition(".")[2].isdigit()
        or found.host == "192.0.2.1"
        or "." not in found.host
    )
    assert parse_location(_BASE, [str(found).encode()], "192.0.2.1") == found


def check_proofs(octets: bytes) -> None:
    """Only the key authorization passes, and what is said of others stays on one line."""
    fault = find_body_fault(octets, _EXPECTED)
    assert (fault is None) == (octets.rstrip(b" \t\r\n\f\v") == _PROOF)
    assert fault is None or (fault.isprintable() and len(fault) < 700)
    texts = octets.split(b"\xff")
    missing = find_text_fault(texts, _EXPECTED)
    assert (missing is None) == (dns_value(_EXPECTED.key_authorization).encode() in texts)
    assert missing is None or (missing.isprintable() and len(missing) < 700)


TARGETS = (
    Target(
        "http-01-location",
        check_location,
        (b"http://b.example:80/x/../y?q#f", b"//[2001:db8::1]/", b"../x", b"https://192.0.2.1/"),
        (b"http:", b"https:", b"//", b"@", b"/../", b":443", b"127.0.0.1", b"%2e", b"\\", b"?"),
        2100,
        runs=1500,
    ),
    Target(
        "challenge-proofs",
        check_proofs,
        (_PROOF + b"\r\n", dns_value(_EXPECTED.key_authorization).encode() + b"\xffold"),
        (_PROOF, b".", b"\xff", b"\x1b[2J"),
        2000,
        runs=1000,
    ),
)
