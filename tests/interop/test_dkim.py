"""Mail of our domain leaves a node signed: dkimpy and OpenDKIM verify what arrives."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.verifying import Verifier
from tests.fakes import START
from tests.interop.dkimpy import require_dkimpy, running_dkimpy
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.peers import command, environment

SHORT = (
    "From: Bob <bob@example.net>\nTo: alice@example.org\nSubject: signed\n  mail\n\n.Hello  \n\n"
)
LARGE = SHORT + "A line of a large message, which goes to the disk.\n" * 12_000


@dataclass
class Pair:
    """`sender` is for example.net, and sends to `receiver`."""

    sender: RunningNode
    receiver: RunningNode
    records: dict[str, str]

    def send(self, text: str, sender: str = "bob@example.net") -> bytes:
        """Send to another node; give what was put into its mailbox, with CRLF."""
        queue_id = self.sender.send(text, sender=sender)
        self.sender.wait_delivered(queue_id)
        self.receiver.wait_for(lambda: bool(self._find(queue_id)), "the mail")
        (mail,) = self._find(queue_id)
        return mail.replace("\n", "\r\n").encode()

    def _find(self, queue_id: str) -> list[str]:
        return [mail for mail in self.receiver.files.mails() if queue_id in mail]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("dkim")
    receiver = NodeFiles(folder / "receiver", host="127.0.0.2")
    with running(receiver) as receiving:
        sender = NodeFiles(folder / "sender", "relay.example.net", ("example.net",))
        hop = f"[127.0.0.2]:{receiving.port}"
        sender.change("deliver", routes={"example.org": hop})
        sender.change("dkim", selector="2026a")
        with running(sender) as sending:
            for _ in range(2):
                sending.wait_log(r"DKIM: made \S+; publish as TXT at ", count=2)
            yield Pair(sending, receiving, list_records(sender))


def list_records(files: NodeFiles) -> dict[str, str]:
    """Give what `dns records` says is to be published, as DNS would answer."""
    answer = files.command("dns", "records", "example.net", "--json")
    assert answer.code == 0, answer.error
    found = [each for each in answer.document["records"] if each["kind"] == "dkim"]
    return {each["name"]: "".join(re.findall(r'"([^"]*)"', each["value"])) for each in found}


def test_the_records_are_known_and_the_keys_private(pair: Pair) -> None:
    assert sorted(pair.records) == [
        "2026a-ed25519._domainkey.example.net",
        "2026a._domainkey.example.net",
    ]
    files = list((pair.sender.files.data / "dkim" / "example.net").iterdir())
    assert sorted(path.name for path in files) == ["2026a-ed25519.pem", "2026a.pem"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert "PRIVATE" not in pair.sender.log


@pytest.mark.parametrize("text", [SHORT, LARGE], ids=["short", "large"])
def test_what_arrives_is_signed_by_both_keys(pair: Pair, text: str) -> None:
    """RFC 6376 §5; the fields stand below our Received, above the message."""
    mail = pair.send(text)
    names = re.findall(r"^([A-Z][A-Za-z-]+):", mail.split(b"\r\n\r\n")[0].decode(), re.MULTILINE)
    assert names == [
        *("Return-Path", "Delivered-To", "Received", "Received"),
        *("DKIM-Signature", "DKIM-Signature"),
        # Ours: a program of this machine left them out.
        *("Date", "Message-ID", "From", "To", "Subject"),
    ]
    header, _, body = mail.partition(b"\r\n\r\n")
    verifier = Verifier(header + b"\r\n", START)
    verifier.receive(body)
    keys = {name: (pair.records[name].encode(),) for name in verifier.key_names}
    assert [each.result for each in verifier.finish(keys)] == [DkimResult.PASS] * 2


@pytest.mark.parametrize("text", [SHORT, LARGE], ids=["short", "large"])
def test_dkimpy_verifies_it(pair: Pair, text: str) -> None:
    require_dkimpy()
    mail = pair.send(text)
    with running_dkimpy() as dkimpy:
        assert dkimpy.verify(mail, pair.records, 0)
        assert dkimpy.verify(mail, pair.records, 1)
        assert not dkimpy.verify(mail + b"more\r\n", pair.records, 0)


@pytest.mark.peer("opendkim")
@pytest.mark.parametrize("text", [SHORT, LARGE], ids=["short", "large"])
def test_opendkim_verifies_it(pair: Pair, tmp_path: Path, text: str) -> None:
    mail = pair.send(text)
    assert ask_opendkim(mail, pair.records, tmp_path) == ["pass", "pass"]
    assert "pass" not in ask_opendkim(mail + b"more\r\n", pair.records, tmp_path)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        (SHORT.replace("bob@example.net", "bob@other.example"), "bob@example.net"),
        ("Subject: no author\n\n", "bob@other.example"),
    ],
)
def test_mail_of_others_is_not_signed(pair: Pair, text: str, sender: str) -> None:
    assert b"DKIM-Signature" not in pair.send(text, sender)


def test_the_log_says_who_signed(pair: Pair) -> None:
    queue_id = pair.sender.send(SHORT)
    for selector in ("2026a", "2026a-ed25519"):
        field = rf"{queue_id}: DKIM-Signature field added \(s={selector}, d=example\.net\)"
        pair.sender.wait_log(field)


def ask_opendkim(mail: bytes, records: dict[str, str], folder: Path) -> list[str]:
    """Give what it would say of the signatures in Authentication-Results."""
    (folder / "dns").write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    (folder / "conf").write_text(f"Mode v\nTestDNSData {folder / 'dns'}\nSyslog no\n")
    (folder / "mail").write_bytes(mail)
    arguments = ("-x", folder / "conf", "-vv", "-t", folder / "mail")
    done = subprocess.run(
        command("opendkim", "opendkim", *arguments),
        env=environment("opendkim"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"\bdkim=(\w+)", done.stdout)
