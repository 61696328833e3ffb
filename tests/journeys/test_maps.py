"""A node with tables: aliases at RCPT and in the queue, ways, relaying; and tables that change."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, running

ALIASES = "root: alice\nteam: alice, :include:{folder}/members\nloop: pool\npool: loop\n"
FILES = {
    "aliases": ALIASES,
    "members": "bob@example.org\n",
    "virtual": "sales@example.org root@example.org\nvirtual.example x\nv@virtual.example team\n",
    "transport": "gone@example.org discard:gone away\nno@example.org error:5.7.1 not here\n",
    "relay_domains": "relayed.example\n",
    "relay_recipients": "known@relayed.example\n",
}


def write(path: Path, text: str) -> None:
    """Write a file as an editor leaves it: whole, and not of this second."""
    new = path.with_suffix(".new")
    new.write_text(text)
    before = new.stat().st_mtime - 60
    os.utime(new, (before, before))
    new.replace(path)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    files = NodeFiles(tmp_path)
    files.change("local", mailboxes=["alice", "bob", "postmaster"])
    files.change("receive", relay_from=[])
    for name, text in FILES.items():
        write(tmp_path / name, text.format(folder=tmp_path))
    names = [name for name in FILES if name != "members"]
    files.change("maps", **{name: str(tmp_path / name) for name in names})
    with running(files) as running_node:
        yield running_node


def ask(node: RunningNode, recipient: str) -> str:
    """Give the code and status that a recipient is answered with."""
    with node.client() as client:
        client.ehlo_or_helo_if_needed()
        client.mail("bob@example.net")
        code, reply = client.rcpt(recipient)
    return f"{code} {reply.decode().split()[0]}"


def test_recipients_are_what_the_tables_make_of_them(node: RunningNode) -> None:
    """Mail is kept for the addresses that aliases come to, each once."""
    queue_id = node.send(to="sales+tag@example.org")
    node.wait_log(rf"{queue_id}: to=<alice@example.org>.*status=sent")
    queue_id = node.send(to="v@virtual.example")
    node.wait_log(rf"{queue_id}: to=<alice@example.org>.*status=sent")
    node.wait_log(rf"{queue_id}: to=<bob@example.org>.*status=sent")
    assert len(node.files.mails("alice")) == 2
    (mail,) = node.files.mails("bob")
    assert "Delivered-To: bob@example.org" in mail
    queue_id = node.send(to="bob+tag@example.org")
    node.wait_log(
        rf"{queue_id}: to=<bob\+tag@example.org>.*status=sent \(delivered to maildir bob@"
    )


def test_answers_at_rcpt(node: RunningNode) -> None:
    assert {name: ask(node, name) for name in EXPECTED} == EXPECTED
    node.wait_log(
        r"warning: unknown\[127.0.0.1\]: <loop@example.org>: aliases go in a circle: "
        "loop@example.org -> pool@example.org -> loop@example.org"
    )
    queue_id = node.send(to="gone@example.org")
    node.wait_log(rf"{queue_id}: to=<gone@example.org>, .*status=sent \(gone away\)")


EXPECTED = {
    "team@example.org": "250 2.1.5",
    "nobody@example.org": "550 5.1.1",
    "x@virtual.example": "550 5.1.1",
    "loop@example.org": "451 4.3.5",
    "no@example.org": "550 5.7.1",
    "known@relayed.example": "250 2.1.5",
    "other@relayed.example": "550 5.1.1",
    "far@far.example": "554 5.7.1",
}


def test_tables_count_as_they_are_now(node: RunningNode) -> None:
    """A table that is gone puts mail off, a new one holds at once; the node is told nothing."""
    folder = node.files.folder
    assert ask(node, "new@example.org") == "550 5.1.1"
    write(folder / "aliases", "new: alice\n")
    node.wait_for(lambda: ask(node, "new@example.org") == "250 2.1.5", "the new alias")
    (folder / "aliases").unlink()
    node.wait_for(lambda: ask(node, "alice@example.org") == "451 4.3.5", "the table's end")
    node.wait_log(r"warning: \S+/aliases: No such file or directory")
    write(folder / "aliases", "# none\n")
    node.wait_for(lambda: ask(node, "alice@example.org") == "250 2.1.5", "the table")


def test_a_notification_follows_aliases_too(node: RunningNode) -> None:
    """As for mail of cron's, whose sender is root."""
    write(node.files.folder / "transport", "bob@example.org error:5.7.1 not now\n")
    node.wait_for(lambda: ask(node, "bob@example.org") == "550 5.7.1", "the way")
    queue_id = node.send(to="team@example.org", sender="root@example.org")
    node.wait_log(rf"{queue_id}: to=<bob@example.org>.*status=bounced \(not now\)")
    node.wait_log(r"to=<alice@example.org>, .*status=sent", count=2)
    assert any("not now" in mail for mail in node.files.mails("alice"))


def test_a_failure_waits_where_its_senders_alias_leads_nowhere(node: RunningNode) -> None:
    """RFC 5321 §6.1. The notification would end as "no such user", and nobody be told."""
    write(node.files.folder / "transport", "bob@example.org error:5.7.1 not now\n")
    node.wait_for(lambda: ask(node, "bob@example.org") == "550 5.7.1", "the way")
    queue_id = node.send(to="team@example.org", sender="loop@example.org")
    node.wait_log(rf"{queue_id}: to=<alice@example.org>.*status=sent")
    node.wait_log(
        rf"{queue_id}: to=<bob@example.org>.*dsn=4.3.0, status=deferred \(not now \(waits, as its "
        "sender cannot be told of it: aliases go in a circle: "
    )
    aliases = ALIASES.format(folder=node.files.folder).replace("pool: loop", "pool: root")
    write(node.files.folder / "aliases", aliases)
    node.wait_for(lambda: ask(node, "loop@example.org") == "250 2.1.5", "the alias")
    assert node.files.command("queue", "retry", queue_id).code == 0
    node.wait_for(lambda: any("not now" in mail for mail in node.files.mails("alice")), "a bounce")


def test_the_first_recipient_is_told_in_a_bounce(node: RunningNode) -> None:
    """RFC 3464 §2.3.1: Original-Recipient is what the sender wrote."""
    folder = node.files.folder
    write(folder / "transport", "alice@example.org error:5.7.1 not now\n")
    node.wait_for(lambda: ask(node, "alice@example.org") == "550 5.7.1", "the way")
    # Two destinations: it is taken for the one that can have it.
    queue_id = node.send(to="team@example.org", sender="bob@example.org")
    node.wait_log(rf"{queue_id}: to=<alice@example.org>.*status=bounced \(not now\)")
    node.wait_for(lambda: any("not now" in mail for mail in node.files.mails("bob")), "the bounce")
    (bounce,) = [mail for mail in node.files.mails("bob") if "not now" in mail]
    assert "Original-Recipient: rfc822; team@example.org" in bounce
    assert "Final-Recipient: rfc822; alice@example.org" in bounce
