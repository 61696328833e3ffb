"""Postfix itself reads the same tables, and comes to the same entries and addresses.

postmap(1), postalias(1), virtual(5), aliases(5), transport(5), postconf(5).
"""

import re
import smtplib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.aliases import parse_aliases, parse_include
from letterlock.protocols.tables.expansion import AddressTables, Expanded, IncludedFile, expand
from letterlock.protocols.tables.lines import Entry, WrongEntry, gather_pairs
from letterlock.protocols.tables.lookup import fold_local, transport_keys
from letterlock.protocols.tables.relay import (
    find_relay_domain,
    parse_relay_domains,
    parse_sender_relays,
    sender_keys,
)
from letterlock.protocols.tables.targets import parse_targets
from letterlock.protocols.tables.transport import Discard, parse_transport
from letterlock.protocols.tables.virtual import parse_virtual
from letterlock.services.discover.next_hop import parse_next_hop
from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    MESSAGE,
    PostfixFiles,
    PostfixInstance,
    postfix_files,
    running_postfix,
)
from tests.journeys.running_node import PATIENCE
from tests.peers import command

NODE = "127.0.0.1"

LINES = rb"""a@x.test   b@y.test
# comment
 # indented comment

  , c@z.test
#x
   d
"first last"@x.test q
nokey
B@X.test one
b@x.test two
lit\ eral z
tab	v w  x
"""  # what ends in white space is below
MORE = b'trail v \t \n"unb al\n\xff@x.test y\n\xc3\xbcser@x v\ncr v\r\nback a b\\\nslash d\n'
KEYS = (
    *("a@x.test", '"first last"@x.test', "nokey", "b@x.test", r"lit\ eral", "tab", "trail"),
    *("üser@x", "cr", "back", "slash", "d", "#x", "A@X.TEST"),
)

ALIASES = rb"""# comment
Postmaster: root
root: alice, "Bob B" <bob@x.test>,
  carol
list: :include:/etc/list
"A b": c
q\,x: c
pipe: "|/bin/cat a", d
dup: a
dup: b
noval:
nocolon x
at@x: y
a, b: c
sp : v
"q:c": v
semi: a; b
spaces: a b c
"""
NAMES = (
    *("postmaster", "Root", "list", "a b", "q,x", "pipe", "dup", "noval", "nocolon", "at@x"),
    *("a", "sp", "q:c", "semi", "spaces"),
)

VIRTUAL = """
one@x.test two@x.test, far@far.test
plus+exact@x.test exact@x.test
plus@x.test base@x.test, base@far.test
local virtual-local
@whole.test @far.test
@caught.test all@caught.test
self@x.test self@x.test, other@far.test
deep@far.test one@x.test
mutual@x.test mutual@x.test, friend@x.test
friend@x.test mutual@x.test
shielded@x.test wrong@far.test
again@far.test anew@far.test
Case@FAR.test <cased@far.test> (a comment)
"""
LOCAL_ALIASES = """
team: member, shielded, again@far.test, one@far.test
member+exact: exact-member
member: base-member
own: own, other-own
users: :include:{folder}/users
nested: users, team
two: "Quoted, Name" <quoted@x.test>
"""
USERS = "# people\nfirst, second@far.test\nthird+tag\n\nusers-last\n"

RECIPIENTS = (
    *("one@x.test", "one+tag@x.test", "plus+exact@x.test", "plus+tag@x.test", "plus@x.test"),
    *("local@x.test", "local+tag@x.test", "local@far.test", "any+tag@whole.test"),
    *("any+tag@caught.test", "self@x.test", "self+tag@x.test", "deep@far.test", "friend@x.test"),
    *("team@x.test", "team+tag@x.test", "member+exact@x.test", "member+other@x.test"),
    *("own@x.test", "users@x.test", "nested@x.test", "Case+t@far.test", "stranger+t@far.test"),
    *("Mailer-Daemon@far.test", "owner-x+t@far.test", "mutual@x.test"),
)

TRANSPORTS = """
user+tag@way.test discard:user-and-tag
user@way.test discard:user
way.test discard:domain
.way.test discard:subdomain
deep.sub.way.test discard:deep
[192.0.2.1] discard:literal
"""
WAYS = (
    *("user+tag@way.test", "user+other@way.test", "User@WAY.test", "any@way.test"),
    *("any@a.way.test", "any@b.a.way.test", "any@deep.sub.way.test", "any@x.deep.sub.way.test"),
    *("any@notway.test", "any@[192.0.2.1]", "any@[192.0.2.2]"),
)

RELAY_DOMAINS = "relayed.test x\nsub.other.test x\n"
SENDERS = """
user@s.test [user.test]
user+tag@s.test [tag.test]:587
@s.test [domain.test]
dunno@s.test DUNNO
"""


@dataclass
class Running:
    """A Postfix with all these tables."""

    postfix: PostfixInstance
    port: int
    strict_port: int

    def find_ends(self, recipient: str, sender: str = "writer@writer.test") -> set[str]:
        """Give the addresses that a message to a recipient ended at."""
        return {to for to, _ in self._follow(self._submit(recipient, sender))}

    def find_way(self, recipient: str) -> str:
        """Give what was logged of where a message to a recipient went."""
        ((_, reason),) = self._follow(self._submit(recipient, ""))
        return reason

    def find_next_hop(self, sender: str) -> str:
        """Give where a sender's message for a domain that is in no table was sent."""
        ((_, hop),) = self._follow(self._submit("a@nowhere.test", sender))
        return hop

    def may_relay(self, domain: str) -> bool:
        """Say whether the server that knows no client of its own takes mail for a domain."""
        with smtplib.SMTP(NODE, self.strict_port, "writer.test", timeout=PATIENCE) as smtp:
            smtp.ehlo()
            smtp.mail("writer@writer.test")
            return smtp.rcpt(f"a@{domain}")[0] == 250

    def _submit(self, recipient: str, sender: str) -> str:
        with smtplib.SMTP(NODE, self.port, "writer.test", timeout=PATIENCE) as smtp:
            smtp.ehlo()
            assert smtp.mail(sender)[0] == 250
            assert smtp.rcpt(recipient)[0] == 250
            code, reply = smtp.data(MESSAGE)
        assert code == 250, reply
        return reply.decode().rpartition(" ")[2]

    def _follow(self, queue_id: str) -> Iterator[tuple[str, str]]:
        """Give where a message ended, and the ones that it was forwarded as."""
        self.postfix.wait_log(rf"{queue_id}: removed")
        log = self.postfix.files.log.read_text()
        pattern = rf"postfix/(\w+)\[\d+\]: {queue_id}: to=<(.*?)>,.*status=(\w+) \((.*)\)"
        for service, to, _, text in re.findall(pattern, log):
            if service in ("discard", "error"):
                yield to, text
            elif found := re.match(r"forwarded as (\w+)", text):
                yield from self._follow(found[1])


@pytest.fixture(scope="module")
def running(postfix_peer: str) -> Iterator[Running]:
    port, strict_port = free_port(NODE), free_port(NODE)
    with postfix_files(peer=postfix_peer) as postfix:
        folder = postfix.folder
        files = {
            "virtual": VIRTUAL,
            "transports": TRANSPORTS,
            "relay": RELAY_DOMAINS,
            "senders": SENDERS,
            "users": USERS,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        postfix.settings = {
            "myhostname": "mx.x.test",
            "myorigin": "x.test",
            "mydestination": "x.test",
            "recipient_delimiter": "+",
            "local_recipient_maps": "",
            "mailbox_transport": "discard:",
            "virtual_alias_domains": "whole.test caught.test",
            "virtual_alias_maps": f"texthash:{folder / 'virtual'}",
            "alias_maps": f"hash:{folder / 'aliases'}",
            "relay_domains": f"texthash:{folder / 'relay'}",
            "sender_dependent_relayhost_maps": f"texthash:{folder / 'senders'}",
            "transport_maps": f"texthash:{folder / 'transports'}",
        }
        postfix.services.append("local unix - n n - - local")
        postfix.add_server(NODE, port)
        postfix.add_server(NODE, strict_port, smtpd_relay_restrictions="reject_unauth_destination")
        postfix.write()
        (folder / "aliases").write_text(LOCAL_ALIASES.format(folder=folder))
        _run(postfix, "postalias", f"hash:{folder / 'aliases'}")
        with running_postfix(postfix) as instance:
            yield Running(instance, port, strict_port)


def _run(postfix: PostfixFiles, program: str, *arguments: str, text: str = "") -> str:
    words = command(postfix.peer, program, "-c", postfix.config, *arguments)
    # It ends with 1 where a key is not there.
    return subprocess.run(words, check=False, stdout=subprocess.PIPE, input=text, text=True).stdout


def _tables(folder: Path) -> AddressTables:
    include = parse_include(USERS.encode(), "users")
    assert not include[1]
    aliases = parse_aliases(LOCAL_ALIASES.format(folder=folder).encode(), "aliases")
    virtual = parse_virtual(VIRTUAL.encode(), "virtual")
    assert not [*aliases.all_faults, *virtual.all_faults]
    return AddressTables(
        "x.test",
        lambda domain: domain == "x.test",
        virtual,
        aliases,
        {str(folder / "users"): IncludedFile(include[0])},
        "+",
    )


def test_postmap_finds_the_same_values(offline: PostfixFiles) -> None:
    file = offline.folder / "lines"
    file.write_bytes(LINES + MORE)
    table = gather_pairs(LINES + MORE, "lines", str.lower, lambda _, text: text)
    assert len(table.faults) == 4
    ours = {key: _text(table.find(key.lower())) for key in KEYS}
    assert _query(offline, "postmap", KEYS, f"texthash:{file}") == ours


def test_postalias_finds_the_same_names(offline: PostfixFiles) -> None:
    """What it keeps is written in another form: the addresses are the same."""
    file = offline.folder / "names"
    file.write_bytes(ALIASES)
    _run(offline, "postalias", f"hash:{file}")
    theirs = _query(offline, "postalias", NAMES, f"hash:{file}")
    table = parse_aliases(ALIASES, "names")
    entries = {name: table.find(fold_local(name)) for name in NAMES}
    assert {name for name in NAMES if entries[name]} == {name for name in NAMES if theirs[name]}
    for name, entry in entries.items():
        if isinstance(entry, Entry):
            assert parse_targets(theirs[name]) == entry.value


def _text(entry: Entry[str] | WrongEntry | None) -> str:
    return "" if entry is None else entry.text


def _query(files: PostfixFiles, program: str, keys: tuple[str, ...], table: str) -> dict[str, str]:
    """Ask for keys; the value of one that is not there is empty."""
    asked = _run(files, program, "-q", "-", table, text="\n".join(keys))
    end = ":\t" if program == "postalias" else "\t"
    found = dict(line.split(end, 1) for line in asked.splitlines())
    return {key: found.get(key, "") for key in keys}


@pytest.fixture(scope="module")
def offline(postfix_peer: str) -> Iterator[PostfixFiles]:
    with postfix_files(peer=postfix_peer) as postfix:
        postfix.write()
        yield postfix


@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_postfix_sends_to_the_same_addresses(running: Running, recipient: str) -> None:
    result = expand(parse_mailbox(recipient), _tables(running.postfix.files.folder))
    assert isinstance(result, Expanded)
    ours = {str(mailbox) for mailbox in result.destinations}
    assert {_bare(each) for each in running.find_ends(recipient)} == {_bare(each) for each in ours}


def _bare(address: str) -> str:
    """Case counts for nobody; and local(8) has dropped the extension of a mailbox's name."""
    local, _, domain = address.lower().partition("@")
    return f"{local.partition('+')[0] if domain == 'x.test' else local}@{domain}"


@pytest.mark.parametrize("recipient", WAYS)
def test_postfix_takes_the_same_way(running: Running, recipient: str) -> None:
    table = parse_transport(TRANSPORTS.encode(), "transports", parse_next_hop)
    assert not list(table.all_faults)
    mailbox = parse_mailbox(recipient)
    entry = next(filter(None, map(table.find, transport_keys(mailbox, "+"))), None)
    if isinstance(entry, Entry):
        assert isinstance(entry.value, Discard)
        expected = entry.value.reason
    else:
        expected = mailbox.domain
    assert running.find_way(recipient) == expected


@pytest.mark.parametrize(
    "sender",
    [
        "user@s.test",
        "user+tag@s.test",
        "user+other@s.test",
        "any@S.test",
        "dunno@s.test",
        "a@t.test",
    ],
)
def test_postfix_takes_the_same_relay_host_for_a_sender(running: Running, sender: str) -> None:
    table = parse_sender_relays(SENDERS.encode(), "senders", parse_next_hop)
    keys = sender_keys(parse_mailbox(sender), "+")
    entry = next(filter(None, map(table.find, keys)), None)
    assert isinstance(entry, Entry | None)
    hop = entry.value if entry is not None else None
    assert running.find_next_hop(sender) == (hop or "nowhere.test")


@pytest.mark.parametrize(
    "domain",
    ["relayed.test", "a.b.relayed.test", "notrelayed.test", "other.test", "x.sub.other.test"],
)
def test_postfix_relays_for_the_same_domains(running: Running, domain: str) -> None:
    table = parse_relay_domains(RELAY_DOMAINS.encode(), "relay")
    assert running.may_relay(domain) == (find_relay_domain(table, domain) is not None)
