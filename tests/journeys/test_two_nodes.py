"""Mail from one node to another under the operator's policy, and the commands that tell of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, mx_certificate, running
from tests.network.certificates import authority

POSTFIX_TABLE = """\
# As it came from Postfix.
example.org   verify
odd.example   frobnicate
"""


@dataclass
class Pair:
    """`sender` relays for us; `receiver` is mx.example.org."""

    sender: RunningNode
    receiver: RunningNode


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, resolver: str) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    receiver = NodeFiles(folder / "receiver", host="127.0.0.2")
    receiver.domains = ("example.org", "wrong.example", "broken.example", "odd.example")
    receiver.domains += ("plain.example",)
    receiver.add_certificate(mx_certificate())
    with running(receiver) as receiving, running(make_sender(receiving, resolver)) as node:
        yield Pair(node, receiving)


def make_sender(receiving: RunningNode, resolver: str) -> NodeFiles:
    folder = receiving.files.folder.parent / "sender"
    files = NodeFiles(folder, hostname="relay.example.net", domains=("example.net",))
    trust = files.folder / "ca.pem"
    trust.write_bytes(authority().pem)
    table = files.folder / "tls_policy"
    table.write_text(POSTFIX_TABLE)
    files.change("dns", resolver=resolver)
    files.change("deliver", port=receiving.port)
    hops = {"wrong.example": {"level": "verify"}, "broken.example": {"level": "nonsense"}}
    files.change("policy", trust_files=[str(trust)], postfix_table=str(table), hops=hops)
    return files


def defer(node: RunningNode, domain: str) -> str:
    """Send to a domain whose mail waits; gives the queue id after the first attempt."""
    queue_id = node.send(to=f"alice@{domain}")
    node.wait_log(rf"{queue_id}: to=<.*status=deferred")
    node.wait_settled(queue_id)
    return queue_id


def test_verified_mail_arrives_and_its_story_is_kept(pair: Pair) -> None:
    """RFC 9525 §6.3, RFC 7672 §2.2.2 has the same words for what was verified."""
    queue_id = pair.sender.send("Subject: by two nodes\n\nhello\n", to="alice@example.org")
    pair.sender.wait_delivered(queue_id)
    pair.sender.wait_settled(queue_id)
    pair.sender.wait_log(
        r"Verified TLS connection established to mx\.example\.org\[127\.0\.0\.2\]:\d+: TLSv1\.3"
    )
    pair.receiver.wait_log(r"to=<alice@example.org>.*status=sent")
    (mail,) = [mail for mail in pair.receiver.files.mails() if queue_id in mail]
    assert mail.count("Received: ") == 2
    assert "with ESMTPS" in mail

    shown = pair.sender.files.command("queue", "show", queue_id, "--json")
    assert shown.code == 0, shown.error
    (attempt,) = shown.document["attempts"]
    story = attempt["story"]
    assert story["requirement"]["level"] == "verify"
    assert "tls_policy:2" in str(story["requirement"])
    assert story["handshake"]["sni"] == "mx.example.org"
    assert story["verdict"]["outcome"] == "authenticated"
    assert any("250" in line for line in story["dialogue"])


def test_a_wrong_name_is_refused_and_said_so(pair: Pair) -> None:
    """RFC 8460 §4.3.2.1 certificate-host-mismatch; RFC 3463 §3.8 4.7.5."""
    sender = pair.sender
    queue_id = defer(sender, "wrong.example")
    assert not pair.receiver.files.mails(domain="wrong.example")
    listed = sender.files.command("queue", "list", "--json").document["messages"]
    (message,) = [each for each in listed if each["id"] == queue_id]
    (recipient,) = message["recipients"]
    assert recipient["last_status"] == "4.7.5"
    assert recipient["state"] == "queued"
    (attempt,) = sender.files.command("queue", "show", queue_id, "--json").document["attempts"]
    verdict = attempt["story"]["verdict"]
    assert verdict["outcome"] == "defer"
    assert verdict["result_type"] == "certificate-host-mismatch"
    assert not any("MAIL FROM" in line for line in attempt["story"]["dialogue"])
    text = sender.files.command("queue", "show", queue_id).output
    assert "certificate-host-mismatch" in text
    assert "mx.wrong.example" in text
    sender.files.command("queue", "delete", queue_id)


@pytest.mark.parametrize(
    ("domain", "place"),
    [("broken.example", 'policy.hops."broken.example"'), ("odd.example", "tls_policy:3")],
)
def test_a_wrong_policy_entry_holds_its_own_mail_only(pair: Pair, domain: str, place: str) -> None:
    """Never other mail, and never that mail at a lower level."""
    queue_id = pair.sender.send(to=f"alice@{domain}")
    found = pair.sender.wait_log(rf"{queue_id}: to=<.*dsn=4\.7\.5, status=deferred \((.*)\)")
    assert place in found[1]
    other = pair.sender.send(to="alice@plain.example")
    pair.sender.wait_delivered(other)
    assert not pair.receiver.files.mails(domain=domain)
    pair.sender.files.command("queue", "delete", queue_id)


def test_config_check_names_wrong_entries_by_file_line_and_key(pair: Pair) -> None:
    checked = pair.sender.files.command("config", "check")
    assert checked.code == 2
    config = pair.sender.files.config
    lines = enumerate(config.read_text().splitlines(), 1)
    line, column = next((i, text.index('"broken')) for i, text in lines if "hops" in text)
    assert f'{config}:{line}:{column + 1}: policy.hops."broken.example"' in checked.error
    assert f"{config.with_name('tls_policy')}:3" in checked.error
    assert "odd.example" in checked.error
    problems = pair.sender.files.command("status", "--json").document["problems"]
    assert any("broken.example" in problem for problem in problems)
    assert any("odd.example" in problem for problem in problems)


def test_the_queue_is_changed_through_the_running_node(pair: Pair) -> None:
    files, queue_id = pair.sender.files, defer(pair.sender, "wrong.example")
    held = files.command("queue", "hold", queue_id, "--json")
    assert (held.code, held.document["changed"]) == (0, 1), held.error
    (message,) = files.command("queue", "list", "--json").document["messages"]
    assert message["hold"] is not None
    since = len(pair.sender.lines)
    assert files.command("queue", "release", queue_id, "--json").document["changed"] == 1
    pair.sender.wait_log(rf"{queue_id}: to=<.*status=deferred", since=since)
    pair.sender.wait_settled(queue_id)
    since = len(pair.sender.lines)
    assert files.command("queue", "retry", queue_id, "--json").document["changed"] == 1
    pair.sender.wait_log(rf"{queue_id}: to=<.*status=deferred", since=since)
    pair.sender.wait_settled(queue_id)
    assert files.command("queue", "delete", queue_id, "--json").document["changed"] == 1
    assert files.command("queue", "list", "--json").document["messages"] == []
    assert files.command("queue", "retry", queue_id).code == 1


@pytest.mark.proof
def test_the_queue_is_changed_without_a_node(
    tmp_path_factory: pytest.TempPathFactory, resolver: str
) -> None:
    """What the commands do, they do directly when no node runs; a node then finds it so."""
    folder = tmp_path_factory.mktemp("down")
    files = NodeFiles(folder, hostname="relay.example.net", domains=("example.net",))
    hops = {"broken.example": {"level": "nonsense"}}
    files.change("policy", hops=hops)
    files.change("dns", resolver=resolver)
    with running(files) as node:
        first, second = defer(node, "broken.example"), defer(node, "broken.example")
    listed = files.command("queue", "list", "--json").document["messages"]
    assert [each["id"] for each in listed] == [first, second]
    assert files.command("queue", "delete", first, "--json").document["changed"] == 1
    assert files.command("queue", "hold", second, "--json").document["changed"] == 1
    assert files.command("queue", "release", second, "--json").document["changed"] == 1
    down = files.command("status", "--json")
    assert down.code == 1
    assert down.document["running"] is False
    with running(files) as node:
        node.wait_log(rf"{second}: to=<.*status=deferred")
        assert first not in node.log
