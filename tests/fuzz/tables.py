"""Postfix's tables as text files, and what aliases in them come to."""

from typing import Any

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.aliases import parse_aliases, parse_include
from letterlock.protocols.tables.expansion import (
    AddressTables,
    Expanded,
    IncludedFile,
    Loop,
    expand,
)
from letterlock.protocols.tables.lines import Entry, Table
from letterlock.protocols.tables.logins import parse_logins
from letterlock.protocols.tables.lookup import normal_address_key, normal_domain
from letterlock.protocols.tables.relay import (
    parse_relay_domains,
    parse_relay_recipients,
    parse_sender_relays,
)
from letterlock.protocols.tables.targets import (
    MAX_TARGETS,
    Address,
    Include,
    SameUser,
    Target,
    parse_targets,
)
from letterlock.protocols.tables.transport import (
    LmtpHost,
    ToLmtp,
    ToNextHop,
    parse_lmtp_server,
    parse_transport,
)
from letterlock.protocols.tables.virtual import parse_virtual
from letterlock.services.deliver.logins import normal_key
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.redirect.tables import parse_sender_relay_file, parse_transport_file
from tests.fuzz.target import Target as FuzzTarget
from tests.fuzz.target import take_choices

_WORDS = (
    *(b"\n", b" ", b"\t", b"#", b"\\", b'"', b"(", b")", b"<", b">", b"[", b"]", b",", b";"),
    *(b":", b"@", b"+", b".", b"|", b"/", b"~", b"*", b"\0", b"\xff", "ü".encode(), b":include:/l"),
    *(b"a@x.test", b"b", b"a: b\n", b"@x.test @y.test\n", b"error:5.1.1 x", b"lmtp:unix:/s"),
)


def _check_places(table: Table[Any], content: bytes) -> None:
    """Every entry and every fault has a line of the file, and says what it says printably."""
    lines = content.count(b"\n") + 1
    places = [entry.where for entry in table.entries.values()]
    for fault in table.all_faults:
        places.append(fault.where)
        assert fault.reason.isprintable()
    for place in places:
        assert 1 <= int(place.removeprefix("file:")) <= lines
    assert len(table.entries) + len(table.faults) <= lines


def _check_targets(targets: tuple[Target, ...]) -> None:
    assert len(targets) <= MAX_TARGETS
    for target in targets:
        match target:
            case Address():
                text = target.complete("x.test").format()
                assert parse_mailbox(text) == target.complete("x.test")
            case SameUser(domain):
                assert normal_domain(domain) == domain
            case Include(path):
                assert path.startswith("/")


def check_address_tables(octets: bytes) -> None:
    """Whatever is in the tables: places are told, targets are mailboxes, and it comes to an end."""
    (choice,), rest = take_choices(octets, 1)
    first, _, second = rest.partition(b"\n--\n")
    virtual, aliases = parse_virtual(first, "file"), parse_aliases(second, "file")
    _check_places(virtual, first)
    _check_places(aliases, second)
    for key in virtual.entries:
        assert normal_address_key(key) == key
    for entry in (*virtual.entries.values(), *aliases.entries.values()):
        if isinstance(entry, Entry):
            _check_targets(entry.value)
            assert not entry.value or parse_targets(entry.text) == entry.value
    included, faults = parse_include(first, "file")
    _check_targets(included)
    assert all(fault.startswith("file:") and fault.isprintable() for fault in faults)
    tables = AddressTables(
        "x.test",
        {"x.test", "y.test"}.__contains__,
        virtual,
        aliases,
        {"/l": IncludedFile(included)},
        "+-"[: choice % 3],
    )
    for recipient in ("a@x.test", "b+t@y.test", "a@far.test"):
        result = expand(parse_mailbox(recipient), tables)
        if isinstance(result, Expanded):
            for mailbox in result.destinations:
                assert parse_mailbox(mailbox.format()) == mailbox
        elif isinstance(result, Loop):
            assert result.addresses[0] == result.addresses[-1]


def check_way_tables(octets: bytes) -> None:
    """A next hop of a table is one, an LMTP server can be written and read again."""
    _, content = take_choices(octets, 1)
    transport = parse_transport_file(content, "file")
    assert parse_transport(content, "file", parse_next_hop) == transport
    senders = parse_sender_relay_file(content, "file")
    assert parse_sender_relays(content, "file", parse_next_hop) == senders
    for table in (transport, senders, parse_relay_domains(content, "file")):
        _check_places(table, content)
    _check_places(parse_relay_recipients(content, "file"), content)
    for way in (entry.value for entry in transport.entries.values() if isinstance(entry, Entry)):
        if isinstance(way, ToNextHop) and way.next_hop is not None:
            assert str(parse_next_hop(way.next_hop))
        elif isinstance(way, ToLmtp):
            assert parse_lmtp_server(str(way.server)) == way.server
            if isinstance(way.server, LmtpHost):
                assert 1 <= way.server.port <= 0xFFFF
    for relay in senders.entries.values():
        if isinstance(relay, Entry) and relay.value is not None:
            assert str(parse_next_hop(relay.value))


def check_logins(octets: bytes) -> None:
    """A file of passwords gives accounts, and nothing that is told of it has one of them."""
    table = parse_logins(octets, "file", lambda text: normal_key(text, 25))
    told = "\n".join(fault.reason for fault in table.faults)
    right = [entry for entry in table.entries.values() if isinstance(entry, Entry)]
    # Somebody's password may be what another line has for a key or a user.
    named = "\n".join([*table.entries, *(entry.value.user for entry in right)])
    for key, entry in table.entries.items():
        if not isinstance(entry, Entry):
            assert not entry.text
            assert not entry.key
            continue
        assert entry.value.user
        assert "@" in key or normal_key(key, 25) == key
        password = entry.value.password
        assert len(password) < 8 or password in named or password not in f"{told}{table!r}"


TARGETS = (
    FuzzTarget(
        "logins",
        check_logins,
        (
            b"# ours\n[mx.test]:587 me:hunter2hunter2\n@x.test you:secret secret\n",
            b"mx.test me:hunter2hunter2\nmx.test me:hunter2hunter2\nhunter2hunter2:me x\n",
        ),
        (*_WORDS, b":587", b"me:hunter2hunter2"),
        512,
        runs=500,
    ),
    FuzzTarget(
        "address-tables",
        check_address_tables,
        (
            b"\x01a@x.test b, c@y.test\n@x.test @y.test\n\n--\nb: c,\n d\nroot: :include:/l\n",
            b'\x02x.test VIRTUAL\n"a b"@x.test Bob (x) <b@x.test>\n--\n"a:b": "|cmd x", c\n',
        ),
        _WORDS,
        512,
        runs=500,
    ),
    FuzzTarget(
        "way-tables",
        check_way_tables,
        (
            b"\x01x.test smtp:[mx.test]:25\n.y.test lmtp:unix:/run/lmtp\n* error:5.1.1 no\n",
            b"\x02a@x.test [mx.test]:587\n@y.test DUNNO\n<> x.test\n[192.0.2.1] lmtp:[::1]:24\n",
        ),
        _WORDS,
        512,
        runs=500,
    ),
)
