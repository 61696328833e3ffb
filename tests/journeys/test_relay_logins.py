"""A node that hands all its mail to another, and logs in there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles, RunningNode, mx_certificate, running
from tests.journeys.test_submission import NAME, PASSWORD, add_user
from tests.network.certificates import authority

TEXT = "From: alice@example.org\nSubject: hello\n\nhello\n"
WRONG = "another password"


@dataclass
class Pair:
    relay: RunningNode
    node: RunningNode
    passwords: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run both; the sending one has a wrong password for a second next hop."""
    folder = tmp_path_factory.mktemp("relay")
    relay_files, files = NodeFiles(folder / "relay"), _sender(folder)
    relay_files.add_certificate(mx_certificate())
    anywhere = ["127.0.0.1:0"]
    relay_files.set("submission", enabled=True, listen=anywhere, listen_starttls=anywhere)
    passwords = folder / "passwords"
    with running(relay_files) as relay, zones({"example.org": "mx A 127.0.0.1"}) as server:
        add_user(relay_files, NAME)
        found = relay.wait_log(r"taking submissions on \S+:(\d+) \(TLS\), \S+:(\d+) \(STARTTLS\)")
        files.change("dns", resolver=str(server))
        files.change(
            "deliver",
            relayhost=f"[mx.example.org]:{found[2]}",
            routes={"example.com": f"smtps:[mx.example.org]:{found[1]}"},
            passwords=str(passwords),
        )
        passwords.write_text(
            f"[mx.example.org]:{found[2]} {NAME}:{PASSWORD}\n"
            f"[mx.example.org]:{found[1]} {NAME}:{WRONG}\n"
        )
        passwords.chmod(0o600)
        with running(files) as node:
            yield Pair(relay, node, passwords)


def _sender(folder: Path) -> NodeFiles:
    files = NodeFiles(folder / "node", hostname="out.example.net", domains=("example.net",))
    anchors = folder / "ca.pem"
    anchors.write_bytes(authority().pem)
    files.change("policy", trust_files=[str(anchors)])
    files.change("receive", relay_from=["127.0.0.0/8"])
    return files


def test_mail_arrives_by_a_login_that_is_bound_to_its_connection(pair: Pair) -> None:
    """RFC 4954 §4, RFC 5802 §6. Rule 114."""
    pair.node.send(TEXT, to="postmaster@example.org", sender="alice@example.org")
    pair.node.wait_log("to=<postmaster@example.org>.*status=sent")
    pair.relay.wait_log(f"sasl_method=SCRAM-SHA-256-PLUS, sasl_username={NAME}")


def test_a_wrong_password_is_told_by_its_line_and_never_itself(pair: Pair) -> None:
    queue_id = pair.node.send(TEXT, to="bob@example.com", sender="alice@example.org")
    pair.node.wait_log(rf"{queue_id}: .*dsn=4\.7\.8, status=deferred .*{pair.passwords}:2: it said")
    pair.node.wait_settled(queue_id)
    told = [pair.node.log]
    files = pair.node.files
    for words in (("queue", "show", queue_id, "--json"), ("config", "show"), ("config", "check")):
        answer = files.command(*words)
        assert answer.code == 0, answer
        told += [answer.output, answer.error]
    assert "> AUTH SCRAM-SHA-256-PLUS ..." in told[1]
    assert not any(secret in text for secret in (WRONG, PASSWORD) for text in told)


def test_a_trial_goes_as_far_as_the_login(pair: Pair) -> None:
    files = pair.node.files
    good = files.command("policy", "test", "bob@example.edu")
    assert good.code == 0
    assert f"logged in as {NAME}" in " ".join(good.output.split())
    wrong = files.command("policy", "test", "--json", "bob@example.com")
    assert wrong.code == 1
    assert wrong.document["decision"] == "defer"
    assert f"{pair.passwords}:2: it said: 535 5.7.8" in wrong.document["reason"]
    assert WRONG not in wrong.output


def test_what_is_wrong_with_the_file_is_found_beforehand(tmp_path: Path) -> None:
    files = _sender(tmp_path)
    files.change("deliver", passwords=str(tmp_path / "passwords"))
    files.write()
    for text, mode, problem in (
        ("mx.example.org me:secret\nme:secret\n", 0o600, "passwords:2: a line is "),
        ("mx.example.org me:secret\n", 0o644, "passwords: everybody may read its passwords"),
        (None, 0, "passwords: No such file"),
    ):
        (tmp_path / "passwords").unlink(missing_ok=True)
        if text is not None:
            (tmp_path / "passwords").write_text(text)
            (tmp_path / "passwords").chmod(mode)
        answer = files.command("config", "check")
        assert problem in answer.output + answer.error, answer
        assert "secret" not in answer.output + answer.error
