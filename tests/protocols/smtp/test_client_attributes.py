"""The attributes of XCLIENT and XFORWARD: what they mean, and what is none.

Postfix's XCLIENT_README and XFORWARD_README.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.client_attributes import (
    AttributesError,
    parse_xclient,
    parse_xforward,
)


@pytest.mark.parametrize(
    ("arguments", "attributes"),
    [
        ("ADDR=192.0.2.7", {"ADDR": "192.0.2.7"}),
        ("addr=IPV6:2001:DB8::7 port=25", {"ADDR": "2001:db8::7", "PORT": "25"}),
        ("ADDR=ipv6:::ffff:192.0.2.7", {"ADDR": "192.0.2.7"}),
        ("ADDR=[UNAVAILABLE] NAME=[TempUnavail]", {"ADDR": "", "NAME": ""}),
        ("NAME=client.example HELO=a+20b", {"NAME": "client.example", "HELO": "a b"}),
        ("PROTO=ESMTP  PROTO=smtp", {"PROTO": "smtp"}),
        ("LOGIN=a+40example.org", {"LOGIN": "a@example.org"}),
        ("LOGIN=+C3+A9", {"LOGIN": "é"}),
        ("DESTADDR=198.51.100.25 DESTPORT=0", {"DESTADDR": "198.51.100.25", "DESTPORT": "0"}),
        ("LOGIN=[UNAVAILABLE]", {"LOGIN": ""}),
    ],
)
def test_a_client_is_named_by_attributes(arguments: str, attributes: dict[str, str]) -> None:
    assert parse_xclient(arguments) == attributes


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "501 5.5.4 Syntax: XCLIENT attribute=value..."),
        ("  ", "501 5.5.4 Syntax: XCLIENT attribute=value..."),
        ("ADDR", "501 5.5.4 Error: attribute=value expected"),
        ("ADDR=", "501 5.5.4 Error: attribute=value expected"),
        ("HELO=" + "x" * 256, "501 5.5.4 Error: attribute value too long"),
        ("FO\xd6=x", "501 5.5.4 Bad XCLIENT attribute name: FO?"),
        ("REVERSE_NAME=x", "501 5.5.4 Bad XCLIENT attribute name: REVERSE_NAME"),
        ("IDENT=x", "501 5.5.4 Bad XCLIENT attribute name: IDENT"),
        *(
            (f"ADDR={value}", "501 5.5.4 Bad ADDR syntax")
            for value in ("192.0.2", "2001:db8::7", "IPV6:192.0.2.7", "IPV6:fe80::1%lo", "x", "+ZZ")
        ),
        ("PORT=65536", "501 5.5.4 Bad PORT syntax"),
        ("PORT=025", "501 5.5.4 Bad PORT syntax"),
        ("NAME=a/b", "501 5.5.4 Bad NAME syntax"),
        ("PROTO=LMTP", "501 5.5.4 Bad PROTO syntax"),
        ("HELO=a+0Ab", "501 5.5.4 Bad HELO syntax"),
        ("LOGIN=+FF", "501 5.5.4 Bad LOGIN syntax"),
    ],
)
def test_what_is_no_attribute_gets_501(arguments: str, text: str) -> None:
    with pytest.raises(AttributesError) as raised:
        parse_xclient(arguments)
    assert raised.value.reply.text == text


def test_an_origin_has_other_attributes() -> None:
    told = parse_xforward("NAME=c.example ADDR=192.0.2.7 PROTO=LMTP IDENT=4F SOURCE=remote HELO=x")
    assert told["IDENT"] == "4F"
    for arguments in ("LOGIN=a", "SOURCE=here", "PROTO=a-b"):
        with pytest.raises(AttributesError):
            parse_xforward(arguments)


@given(arguments=st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_is_attributes_or_none(arguments: str) -> None:
    for parse in (parse_xclient, parse_xforward):
        try:
            found = parse(arguments)
        except AttributesError:
            continue
        assert all(value.isprintable() for value in found.values())
