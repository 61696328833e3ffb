"""RFC 5322 §3.4: who a From field names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dkim.author import (
    MAX_AUTHORS,
    MAX_FIELD_OCTETS,
    find_author_domains,
)


@pytest.mark.parametrize(
    ("value", "domains"),
    [
        (b" joe@example.org", ("example.org",)),
        (b" Joe <joe@Example.ORG>\r\n", ("example.org",)),
        (b' "Joe, a@b.example" <joe@example.org>', ("example.org",)),
        (b' "x\\"<y@b.example>" <joe@example.org>', ("example.org",)),
        (b" joe (at home (b@c.example\\)) x)\r\n @ example.org (x)", ("example.org",)),
        (b" <joe@example.org> (comment <a@b.example>)", ("example.org",)),
        (b' "a@b"@example.org', ("example.org",)),
        (b" a@b.example, Joe <joe@example.org>", ("b.example", "example.org")),
        (b" Group: a@b.example, <c@d.example>;", ("b.example", "d.example")),
        (b" nobody:;", ()),
        (b" <@relay.example:joe@example.org>", ("example.org",)),
        (b" <a@b.example> <c@d.example>", ("b.example",)),
        (b" a@b.example <c@d.example>", ("d.example",)),
        (b" < a@b.example", ("b.example",)),
        (b" > a@b.example", ("b.example",)),
        ("a@bücher.example".encode(), ("xn--bcher-kva.example",)),
        (b"a@[192.0.2.1]", ()),
        (b"@example.org", ()),
        (b"root", ()),
        (b"", ()),
        (b'"', ()),
        (b"a@b..example, c@d.example", ("d.example",)),
        (b"a@b.example," * 30, ("b.example",) * MAX_AUTHORS),
        (b"a@b.example" + b" " * MAX_FIELD_OCTETS, ()),
    ],
)
def test_the_domains_of_authors(value: bytes, domains: tuple[str, ...]) -> None:
    """RFC 5322 §3.4, §3.6.2; names in quoted strings and comments are not addresses."""
    assert find_author_domains(value) == domains


@given(value=st.binary(max_size=60))
def test_any_octets_give_some(value: bytes) -> None:
    assert len(find_author_domains(value)) <= MAX_AUTHORS
