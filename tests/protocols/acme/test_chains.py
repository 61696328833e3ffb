"""RFC 8555 §7.4.2, §9.1, §11.4: the chain that was downloaded."""

from base64 import encodebytes
from functools import cache

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.chains import (
    MAX_CERTIFICATES,
    IssuedChain,
    PublicKey,
    choose_chain,
    find_chain_fault,
    parse_chain,
)
from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa
from tests.fakes import START

NAMES = ("a.example", "*.b.example", "192.0.2.1")
WANTED = frozenset(parse_identifier(name) for name in NAMES)


@cache
def intermediate(root: str = "Root A") -> ThrowawayCa:
    return ThrowawayCa(root, START).intermediate("Intermediate", now=START)


@cache
def issued() -> Issued:
    return intermediate().issue(NAMES, now=START)


def public_key(of: Issued) -> PublicKey:
    key = of.certificate.public_key()
    assert isinstance(key, PublicKey)
    return key


def test_a_chain_is_read_as_it_is_sent() -> None:
    """RFC 8555 §9.1: leaf first."""
    chain = parse_chain(b"\n" + issued().chain_pem + b"\n")
    assert chain.leaf == issued().certificate
    assert chain.certificates == issued().chain
    assert chain.pem == issued().chain_pem
    assert chain.top_issuer == "CN=Root A"
    assert find_chain_fault(chain, public_key(issued()), WANTED) is None


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"<html></html>",
        issued().chain_pem + issued().key_pem,
        b"subject=/CN=a.example\n" + issued().chain_pem,
        issued().chain_pem.replace(b"-----\n", b"-----\nfriendlyName: x\n", 1),
        issued().certificate_pem * (MAX_CERTIFICATES + 1),
        issued().certificate_pem.replace(b"MII", b"MIJ"),
        issued().certificate_pem * 500,
    ],
    ids=["empty", "html", "a key", "text", "attribute", "many", "broken", "long"],
)
def test_a_file_with_anything_else_is_refused(pem: bytes) -> None:
    """RFC 8555 §9.1 (no text), §11.4 (a private key above all)."""
    with pytest.raises(ObjectError, match="certificate chain"):
        parse_chain(pem)


def test_a_certificate_for_something_else_is_refused() -> None:
    """RFC 8555 §7.4."""
    chain = parse_chain(issued().chain_pem)
    other = intermediate().issue(NAMES, now=START)
    assert find_chain_fault(chain, public_key(other), WANTED) is not None
    assert find_chain_fault(chain, public_key(issued()), frozenset()) is not None
    swapped = IssuedChain((issued().certificate, intermediate("Root B").issued.certificate))
    assert find_chain_fault(swapped, public_key(issued()), WANTED) is not None
    doubled = IssuedChain((issued().certificate, issued().certificate))
    assert find_chain_fault(doubled, public_key(issued()), WANTED) is not None


def damage(was: bytes, becomes: bytes) -> bytes:
    """Give the chain with octets of the leaf changed wherever they stand."""
    der = issued().der
    assert was in der
    pem = encodebytes(der.replace(was, becomes))
    head, end = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
    return head + pem + end + issued().chain_pem.partition(end)[2]


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x7f"),
        (b"\x06\x03\x55\x1d\x25", b"\x06\x03\x55\x1d\x11"),
        (b"\x82\x09a.example", b"\x83\x09a.example"),
        (b"\x02\x01\x02", b"\x02\x01\x07"),
    ],
    ids=["an unknown kind of key", "an extension twice", "an unknown kind of name", "version 8"],
)
def test_a_certificate_that_is_damaged_anywhere_is_not_what_was_asked_for(
    was: bytes, becomes: bytes
) -> None:
    """RFC 8555 §7.4.2: what the library cannot read is refused as anything else."""
    try:
        chain = parse_chain(damage(was, becomes))
    except ObjectError:
        return
    assert find_chain_fault(chain, public_key(issued()), WANTED) is not None


def test_a_chain_whose_issuer_has_no_name_that_can_be_read_is_refused() -> None:
    """By the last issuer's name a chain is chosen (RFC 8555 §7.4.2)."""
    end = b"-----END CERTIFICATE-----\n"
    leaf, found, _ = damage(b"Intermediate", b"\xff" * 12).partition(end)
    with pytest.raises(ObjectError, match="can't be read"):
        parse_chain(leaf + found)


def test_names_that_were_not_asked_for_are_seen_whatever_their_kind() -> None:
    mail: list[x509.GeneralName] = [x509.DNSName("a.example"), x509.RFC822Name("x@a.example")]
    for names in ([], mail):
        shape = Shape(general_names=names)
        odd = intermediate().issue(["a.example"], now=START, shape=shape)
        fault = find_chain_fault(
            IssuedChain(odd.chain), public_key(odd), frozenset({parse_identifier("a.example")})
        )
        assert fault == "the certificate is for other names"


def test_a_chain_is_chosen_by_its_top_issuer() -> None:
    """RFC 8555 §7.4.2: else the first, which is the server's choice."""
    first = IssuedChain(intermediate("Root A").issued.chain)
    second = IssuedChain(intermediate("Root B").issued.chain)
    assert choose_chain([first, second], None) is first
    assert choose_chain([first, second], "root b") is second
    assert choose_chain([first, second], "Root C") is first


@given(st.binary())
def test_any_octets_are_refused_without_another_error(pem: bytes) -> None:
    with pytest.raises(ObjectError):
        parse_chain(pem)
