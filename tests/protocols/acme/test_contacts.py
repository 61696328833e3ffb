"""RFC 8555 §7.3: contacts are `mailto:` and one address."""

import pytest

from letterlock.protocols.acme.contacts import ContactError, find_contact_fault


@pytest.mark.parametrize(
    "contact",
    [
        *(
            "mailto:admin@example.org",
            "MAILTO:a.b+c@example.org",
            "mailto:o'neil@xn--bcher-kva.example",
        ),
        "mailto:root@localhost",
    ],
)
def test_one_address_is_taken(contact: str) -> None:
    assert find_contact_fault(contact) is None


@pytest.mark.parametrize(
    ("contact", "kind", "words"),
    [
        ("tel:+12025551212", ContactError.UNSUPPORTED, "mailto:"),
        ("", ContactError.UNSUPPORTED, "mailto:"),
        ("mailto:a@b.example?subject=x", ContactError.INVALID, "header fields"),
        ("mailto:a@b.example,c@d.example", ContactError.INVALID, "one address"),
        ("mailto:", ContactError.INVALID, "an address"),
        ("mailto:a", ContactError.INVALID, "an address"),
        ("mailto:a@b@c.example", ContactError.INVALID, "an address"),
        ("mailto:a%40b@c.example", ContactError.INVALID, "an address"),
        ("mailto:a b@c.example", ContactError.INVALID, "an address"),
        ("mailto:.a@c.example", ContactError.INVALID, "an address"),
        ("mailto:" + "a" * 65 + "@c.example", ContactError.INVALID, "an address"),
        ("mailto:a@" + "b." * 130 + "example", ContactError.INVALID, "253 octets"),
        ("mailto:a@b..example", ContactError.INVALID, "label"),
        ("mailto:a@b.example\n", ContactError.INVALID, "label"),
        ("mailto:a@b.example.", ContactError.INVALID, "final dot"),
        ("mailto:a@bücher.example", ContactError.INVALID, "ASCII"),
    ],
)
def test_what_is_more_or_less_is_refused(contact: str, kind: ContactError, words: str) -> None:
    """RFC 8555 §7.3: no header fields, one address; §6.7: which error it is."""
    fault = find_contact_fault(contact)
    assert fault is not None
    assert fault.type is kind
    assert words in fault.detail
