"""Names in tables: U-labels, address literals, quotes and letters find what they mean.

RFC 5890 §2.3, RFC 5321 §4.1.2 and §4.1.3, RFC 6532 §3.1.
"""

import pytest

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.aliases import parse_aliases
from letterlock.protocols.tables.expansion import AddressTables, Expanded, expand
from letterlock.protocols.tables.virtual import parse_virtual
from letterlock.services.redirect.tables import (
    Tables,
    parse_sender_relay_file,
    parse_transport_file,
)

ALIASES = """
grün: to-green@bücher.example
"a b": to-quoted
ab: to-plain
"a\\"b": to-quote
"""
VIRTUAL = """
info@bücher.example     to-info@zürich.example
@münchen.example        @muenchen.example
x@[192.0.2.1]           to-four@x.test
x@[IPv6:2001:DB8:0::1]  to-six@[IPv6:2001:db8::2]
"c d"@far.test          "e f"@far.test
"g"@far.test            to-g@x.test
"""


def expanded(address: str) -> str:
    tables = AddressTables(
        "x.test",
        {"x.test"}.__contains__,
        parse_virtual(VIRTUAL.encode(), "virtual"),
        parse_aliases(ALIASES.encode(), "aliases"),
    )
    found = expand(parse_mailbox(address), tables)
    assert isinstance(found, Expanded)
    (mailbox,) = found.destinations
    return mailbox.format()


@pytest.mark.parametrize(
    ("address", "to"),
    [
        ("GRÜN@x.test", "to-green@xn--bcher-kva.example"),
        ("gru\u0308n@x.test", "to-green@xn--bcher-kva.example"),
        ('"grün"@x.test', "to-green@xn--bcher-kva.example"),
        ('"a b"@x.test', "to-quoted@x.test"),
        ('"A B"@x.test', "to-quoted@x.test"),
        ('"ab"@x.test', "to-plain@x.test"),
        ('"a\\b"@x.test', "to-plain@x.test"),
        (r'"a\"b"@x.test', "to-quote@x.test"),
        ("info@BÜCHER.example", "to-info@xn--zrich-kva.example"),
        ("info@xn--bcher-kva.example", "to-info@xn--zrich-kva.example"),
        ("jo@xn--mnchen-3ya.example", "jo@muenchen.example"),
        ("x@[192.0.2.1]", "to-four@x.test"),
        ("x@[IPv6:2001:db8::1]", "to-six@[IPv6:2001:db8::2]"),
        ('"c d"@far.test', '"e f"@far.test'),
        ("g@far.test", "to-g@x.test"),
    ],
)
def test_an_alias_is_found_however_it_is_written(address: str, to: str) -> None:
    assert expanded(address) == to


TRANSPORT = """
bücher.example      smtp:[relay.zürich.example]:26
.bücher.example     smtp:[192.0.2.9]
[192.0.2.1]         smtp:[192.0.2.2]
[IPv6:2001:DB8::1]  smtp:[IPv6:2001:db8::2]:27
"a b"@far.test      smtp:[192.0.2.3]
"""
SENDERS = """
info@bücher.example  [relay.bücher.example]:587
@zürich.example      [2001:db8::1]:587
"a b"@far.test       [192.0.2.4]
<>                   [192.0.2.5]
"""


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("x@bücher.example", 2),
        ("x@xn--bcher-kva.example", 2),
        ("x@sub.bücher.example", 3),
        ("x@[192.0.2.1]", 4),
        ("x@[IPv6:2001:db8:0:0::1]", 5),
        ('"A b"@far.test', 6),
        ("ab@far.test", None),
    ],
)
def test_a_way_is_found_however_it_is_written(address: str, line: int | None) -> None:
    transport = parse_transport_file(TRANSPORT.encode(), "t")
    assert not list(transport.all_faults)
    found = Tables(AddressTables("", lambda _: False), transport).find_way(parse_mailbox(address))
    assert (found and found.where) == (line and f"t:{line}")  # type: ignore[union-attr] # readable


@pytest.mark.parametrize(
    ("sender", "line"),
    [
        ("INFO@xn--bcher-kva.example", 2),
        ("jo@zürich.example", 3),
        ('"a b"@far.test', 4),
        (None, 5),
        ("jo@far.test", None),
    ],
)
def test_a_relay_is_found_by_its_sender(sender: str | None, line: int | None) -> None:
    """The null sender has a key of its own, as Postfix's has."""
    relays = parse_sender_relay_file(SENDERS.encode(), "s")
    assert not list(relays.all_faults)
    tables = Tables(AddressTables("", lambda _: False), sender_relays=relays)
    found = tables.find_sender_relay(parse_mailbox(sender) if sender else None)
    assert (found and found.where) == (line and f"s:{line}")  # type: ignore[union-attr] # readable
