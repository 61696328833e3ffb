"""RFC 8555 §7.1.3, §7.1.4, RFC 8738 §3: names in the one form that a certificate has."""

import pytest

from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.identifiers import read_all_ordered, read_ordered
from letterlock.protocols.acme.server.refusals import NameFault


def read(kind: str, value: str) -> Identifier | NameFault:
    return read_ordered(Fields({"type": kind, "value": value}, "identifier"))


@pytest.mark.parametrize(
    ("kind", "value", "read_as"),
    [
        ("dns", "example.org", "example.org"),
        ("dns", "WWW.Example.ORG", "www.example.org"),
        ("dns", "*.example.org", "*.example.org"),
        ("dns", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("dns", "a--b.example", "a--b.example"),
        ("dns", "localhost", "localhost"),
        ("dns", ("a" * 63 + ".") * 3 + "b" * 61, ("a" * 63 + ".") * 3 + "b" * 61),
        ("ip", "192.0.2.1", "192.0.2.1"),
        ("ip", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_name_is_taken_in_its_one_form(kind: str, value: str, read_as: str) -> None:
    assert read(kind, value) == Identifier(kind, read_as)


@pytest.mark.parametrize(
    ("kind", "value", "error", "words"),
    [
        ("dns", "", "malformed", "no label"),
        ("dns", "*.", "malformed", "no label"),
        ("dns", "*", "malformed", "no label"),
        ("dns", "*.*.example", "malformed", "no label"),
        ("dns", "a.*.example", "malformed", "no label"),
        ("dns", "example.org.", "malformed", "no label"),
        ("dns", "a..example", "malformed", "no label"),
        ("dns", "a_b.example", "malformed", "no label"),
        ("dns", "-a.example", "malformed", "no label"),
        ("dns", "a.example\n", "malformed", "no label"),
        ("dns", "a b.example", "malformed", "no label"),
        ("dns", "a" * 64 + ".example", "malformed", "no label"),
        ("dns", "bücher.example", "malformed", "ASCII"),
        ("dns", ("a" * 63 + ".") * 4 + "a", "malformed", "253 octets"),
        ("dns", "www." * 10 + "example", "malformed", "10 labels"),
        ("dns", "xn--a.example", "malformed", "A-label"),
        ("dns", "xn--.example", "malformed", "no label"),
        ("dns", "xn--bcher-kv.example", "malformed", "A-label"),
        ("dns", "ab--c.example", "malformed", "A-label"),
        ("dns", "192.0.2.1", "malformed", "a number"),
        ("dns", "::1", "malformed", "no label"),
        ("dns", "1.2.0.192.in-addr.arpa", "rejectedIdentifier", "reverse"),
        ("dns", "x.ip6.arpa", "rejectedIdentifier", "reverse"),
        ("ip", "192.0.2.01", "malformed", "no address"),
        ("ip", "2001:DB8::1", "malformed", "written 2001:db8::1"),
        ("ip", "2001:db8:0::1", "malformed", "written 2001:db8::1"),
        ("ip", "fe80::1%eth0", "malformed", "no address"),
        ("ip", "::ffff:192.0.2.1", "malformed", "no address"),
        ("ip", "192.0.2.0/24", "malformed", "no address"),
        ("ip", "example.org", "malformed", "no address"),
        ("email", "a@b.example", "unsupportedIdentifier", "neither dns nor ip"),
        ("DNS", "a.example", "unsupportedIdentifier", "neither dns nor ip"),
    ],
)
def test_another_form_is_refused(kind: str, value: str, error: str, words: str) -> None:
    """RFC 8555 §7.1.4, §6.7: which error it is."""
    found = read(kind, value)
    assert isinstance(found, NameFault)
    assert found.type == error
    assert words in found.detail


def test_each_name_is_read_once_and_each_fault_is_its_own() -> None:
    values = ["a.example", "b_.example", "A.example", "c_.example", "d.example"]
    identifiers = [{"type": "dns", "value": each} for each in values]
    names, faults = read_all_ordered(Fields({"identifiers": identifiers}, "order"), 5)
    assert [each.value for each in names] == ["a.example", "d.example"]
    assert [each.identifier.value for each in faults] == ["b_.example", "c_.example"]


@pytest.mark.parametrize(
    "identifiers",
    [None, [], "x", [1], [{}], [{"type": "dns"}], [{"type": 1, "value": "a"}], [{}] * 6],
)
def test_what_is_no_list_of_identifiers_is_refused(identifiers: object) -> None:
    with pytest.raises(ObjectError):
        read_all_ordered(Fields({"identifiers": identifiers}, "order"), 5)
