"""What may stand in SNI."""

import pytest

from letterlock.base.domains import DomainError
from letterlock.protocols.tls.server_name import parse_server_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("MX.Example.org.", "mx.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("mx.example.1", "mx.example.1"),
        ("1.2.3.4.example", "1.2.3.4.example"),
    ],
)
def test_a_host_name_becomes_a_labels_without_a_final_dot(text: str, name: str) -> None:
    """RFC 6066 §3."""
    assert parse_server_name(text) == name


@pytest.mark.parametrize("text", ["192.0.2.1", "192.0.2.1.", "2001:db8::1", "", ".", "a..b"])
def test_an_address_is_no_server_name(text: str) -> None:
    """RFC 6066 §3: literal addresses are not permitted."""
    with pytest.raises(DomainError):
        parse_server_name(text)
