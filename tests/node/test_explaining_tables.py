"""Explaining with the tables of `[maps]`: ways, senders' relay hosts, aliases, a mail store."""

import os
from pathlib import Path
from typing import Any

from letterlock.base.clock import SystemClock
from letterlock.base.config.sections import Config
from letterlock.node.explaining import explain
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.explain.document import describe_explanation
from tests.node.test_explaining import world


def write(folder: Path, name: str, text: str) -> str:
    """Write a table as it was left a minute ago; gives its setting."""
    path = folder / name
    path.write_text(text)
    before = path.stat().st_mtime - 60
    os.utime(path, (before, before))
    return f'maps.{name} = "{path}"\n'


async def ask(config: Config, text: str, sender: str = "") -> dict[str, Any]:
    found = await explain(
        config, text, TlsDemand.NORMAL, SystemClock(), is_live=False, sender=sender
    )
    return describe_explanation(found)


async def test_a_way_of_the_transport_table_is_told_with_its_line(tmp_path: Path) -> None:
    settings = write(tmp_path, "transport", "a.example smtp:[192.0.2.7]:26\nb.example error:no\n")
    async with world(tmp_path, settings) as (config, _):
        document = await ask(config, "any@a.example")
        assert document["next_hop"] == "[192.0.2.7]:26"
        assert document["way"]["where"] == f"{tmp_path}/transport:1"
        document = await ask(config, "b.example")
        assert (document["decision"], document["reason"]) == (
            "bounce",
            f"5.0.0 no ({tmp_path}/transport:2)",
        )


async def test_a_senders_relay_host_is_told_for_that_sender(tmp_path: Path) -> None:
    settings = write(tmp_path, "sender_relay", "bob@ours.example [192.0.2.8]:587\n")
    async with world(tmp_path, settings) as (config, _):
        document = await ask(config, "any@example.org", "bob@ours.example")
        assert document["next_hop"] == "[192.0.2.8]:587"
        assert document["way"]["where"] == f"{tmp_path}/sender_relay:1"
        document = await ask(config, "any@example.org")
        assert document["next_hop"] == "example.org"
        assert any("--sender" in note for note in document["notes"])


async def test_aliases_come_first(tmp_path: Path) -> None:
    settings = write(tmp_path, "virtual", "info@ours.example a@x.example\nl@ours.example l\n")
    settings += write(tmp_path, "aliases", "loop: pool\npool: loop\n")
    async with world(tmp_path, settings) as (config, _):
        notes = (await ask(config, "info@ours.example"))["notes"]
        assert "aliases: mail for it goes to a@x.example instead; ask about that" in notes
        document = await ask(config, "loop@ours.example")
        assert document["decision"] == "defer"
        assert document["reason"].startswith("4.3.5 aliases go in a circle: ")


async def test_an_address_that_is_refused_gets_no_mail(tmp_path: Path) -> None:
    """As at RCPT: what is asked about there is asked about here."""
    settings = 'local.mailboxes = ["alice"]\n'
    settings += write(tmp_path, "relay_domains", "relayed.example\n")
    settings += write(tmp_path, "relay_recipients", "known@relayed.example\n")
    async with world(tmp_path, settings) as (config, _):
        for text, decision in (
            ("alice@ours.example", "deliver"),
            ("alice+tag@ours.example", "deliver"),
            ("postmaster@ours.example", "deliver"),
            ("ours.example", "deliver"),
            ("nobody@ours.example", "bounce"),
            ("other@relayed.example", "bounce"),
        ):
            assert (await ask(config, text))["decision"] == decision, text
        document = await ask(config, "other@relayed.example")
        assert document["way"] == {"kind": "error", "to": None, "where": None}
        assert document["reason"] == (
            "5.1.1 Recipient address rejected: User unknown in relay recipient table"
        )


async def test_mailboxes_may_be_a_mail_stores(tmp_path: Path) -> None:
    async with world(tmp_path, 'local.lmtp = "unix:/run/lmtp"\n') as (config, _):
        document = await ask(config, "postmaster@ours.example")
        assert document["way"] == {"kind": "lmtp", "to": "unix:/run/lmtp", "where": None}
        assert document["decision"] == "deliver"
