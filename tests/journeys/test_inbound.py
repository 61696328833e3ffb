"""Clients come to the hosts of an inbound test: what they are answered, and what is told of it."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.journeys.inbound_node import BASE, CASES, IP, InboundNode, inbound_node
from tests.journeys.running_node import PATIENCE, Client
from tests.network.certificates import authority

ALICE = "alice@example.org"
MALLORY = "mallory@example.net"


@contextmanager
def connected(
    port: int, hello: str = "plain.example", source: str | None = None
) -> Iterator[Client]:
    """Connect to a host of the test, without a word said."""
    with Client(local_hostname=hello, timeout=PATIENCE) as client:
        client.source_address = (source, 0) if source else None
        client.connect(IP, port)
        yield client


def fetch(inbound: InboundNode, path: str) -> tuple[http.client.HTTPResponse, str]:
    """Ask for a page as a browser does."""
    context = ssl.create_default_context(cadata=authority().pem.decode("ascii"))
    connection = http.client.HTTPSConnection(BASE, timeout=PATIENCE, context=context)
    plain = socket.create_connection((IP, inbound.ports["https"]), PATIENCE)
    with context.wrap_socket(plain, server_hostname=BASE) as connection.sock:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer, answer.read().decode()


@pytest.fixture(scope="module")
def inbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboundNode]:
    # Mail back ends in a mailbox of the node itself.
    with inbound_node(tmp_path_factory.mktemp("inbound"), report_after="1s") as node:
        yield node


def test_who_sends_in_clear_is_told_so_by_a_signed_mail_once(inbound: InboundNode) -> None:
    """RFC 3834 §2: to the envelope's sender, with the null reverse-path; RFC 6376 §5"""
    token = inbound.new("--from", ALICE)["token"]
    for sender in (MALLORY, ALICE, ALICE):
        with connected(inbound.port("good")) as client:
            client.begin(sender, [f"{token}@good.{BASE}"])
            assert client.data("Subject: x\n\nhi\n")[0] == 250
    assert inbound.outcomes(token)["good"] == "clear"
    inbound.node.wait_log(rf"test {token}: to=<{ALICE}> is told")
    inbound.node.wait_for(lambda: len(inbound.node.files.mails()) > 0, "the answer")
    (mail,) = inbound.node.files.mails()
    assert mail.startswith("Return-Path: <>\n")
    assert "\nDKIM-Signature: " in mail
    assert "\nAuto-Submitted: auto-replied\n" in mail
    assert "mail to the good host came in clear" in mail
    assert inbound.show(token)["reported"] is not None
    assert MALLORY not in inbound.node.files.command("inbound", "show", token, "--json").output


def test_nothing_is_relayed_and_no_other_address_is_taken(inbound: InboundNode) -> None:
    """RFC 5321 §3.3"""
    token = inbound.new()["token"]
    addresses = {
        "alice@example.org": 550,
        f"{token}@expired.{BASE}": 550,  # it is at another address
        f"{token}@good.{BASE}.example": 550,
        f"{'a' * 12}@good.{BASE}": 550,
        f"x/{token}@good.{BASE}": 550,
        f"postmaster@good.{BASE}": 550,
        f"{token.upper()}@GOOD.{BASE}": 250,
    }
    for address, code in addresses.items():
        with connected(inbound.port("good")) as client:
            client.ehlo()
            client.mail(ALICE)
            assert client.rcpt(address)[0] == code, address


def test_who_leaves_without_a_recipient_is_taken_for_the_test_that_saw_it(
    inbound: InboundNode,
) -> None:
    """A client without SNI does not like a certificate: which host it meant, nobody knows."""
    token = inbound.new()["token"]
    with connected(inbound.port("good"), "picky.example", "127.0.0.7") as client:
        client.start(None)  # and says nothing more
    with connected(inbound.port("good"), "picky.example", "127.0.0.7") as client:
        client.start(None)
        client.begin(ALICE, [f"{token}@good.{BASE}"])
        assert client.data("Subject: x\n\nhi\n")[0] == 250
    inbound.node.wait_for(lambda: inbound.look(token).unplaced == 1, "the session that left")
    sessions = inbound.show(token)["sessions"]
    assert [each["guessed"] for each in sessions] == [True, False]
    assert inbound.outcomes(token)["bad-tlsa"] == "probably-refused"
    assert inbound.answers(token)["sni"] == "no"
    assert inbound.answers(token)["dane"] == "unknown"


def test_the_page_shows_what_was_seen_and_no_script_can_run_there(inbound: InboundNode) -> None:
    """Nobody keeps the page, and it says nothing of who wrote."""
    token = inbound.new()["token"]
    with connected(inbound.port("no-starttls")) as client:
        client.begin(ALICE, [f"{token}@no-starttls.{BASE}"])
        assert client.data("Subject: x\n\nhi\n")[0] == 250
    answer, page = fetch(inbound, f"/inbound/{token}")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert "delivered in clear" in page
    assert "<script" not in page
    assert "plain.example [127.0.0.1]" in page
    assert ALICE not in page
    for path in ("/inbound/", f"/inbound/{'a' * 12}", f"/inbound/../{token}", "/"):
        assert fetch(inbound, path)[0].status == 404, path


def test_requiretls_is_noted(inbound: InboundNode) -> None:
    """RFC 8689 §2"""
    token = inbound.new()["token"]
    with connected(inbound.port("good")) as client:
        client.start(f"mx.good.{BASE}")
        client.ehlo()
        assert client.mail(ALICE, ["REQUIRETLS"])[0] == 250
        assert client.rcpt(f"{token}@good.{BASE}")[0] == 250
        assert client.data("Subject: x\n\nhi\n")[0] == 250
    assert inbound.answers(token)["requiretls"] == "yes"


def test_a_reload_cuts_off_nobody(inbound: InboundNode) -> None:
    """What a session does is what is judged: it must not end by us."""
    node, token = inbound.node, inbound.new()["token"]
    before = node.worker_pids()
    with connected(inbound.port("good")) as client:
        client.begin(ALICE, [f"{token}@good.{BASE}"])
        node.reload()
        node.wait_for(lambda: len(set(node.worker_pids()) - set(before)) == len(before), "workers")
        assert client.data("Subject: x\n\nhi\n")[0] == 250
    assert inbound.outcomes(token)["good"] == "clear"
    node.wait_for(lambda: not set(node.worker_pids()) & set(before), "the old processes' end")


def test_commands_say_what_is_there(inbound: InboundNode) -> None:
    test = inbound.new()
    assert [each["case"] for each in test["addresses"]] == list(CASES)
    run = inbound.node.files.command
    assert test["token"] in run("inbound", "list").output
    tokens = [each["token"] for each in run("inbound", "list", "--json").document["tests"]]
    assert test["token"] in tokens
    shown = run("inbound", "show", test["token"])
    assert "keeps to TLSA records (DANE)" in shown.output
    assert run("inbound", "show", "a" * 12).code == 1
    assert "no such test" in run("inbound", "show", "a" * 12).error
    assert f"@sts.{BASE}" in run("inbound", "new").output
